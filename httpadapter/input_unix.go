//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package httpadapter

import (
	"net"
	"syscall"

	"github.com/lastcall-go/lastcall/internal/sock"
)

// hasInput says whether something has arrived on a socket that nobody has read.
func hasInput(c net.Conn) bool {
	arrived := false
	sock.Control(c, func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		arrived = err == nil && n > 0
	})
	return arrived
}
