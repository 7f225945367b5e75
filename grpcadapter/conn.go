package grpcadapter

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall/internal/sock"
)

// conn is a connection that a Listener has accepted. What is read and written goes
// straight through.
type conn struct {
	net.Conn
	listener *Listener
	untold   atomic.Bool // its GOAWAY is awaited; changed with the listener's mutex held
	shut     atomic.Bool // nothing is written any more
	writing  atomic.Int32
	sent     volume

	// guarded by the listener's mutex
	open        bool // Close was not called
	handshaking bool
	securing    bool          // in ServerHandshake of our credentials
	done        chan struct{} // closed when Close has returned; nil if nothing waits for that
}

// outside returns the connection as others see it: with SyscallConn and ReadOnReady
// if the one inside has them, and only then.
func (c *conn) outside() net.Conn {
	s, isSocket := c.Conn.(syscall.Conn)
	r := readerOf(c.Conn)
	switch {
	case isSocket && r != nil:
		return &readySocketConn{socketConn{c, s}, r}
	case isSocket:
		return &socketConn{c, s}
	case r != nil:
		return &readyConn{c, r}
	default:
		return c
	}
}

// tracked returns the connection below whatever outside has returned.
func (c *conn) tracked() *conn { return c }

// Write is that of the connection inside, until closeAll.
func (c *conn) Write(b []byte) (int, error) {
	if c.shut.Load() {
		return 0, net.ErrClosed
	}
	told := c.untold.Load() // before: what is on its way now was written before GracefulStop
	c.writing.Add(1)
	defer c.writing.Add(-1)
	n, err := c.Conn.Write(b)
	c.sent.add(n)
	if told {
		c.listener.hasTold(c)
	}
	return n, err
}

// SetDeadline is that of the connection inside. grpc sets one for the handshake
// and takes it away when the handshake is over, so that is when it is over; but for
// those that credentials set in their part of it, as far as those are ours.
func (c *conn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		c.listener.handshakeOver(c)
	}
	return c.Conn.SetDeadline(t)
}

// Close closes the connection, once: a second call does nothing and returns nil.
// It does not block: a connection that is not of package net is closed on another
// goroutine, and its error is dropped.
func (c *conn) Close() error {
	if !c.listener.closes(c) {
		return nil
	}
	return c.close()
}

// close is Close for whoever knows that he is the first.
func (c *conn) close() error {
	switch c.Conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		defer c.listener.ended(c)
		return c.Conn.Close()
	}
	c.listener.foreign.Run(callCloseConn, func() {
		defer c.listener.ended(c)
		_ = c.Conn.Close() // nobody waits for it
	})
	return nil
}

// cut is close for a connection in the middle of something: the peer is to see the
// end of the stream. It does not block.
func (c *conn) cut() {
	c.listener.foreign.Run(callCloseConn, func() {
		defer c.listener.ended(c)
		sock.Finish(c.Conn)
	})
}

// socketConn is a conn over a connection that has SyscallConn.
type socketConn struct {
	*conn
	socket syscall.Conn
}

// SyscallConn is that of the connection inside.
func (c *socketConn) SyscallConn() (syscall.RawConn, error) { return c.socket.SyscallConn() }
