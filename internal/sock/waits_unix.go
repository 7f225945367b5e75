//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sock

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Waits reports whether a connection waits in the kernel for a listener of package net to
// accept it.
func Waits(lis syscall.Conn) (waits bool) {
	raw, err := lis.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) { // fails if it is closed
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) //nolint:gosec // a descriptor
		waits = err == nil && n > 0
	})
	return waits
}
