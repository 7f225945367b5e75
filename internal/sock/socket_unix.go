//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sock

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Discard reads what has arrived on a socket, without waiting, and drops it: close with unread
// input sends a reset instead of the end of the stream. It reports whether there was any. It
// may hang where Control may.
func Discard(c net.Conn) (some bool) {
	Control(c, func(fd uintptr) {
		var buf [4 << 10]byte
		for range 4 << 10 { // 16 MiB at most, more than a receive buffer has
			n, _, err := unix.Recvfrom(int(fd), buf[:], unix.MSG_DONTWAIT)
			if n <= 0 || err != nil {
				return
			}
			some = true
		}
	})
	return some
}

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
