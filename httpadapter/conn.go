package httpadapter

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
)

// conn is a connection that net/http serves. What is read and written goes straight
// through.
type conn struct {
	*connset.Wire
	server  *Server
	through bool                     // net/http has the *tls.Conn of the listener: no method here is called
	secured atomic.Pointer[tls.Conn] // that net/http has; nil: none
	ending  atomic.Bool              // endHere has called Close of that

	mu       sync.Mutex // guards what is below; never held while user code is called
	phase    phase
	shaking  bool // connset has it in its handshake
	http2    bool
	asked    bool     // whether TLS speaks HTTP/2 is known
	matched  int      // how many bytes of the preface of HTTP/2 it has begun with; -1: it is known
	sends    bool     // the peer may be sending a body that is not read
	hijacker *request // whose handler has hijacked it, until it is closed
}

// phase is what a connection is in.
type phase uint8

const (
	fresh  phase = iota // no request has come
	idle                // between two requests
	busy                // a request is served
	hijack              // a handler has taken it over
	other               // it speaks a protocol of the user's TLSNextProto
)

// accepting is the Set as net/http sees it.
type accepting struct{ *Server }

func (a accepting) Close() error { return a.conns.Close() }

func (a accepting) Accept() (net.Conn, error) {
	c, err := a.conns.Accept()
	if _, secured := c.(*tls.Conn); err == nil && secured && a.tls {
		_ = c.Close() // the error says why
		return nil, errors.New("httpadapter: the listener returns a *tls.Conn, and WithTLS would put TLS into TLS: use WithoutTLS with this listener")
	}
	return c, err
}

// wrap returns a connection as net/http gets it. A *tls.Conn stays one: before Go 1.27
// net/http speaks HTTP/2 on nothing else.
func (s *Server) wrap(set *connset.Conn) net.Conn {
	c := &conn{Wire: &connset.Wire{Conn: set}, server: s, shaking: true}
	secured, ok := set.NetConn().(*tls.Conn)
	if !ok {
		return connset.WithMethods(c)
	}
	c.through = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.through[secured] = c
	return secured
}

// connOf returns what is known of a connection that net/http has; nil if it is not one of
// ours.
func (s *Server) connOf(nc net.Conn) *conn {
	secured, ok := nc.(*tls.Conn)
	if ok {
		nc = secured.NetConn()
	}
	if c, ok := connset.WithoutMethods(nc).(*conn); ok {
		return c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.through[secured]
}

// users returns a connection as the hooks of the user get it.
func (c *conn) users(nc net.Conn) net.Conn {
	if _, secured := nc.(*tls.Conn); secured || c == nil {
		return nc
	}
	return c.NetConn()
}

// closed is called when a connection is closed.
func (s *Server) closed(nc net.Conn) {
	c := s.connOf(nc)
	if secured, ok := nc.(*tls.Conn); ok {
		s.mu.Lock()
		delete(s.through, secured)
		s.mu.Unlock()
	}
	c.StopQuiet()
	c.lets()
	s.poke()
}

// lets ends the connection's part in the request that has taken it over.
func (c *conn) lets() {
	c.mu.Lock()
	r := c.hijacker
	c.hijacker = nil
	c.mu.Unlock()
	if r != nil {
		if c.server.leaveHijacked {
			c.server.left.Add(-1)
		}
		c.server.tracker.End(r, r.fate())
	}
}

// all returns the connections that are not closed.
func (s *Server) all() []*conn {
	var all []*conn
	for _, nc := range s.conns.Conns() {
		if c := s.connOf(nc); c != nil { // it may have been closed since
			all = append(all, c)
		}
	}
	return all
}

// preface is what a connection of HTTP/2 begins with.
const preface = "PRI * HTTP/2"

// Read is that of the connection inside. It finds out whether that begins with the preface.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Wire.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; i < n && c.matched >= 0; i++ {
		if b[i] != preface[c.matched] {
			c.matched = -1
		} else if c.matched++; c.matched == len(preface) {
			c.http2, c.matched = true, -1
		}
	}
	return n, err
}

// Close closes the connection, once; see [connset.Conn.Close]. In the drain it never
// blocks, and a peer that is still sending may read its answer.
func (c *conn) Close() error {
	switch {
	case !c.server.draining.Load():
		return c.Wire.Close()
	case c.ending.Load():
		c.FinishHere()
		return nil
	}
	tcp, ok := c.NetConn().(*net.TCPConn)
	c.mu.Lock()
	sends := c.sends && c.phase == busy
	c.mu.Unlock()
	if ok && sends {
		c.Linger(tcp, c.server.within(time.Hour))
	} else {
		c.Finish()
	}
	return nil
}

