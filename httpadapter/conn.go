package httpadapter

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a connection that the listener has accepted. What is read and written goes
// straight through.
type conn struct {
	net.Conn // as the listener gave it
	server   *Server
	accepted time.Time
	foreign  bool          // net/http has the connection itself, and nothing of this type
	done     chan struct{} // closed when the connection is closed

	heard   atomic.Bool              // something was read
	http2   atomic.Bool              // it speaks HTTP/2
	early   atomic.Bool              // the last answer was given before its request was read
	reading atomic.Bool              // in Read
	writing atomic.Int32             // in Write
	last    atomic.Int32             // see lastWrite
	secured atomic.Pointer[tls.Conn] // around this one; nil: none
	current atomic.Pointer[request]  // of HTTP/1.1, the one that was served last
	upgrade atomic.Pointer[request]  // whose handler has taken it over, until it is closed

	mu      sync.Mutex // guards what is below; never held while foreign code is called
	phase   phase
	quiet   *time.Timer // fires when an idle connection of HTTP/2 has been told, and is quiet; nil: it was not
	stirred time.Time   // when something happened last since quiet is there
	matched int         // how many bytes of the preface of HTTP/2 it has begun with
	fed     bool        // something was read since the last Write
	wrote   bool        // something was written since the GOAWAY was asked for
	used    bool        // HTTP/2: it has had a request
	awaited bool        // net/http is about to see that it is not idle
	shunned bool        // it is going to be closed: what comes is not read any more
	closed  bool        // somebody has closed it for good
	fin     bool        // the last Write was, and the peer was told
}

// phase is what a connection is in.
type phase uint8

const (
	fresh    phase = iota // no request has come
	active                // a request is served
	idle                  // between two requests
	hijacked              // somebody else has it
	other                 // it speaks a protocol of the user's TLSNextProto
)

// What the next Write is, if it begins after that is set.
const (
	notLast      int32 = iota
	surelyLast         // of HTTP/2: it has the end of the last answer, and the GOAWAY
	lastIfSilent       // it has the GOAWAY, if nothing was read before
)

// socket is a conn over TCP: what that can do beyond a net.Conn it can do as well.
type socket struct {
	*net.TCPConn
	conn *conn
}

func newConn(s *Server, inner net.Conn) *conn {
	_, foreign := inner.(*tls.Conn)
	return &conn{Conn: inner, server: s, accepted: time.Now(), foreign: foreign, done: make(chan struct{})}
}

// outside returns the connection as net/http gets it. A *tls.Conn stays one, because
// net/http looks for it.
func (c *conn) outside() net.Conn {
	if c.foreign {
		return c.Conn
	}
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return &socket{TCPConn: tcp, conn: c}
	}
	return c
}

// outside returns the connection as the user's hooks get it: as the listener gave it,
// or as the *tls.Conn around that.
func outside(c net.Conn) net.Conn {
	if ours := trackedConn(c); ours != nil {
		return ours.Conn
	}
	return c
}

// trackedConn returns the conn that a net.Conn of outside is, or nil.
func trackedConn(c net.Conn) *conn {
	switch c := c.(type) {
	case *conn:
		return c
	case *socket:
		return c.conn
	}
	return nil
}

// NetConn returns the connection as the listener gave it.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Read is that of the connection inside.
func (c *conn) Read(b []byte) (int, error) {
	c.reading.Store(true)
	n, err := c.Conn.Read(b)
	if n > 0 && !c.hear(b[:n]) {
		return 0, errClosed("read") // net/http takes it for the end; any other is answered 400
	}
	c.reading.Store(false)
	return n, err
}

// hear is called when something was read, and says whether anybody may have it: what
// comes on a connection that is being closed must not become a request.
func (c *conn) hear(b []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.shunned {
		return false
	}
	c.fed = true
	c.stir()
	c.match(b)
	c.last.CompareAndSwap(lastIfSilent, notLast)
	return true
}

// preface is what a connection of HTTP/2 begins with.
const preface = "PRI * HTTP/2"

// match finds out whether the connection speaks HTTP/2, by what was read first. The
// mutex is held.
func (c *conn) match(b []byte) {
	c.heard.Store(true)
	if c.matched < 0 {
		return
	}
	for _, got := range b {
		if got != preface[c.matched] {
			c.matched = -1
			return
		}
		c.matched++
		if c.matched == len(preface) {
			c.http2.Store(true)
			c.matched = -1
			return
		}
	}
}

// errClosed is what the connections of package net return when they are closed.
func errClosed(op string) error { return &net.OpError{Op: op, Net: "tcp", Err: net.ErrClosed} }

// Write is that of the connection inside. Nothing is written when the connection has
// been closed, although that may still be under way.
func (c *conn) Write(b []byte) (int, error) {
	if !c.begins() {
		return 0, errClosed("write")
	}
	last := c.last.Load()
	n, err := c.Conn.Write(b)
	c.writing.Add(-1)
	if last != notLast && len(b) < fullBuffer {
		c.wroteLast(last)
	}
	return n, err
}

// begins is called when something is going to be written. What is read afterwards may
// belong to the next request, even if net/http has not ended this one. It says whether
// anything may be written.
func (c *conn) begins() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.writing.Add(1)
	c.fed, c.wrote = false, true
	c.stir()
	return true
}

// fullBuffer is how much net/http writes at a time if there may be more.
const fullBuffer = 4 << 10

// Close closes the connection, once: a second call does nothing and returns nil. It
// does not block, unless the connection is of package net and nothing is drained.
func (c *conn) Close() error {
	if !c.closes(false) {
		return nil
	}
	return c.shut()
}

// Read is that of the conn.
func (c *socket) Read(b []byte) (int, error) { return c.conn.Read(b) }

// Write is that of the conn.
func (c *socket) Write(b []byte) (int, error) { return c.conn.Write(b) }

// Close is that of the conn.
func (c *socket) Close() error { return c.conn.Close() }

// NetConn returns the *net.TCPConn.
func (c *socket) NetConn() net.Conn { return c.TCPConn }

// ReadFrom lets the kernel send a file.
func (c *socket) ReadFrom(r io.Reader) (int64, error) {
	if !c.conn.begins() {
		return 0, errClosed("write")
	}
	defer c.conn.writing.Add(-1)
	return c.TCPConn.ReadFrom(r)
}

// CloseWrite is that of the connection inside; while the server drains it is the end
// of the connection, too. net/http calls it when it has answered a request whose body
// it does not want to read, and then sleeps before it calls Close. The peer may be
// writing that body still, before it reads the answer.
func (c *socket) CloseWrite() error {
	if c.conn.server.draining.Load() && !c.conn.isHijacked() {
		c.conn.early.Store(true)
		return c.Close()
	}
	return c.TCPConn.CloseWrite()
}

func (c *conn) isHijacked() bool { return c.is(hijacked) }

func (c *conn) is(p phase) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == p
}

// isClosed says whether somebody has closed the connection for good.
func (c *conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}
