//go:build !linux

package grpcadapter

import (
	"net"
	"time"
)

// setUserTimeout does nothing: TCP_USER_TIMEOUT is Linux.
func setUserTimeout(net.Conn, time.Duration) {}
