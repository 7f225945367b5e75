package httpadapter

import (
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/lastcall-go/lastcall/internal/sock"
)

// callCloseConn is the name under which a report has a Close that does not return,
// also one that waits until the peer has what was written.
const callCloseConn = "net.Conn.Close"

// connections knows the connections that are open.
type connections struct {
	server *Server

	mu     sync.Mutex // never held while foreign code is called
	conns  map[*conn]struct{}
	tls    map[net.Conn]*conn // those that net/http has without a wrapper
	closed bool               // none is taken in any more
}

// accepting is the listener as net/http gets it.
type accepting struct {
	net.Listener
	server *Server
}

// Accept blocks until there is a connection, or the listener is closed.
func (a *accepting) Accept() (net.Conn, error) {
	for {
		inner, err := a.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c, ok := a.server.conns.admit(inner); ok {
			return c, nil
		}
	}
}

// admit takes in a connection and returns it as net/http gets it. It closes the
// connection instead, and returns false, if none is wanted any more.
func (t *connections) admit(inner net.Conn) (net.Conn, bool) {
	c := newConn(t.server, inner)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		t.refuse(inner)
		return nil, false
	}
	if t.conns == nil {
		t.conns, t.tls = map[*conn]struct{}{}, map[net.Conn]*conn{}
	}
	t.conns[c] = struct{}{}
	if c.foreign {
		t.tls[inner] = c
	}
	return c.outside(), true
}

// refuse closes a connection that came too late.
func (t *connections) refuse(inner net.Conn) {
	t.server.foreign.Run(callCloseConn, func() { _ = inner.Close() })
}

// of returns what is known of a connection that net/http has; nil if that is none of
// ours.
func (t *connections) of(c net.Conn) *conn {
	if ours := trackedConn(c); ours != nil {
		return ours
	}
	secured, ok := c.(*tls.Conn)
	if !ok {
		return nil
	}
	if ours := trackedConn(secured.NetConn()); ours != nil {
		return ours
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tls[c]
}

// upgraded returns a function of TLSNextProto which tells that a connection speaks
// that protocol.
func (t *connections) upgraded(proto string, serve func(*http.Server, *tls.Conn, http.Handler)) func(*http.Server, *tls.Conn, http.Handler) {
	return func(srv *http.Server, c *tls.Conn, h http.Handler) {
		ours := t.of(c)
		switch {
		case ours == nil: // HTTP/2 without TLS: seen when it was read
		case proto == "h2":
			ours.http2.Store(true)
		default:
			ours.enter(other)
		}
		serve(srv, c, h)
	}
}

// all returns the connections that are not closed.
func (t *connections) all() []*conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.conns))
}

// seal takes none in any more, if no connection is open for which GracefulStop waits,
// and says whether that is so.
func (t *connections) seal() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		if !t.server.leaveHijacked || !c.isHijacked() {
			return false
		}
	}
	t.closed = true
	return true
}

// close takes none in any more.
func (t *connections) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// ended is called when a connection is closed.
func (t *connections) ended(c *conn) {
	t.mu.Lock()
	delete(t.conns, c)
	if c.foreign {
		delete(t.tls, c.Conn)
	}
	close(c.done)
	t.mu.Unlock()
	t.leaves(c)
	if t.server.draining.Load() || t.server.sparing.Load() {
		t.server.poke()
	}
}

// shut closes a connection for whoever knows that he is the first.
func (c *conn) shut() error {
	if !c.server.draining.Load() && !c.server.sparing.Load() {
		switch c.Conn.(type) {
		case *net.TCPConn, *net.UnixConn:
			defer c.server.conns.ended(c)
			return c.Conn.Close()
		}
	}
	c.server.foreign.Run(callCloseConn, func() {
		defer c.server.conns.ended(c)
		c.finish()
	})
	return nil
}

// finish closes a connection, when the peer has what was written, if that can be
// known.
func (c *conn) finish() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		early := c.early.Load() || c.secured.Load() != nil && c.is(active) && hasInput(tcp)
		deliver(tcp, c.server.writeTimeout(), c.http2.Load() || early, c.server.lingerLimit)
		sock.Finish(tcp)
		return
	}
	sock.Finish(c.Conn)
}

// sever closes a connection in the middle of something. It does not block. It says
// whether nobody had closed it before.
func (c *conn) sever() bool {
	if c.closes(true) {
		c.end()
		return true
	}
	c.server.foreign.Run(callCloseConn, func() { sock.Finish(c.below()) }) // it may be waiting for the peer
	return false
}

// end is the rest of sever for whoever knows that he is the first.
func (c *conn) end() {
	c.server.foreign.Run(callCloseConn, func() {
		defer c.server.conns.ended(c)
		sock.Finish(c.below())
	})
}

// below returns the connection under the TLS that the listener has brought along: the
// end of TLS may wait for a peer that does not read.
func (c *conn) below() net.Conn {
	if secured, ok := c.Conn.(*tls.Conn); ok {
		return secured.NetConn()
	}
	return c.Conn
}
