//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sock

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Blocks reports whether the descriptor of a connection or a listener is blocking, which
// package net does not expect: another descriptor of the same description was made so,
// with File().Fd(). SyscallConn of types that are not of package net may hang.
func Blocks(c syscall.Conn) (blocks bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) { // fails if it is closed
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		blocks = err == nil && flags&unix.O_NONBLOCK == 0
	})
	return blocks
}
