//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package sock

import "syscall"

// Waits returns false: it is not known.
func Waits(syscall.Conn) bool { return false }
