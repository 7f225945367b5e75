// Package sock does with sockets what package net does not: it reports whether they block or
// wait to be accepted, and drops what was not read or still comes.
package sock

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// IsNet reports whether a connection is one of package net, whose methods usually return at
// once.
func IsNet(c net.Conn) bool {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// Closed reports whether a connection or listener of package net was closed.
func Closed(c syscall.Conn) bool {
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(uintptr) {})
	}
	return errors.Is(err, net.ErrClosed)
}

// Drop reads and drops what comes, until the peer is silent for so long, or for most. It
// reports whether the connection has ended before. Another goroutine may close it.
func Drop(tcp *net.TCPConn, silence, most time.Duration) bool {
	limit := time.Now().Add(most)
	for buf := make([]byte, 4<<10); ; {
		until := time.Now().Add(silence)
		if until.After(limit) {
			until = limit
		}
		_ = tcp.SetReadDeadline(until) // it fails if the connection is closed, and then so does Read
		switch _, err := tcp.Read(buf); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if !time.Now().Before(until) { // otherwise it was another's deadline
				return false
			}
		case err != nil:
			return true
		}
	}
}

// maxDepth is more connections than programs wrap around another: one that says it is
// below itself is not asked for ever.
const maxDepth = 8

// Control calls f with the file descriptor of a connection, or with that of the
// one below if it says that there is one, as *tls.Conn does. Without a descriptor, or
// if it is too far below, f is not called. SyscallConn and NetConn of connections that
// are not of package net may hang.
func Control(c net.Conn, f func(fd uintptr)) {
	for range maxDepth {
		if s, ok := c.(syscall.Conn); ok {
			if raw, err := s.SyscallConn(); err == nil {
				_ = raw.Control(f) // fails for a connection that is closed: then there is nothing to do
			}
			return
		}
		below, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		c = below.NetConn()
	}
}
