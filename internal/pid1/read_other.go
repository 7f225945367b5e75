//go:build !linux

package pid1

// Waits is false: containers whose PID 1 may be a shell are Linux's.
func Waits() bool { return false }

// Read knows nothing.
func Read() Process { return Process{} }
