//go:build !linux

package grpcadapter

import (
	"net"

	"github.com/lastcall-go/lastcall/internal/connset"
)

// newPoller returns nil: grpc itself does without a pool here.
func newPoller(*connset.Conn, net.Conn) onReady { return nil }
