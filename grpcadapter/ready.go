package grpcadapter

import (
	"net"

	"google.golang.org/grpc/mem"

	"github.com/lastcall-go/lastcall/internal/connset"
)

// onReady is the method by which grpc reads from a connection without holding a buffer
// of 32 KiB while the peer is silent. grpc knows *net.TCPConn and *net.UnixConn
// (Linux only); it asks any other connection for this method, so a wrapped connection
// without it costs 33 KiB more (internal/transport/readyreader at v1.85.0).
//
// ReadOnReady blocks until there is something to read, and only then takes a buffer
// from the pool, of which the first n bytes were read. The caller returns the buffer
// to the pool. With an error there is no buffer to return, unless n is more than zero.
type onReady interface {
	ReadOnReady(size int, pool mem.BufferPool) (buf *[]byte, n int, err error)
}

// readerOf returns how to read from a connection without holding a buffer, or nil. A
// connection that has the method itself knows best. Of the others, only those of
// package net are read below their Read: what a descriptor holds is not what Read
// returns where a connection encrypts.
func readerOf(set *connset.Conn) onReady {
	c := set.NetConn()
	if r, ok := c.(onReady); ok {
		return r
	}
	switch c := c.(type) {
	case *net.TCPConn:
		return newPoller(set, c)
	case *net.UnixConn:
		return newPoller(set, c)
	default:
		return nil
	}
}
