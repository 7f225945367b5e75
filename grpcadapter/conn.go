package grpcadapter

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/lastcall-go/lastcall/internal/connset"
)

// conn is a connection that a Listener has accepted. What is read and written goes
// straight through.
type conn struct {
	*connset.Conn
	listener *Listener
	state    atomic.Uint32 // of the bits below
	writing  atomic.Int32
	streams  streams
}

const (
	begun    = 1 << iota // grpc has begun its handshake, or it is closed
	securing             // in ServerHandshake of our Credentials
	secured              // by them
	failed               // a read has failed: the peer has gone
)

// begin notes that grpc serves the connection, or that it is closed.
func (c *conn) begin() {
	if c.state.Or(begun)&begun == 0 {
		c.listener.waiting.Take()
	}
}

// is reports whether one of the bits is set.
func (c *conn) is(bits uint32) bool { return c.state.Load()&bits != 0 }

// wrap returns a connection as grpc gets it: with SyscallConn and ReadOnReady if the one
// inside has them, and only then.
func (l *Listener) wrap(set *connset.Conn) net.Conn {
	l.waiting.Add()
	_, isSocket := set.NetConn().(syscall.Conn)
	r := readerOf(set)
	switch {
	case isSocket && r != nil:
		return &readySocketConn{socketConn{conn{Conn: set, listener: l}}, r}
	case isSocket:
		return &socketConn{conn{Conn: set, listener: l}}
	case r != nil:
		return &readyConn{conn{Conn: set, listener: l}, r}
	default:
		return &conn{Conn: set, listener: l}
	}
}

// itself returns the connection below whatever wrap has returned.
func (c *conn) itself() *conn { return c }

// tracked returns the connection below, or nil for one that is not from a Listener.
func tracked(c net.Conn) *conn {
	if ours, ok := c.(interface{ itself() *conn }); ok {
		return ours.itself()
	}
	return nil
}

// conns returns the connections that are not closed.
func (l *Listener) conns() []*conn {
	var all []*conn
	for _, c := range l.set.Conns() {
		all = append(all, tracked(c))
	}
	return all
}

// Write is that of the connection inside, until it is being closed.
func (c *conn) Write(b []byte) (int, error) {
	if c.Closing() {
		return 0, net.ErrClosed
	}
	c.writing.Add(1)
	defer c.writing.Add(-1)
	n, err := c.Conn.Write(b)
	c.followRaw(b, n, (*streams).wrote)
	return n, err
}

// Read is that of the connection inside.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.fails(err)
	c.followRaw(b, n, (*streams).read)
	return n, err
}

// Close is that of the connection inside. It notes if grpc cuts off streams by it: Stop was called
// by other code, and not because the peer has gone.
func (c *conn) Close() error {
	if c.listener.elsewhere.Load() && !c.is(failed) && !c.Closing() && !c.streams.none() {
		c.listener.severed.Store(true)
	}
	return c.Conn.Close()
}

// fails notes that a read has failed, unless that is because the connection is being closed.
func (c *conn) fails(err error) {
	if err != nil && !c.Closing() {
		c.state.Or(failed)
	}
}

// followRaw takes in what was read or written, unless that is not what grpc reads or writes.
func (c *conn) followRaw(b []byte, n int, take func(*streams, []byte) bool) {
	if !c.is(securing | secured) {
		c.follow(b, n, take)
	}
}

// follow takes in n bytes that were read or written. It ignores an n that b cannot hold.
func (c *conn) follow(b []byte, n int, take func(*streams, []byte) bool) {
	if n > 0 && n <= len(b) && take(&c.streams, b[:n]) {
		c.awaitQuiet()
	}
	c.listener.tellWritten()
}

// SetDeadline is that of the connection inside. grpc sets one for the handshake and takes
// it away when the handshake is over. Those that credentials set in their part of it do
// not count, if they were given to Credentials.
func (c *conn) SetDeadline(t time.Time) error {
	c.begin()
	if t.IsZero() && !c.is(securing) && c.HandshakeOver() {
		c.listener.served.Store(true)
	}
	return c.Conn.SetDeadline(t)
}

// socketConn is a conn over a connection that has SyscallConn.
type socketConn struct{ conn }

// SyscallConn is that of the connection inside.
func (c *socketConn) SyscallConn() (syscall.RawConn, error) {
	return c.NetConn().(syscall.Conn).SyscallConn() //nolint:forcetypeassert // wrap has looked
}

// readyConn is a conn that grpc reads with ReadOnReady.
type readyConn struct {
	conn
	reader onReady
}

// ReadOnReady is that of the connection inside; see onReady.
func (c *readyConn) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	return c.received(c.reader.ReadOnReady(size, pool))
}

// readySocketConn is a readyConn over a connection that has SyscallConn.
type readySocketConn struct {
	socketConn
	reader onReady
}

// ReadOnReady is that of the connection inside; see onReady.
func (c *readySocketConn) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	return c.received(c.reader.ReadOnReady(size, pool))
}

// received notes that something was read, as Read does.
func (c *conn) received(buf *[]byte, n int, err error) (*[]byte, int, error) {
	c.fails(err)
	if n > 0 {
		c.Received()
	}
	if buf != nil {
		c.followRaw(*buf, n, (*streams).read)
	}
	return buf, n, err
}

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
