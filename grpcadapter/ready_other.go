//go:build !linux

package grpcadapter

import "net"

// newPoller returns nil: grpc itself does without a pool here.
func newPoller(net.Conn) onReady { return nil }