// EndWrites is called when net/http has answered a request whose body it does not want to
// read, before it sleeps and calls Close. The drain does not wait for that.
func (c *conn) EndWrites(closeWrite func() error) error {
	c.mu.Lock()
	c.sends = c.phase != hijack
	closes := c.sends && c.server.draining.Load()
	c.mu.Unlock()
	if closes {
		return c.Close()
	}
	return closeWrite()
}

// enters is called before the ConnState of the user.
func (c *conn) enters(nc net.Conn, state http.ConnState) {
	secured, _ := nc.(*tls.Conn)
	switch {
	case state == http.StateNew && secured != nil:
		c.secured.Store(secured)
	case state == http.StateActive && c.speaksHTTP2(nc): // of HTTP/1.x it only says that something was read
		c.set(busy)
		c.StopQuiet()
	case state == http.StateIdle:
		c.rests(c.speaksHTTP2(nc))
	case state == http.StateHijacked && c.through: // its Close is not seen
		c.Release()
	case state == http.StateClosed && c.through: // the same
		c.Finish()
	}
}

// speaksHTTP2 reports whether the connection speaks HTTP/2. With TLS it is asked once.
func (c *conn) speaksHTTP2(nc net.Conn) bool {
	c.mu.Lock()
	known, http2 := c.asked || c.http2, c.http2
	c.mu.Unlock()
	if known {
		return http2
	}
	if secured, ok := nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
		http2 = secured.ConnectionState().NegotiatedProtocol == "h2"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.http2 = true, http2
	return http2
}

// serves is called when the handler of a request is going to be called, and reports
// whether it may be: not if the connection is being closed in this instant.
func (c *conn) serves(r *request) bool {
	if r.http1 {
		c.mu.Lock()
		c.phase, c.sends = busy, r.body && c.secured.Load() != nil // without TLS net/http calls CloseWrite
		c.mu.Unlock()
	}
	return c.shaken() && !c.Claimed()
}

func (c *conn) set(to phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = to
}

// leaves is called when the connection does not speak HTTP any more.
func (c *conn) leaves(to phase) {
	c.set(to)
	c.shaken()
}

// shaken ends the handshake, and reports whether the connection is open.
func (c *conn) shaken() bool {
	c.mu.Lock()
	shaking := c.shaking
	c.shaking = false
	c.mu.Unlock()
	if !shaking {
		return !c.Closing()
	}
	defer c.server.poke()
	return c.HandshakeOver()
}

// rests is called when net/http has no request on the connection. One of HTTP/1.x ends in
// the drain: if the header of its last answer was out before the announcement, that did
// not tell the peer to go.
//
// One of HTTP/2 rests when it has begun to speak, before its first stream. In the drain
// GOAWAY has to wait for that: it would refuse the stream.
func (c *conn) rests(http2 bool) {
	c.set(idle)
	switch drains := c.server.draining.Load(); {
	case !drains:
		c.shaken()
	case http2:
		if c.isShaking() {
			time.AfterFunc(quietTime, func() { c.shaken() })
		}
	default:
		if c.drain(false) {
			c.end()
		}
		c.shaken()
	}
	if c.server.told.Load() {
		c.tell(true)
	}
}

// drain claims an idle connection of HTTP/1.x, and reports whether it does: then end has to
// come. If spare is set and something has come, it does not: that may be a request that
// net/http has not seen, so the connection has as much time as in its handshake.
func (c *conn) drain(spare bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.phase != idle || c.http2:
	case c.Claim(!spare):
		return true
	case spare && !c.Claimed():
		c.shaking = true
		c.HandshakeAgain()
	}
	return false
}

// end closes a connection that is claimed. It does not block.
func (c *conn) end() { c.server.calls.Run(callEnd, c.endHere) }

// endHere is end, and may block: over TLS it says goodbye, for which the peer has 5 s.
func (c *conn) endHere() {
	if secured := c.secured.Load(); secured != nil {
		c.ending.Store(true)
		_ = secured.Close() // which calls Close, unless it was called before
	}
	c.FinishHere()
}

// quietTime is for how long nothing may be read or written on an idle connection of
// HTTP/2 until it is closed, once it was told to send GOAWAY. net/http leaves that to the
// peer, or closes it after a second. When ConnState says that it is idle, its last answer
// may be in a buffer, and a stream on its way.
const quietTime = 50 * time.Millisecond

// tell is called when Shutdown of the http.Server is going to be called, and when the
// connection becomes idle after that, which wrote says: it has written its GOAWAY.
func (c *conn) tell(wrote bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http2 && c.phase == idle && !c.through { // of such a one nothing is seen
		c.AwaitQuiet(quietTime, wrote, c.end)
	}
}

func (c *conn) isShaking() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shaking
}

func (c *conn) is(p phase) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == p
}
