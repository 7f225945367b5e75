//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package sock

import (
	"net"

	"golang.org/x/sys/unix"
)

// discard reads what has arrived on a socket, without waiting, and drops it: close
// with unread input sends a reset instead of the end of the stream. It reports whether
// there was any.
func discard(c net.Conn) (some bool) {
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
