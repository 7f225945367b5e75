package grpcadapter

import (
	"math"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall-go/lastcall/internal/sock"
)

// setUserTimeout sets TCP_USER_TIMEOUT, to a millisecond at least. What is no TCP
// socket stays as it is.
func setUserTimeout(c net.Conn, d time.Duration) {
	ms := int(min((d+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
	sock.Control(c, func(fd uintptr) {
		// The connection serves as well without: an error is no reason to lose it.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms)
	})
}
