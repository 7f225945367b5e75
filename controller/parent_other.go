//go:build !linux

package controller

// waitedForByFirst is false: containers whose PID 1 may be a shell are Linux's.
func waitedForByFirst() bool { return false }

func readFirst() parent { return parent{} }
