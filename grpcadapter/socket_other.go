//go:build !linux

package grpcadapter

import (
	"net"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
)

// newPoller returns nil: grpc itself does without a pool here.
func newPoller(*connset.Conn, net.Conn) onReady { return nil }

// setUserTimeout does nothing: TCP_USER_TIMEOUT is Linux.
func setUserTimeout(net.Conn, time.Duration) {}
