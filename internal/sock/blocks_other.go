//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package sock

import "syscall"

// Blocks returns false: it is not known.
func Blocks(syscall.Conn) bool { return false }
