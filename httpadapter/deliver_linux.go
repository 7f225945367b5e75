package httpadapter

import (
	"encoding/binary"
	"syscall"
)

// The states of a connection in which a FIN is on the way.
const (
	finWait1 = 4
	lastAck  = 9
	closing  = 11
)

// acknowledged says whether the peer has acknowledged everything, the FIN included.
func acknowledged(fd uintptr) bool {
	info, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
	if err != nil {
		return true
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(info)) //nolint:gosec // the first four bytes of struct tcp_info
	switch b[0] {
	case finWait1, lastAck, closing:
		return false
	}
	return true
}
