package httpconn

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

// The names under which a report lists calls that have not returned.
const (
	callClose    = "net.Conn.Close"
	callDeadline = "net.Conn.SetDeadline"
)

// Conn is a connection that net/http serves. What is read and written goes straight
// through.
type Conn struct {
	*connset.Wire
	conns *Conns
	// UntilClose: the end of the connection is that of the answer, as its header says.
	UntilClose atomic.Bool
	// Pipelines: a request of HTTP/1.1 was read together with the one before it: the client
	// sends requests before it has the answers. Not every such client is found.
	Pipelines atomic.Bool

	through bool                     // net/http has the *tls.Conn of the listener: no method here is called
	secured atomic.Pointer[tls.Conn] // that net/http has; nil: none
	ending  atomic.Bool              // endHere has called Close of that

	http2 atomic.Bool // it speaks HTTP/2
	asked bool        // whether TLS does is known; of the hooks alone

	handlers atomic.Int32 // requests whose handlers have not returned
	failed   atomic.Bool  // a read has failed: the peer has gone
	severed  atomic.Bool  // see Severed

	mu       sync.Mutex // guards what is below; never held while user code is called
	phase    phase
	used     bool   // there was a request, or the beginning of one, since Mark
	matched  int    // how many bytes of the preface of HTTP/2 it has begun with; -1: it is known
	sends    bool   // the peer may be sending a body that is not read
	fed      bool   // something was read since the last request
	body     bool   // the last request of HTTP/1.x has one
	answered bool   // see Answered
	hijacked func() // called when it is closed, after a handler has hijacked it
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

// users returns a connection as the hooks of the user get it.
func (c *Conn) users(nc net.Conn) net.Conn {
	if _, secured := nc.(*tls.Conn); secured || c == nil {
		return nc
	}
	return c.NetConn()
}

// Hijacked is called when a handler has taken the connection over, and ended when that is
// closed; at once if it is, or if its Close will not be seen: that of a *tls.Conn of the
// listener.
func (c *Conn) Hijacked(ended func()) {
	defer c.conns.opts.Changed()
	if c.through {
		ended()
		return
	}
	c.leaves(hijack)
	if c.conns.opts.LeaveHijacked {
		c.conns.left.Add(1)
	}
	c.mu.Lock()
	c.hijacked = ended
	c.mu.Unlock()
	if foreign.IsClosed(c.Done()) { // closed may have been called before
		c.letGo()
	}
}

// letGo is called when the connection is closed.
func (c *Conn) letGo() {
	c.mu.Lock()
	ended := c.hijacked
	c.hijacked = nil
	c.mu.Unlock()
	if ended == nil {
		return
	}
	if c.conns.opts.LeaveHijacked {
		c.conns.left.Add(-1)
	}
	ended()
}

// preface is what a connection of HTTP/2 begins with.
const preface = "PRI * HTTP/2"

// Read is that of the connection inside. It finds out whether that begins with the preface.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Wire.Read(b)
	if err != nil && !c.Closing() {
		c.failed.Store(true)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fed = c.fed || n > 0
	for i := 0; i < n && c.matched >= 0; i++ {
		if b[i] != preface[c.matched] {
			c.matched = -1
		} else if c.matched++; c.matched == len(preface) {
			c.matched = -1
			c.http2.Store(true)
		}
	}
	return n, err
}

// Close closes the connection, once; see [connset.Conn.Close]. Once answers end connections
// it never blocks, and a peer that is still sending may read its answer.
func (c *Conn) Close() error {
	c.noteSevered()
	switch {
	case !c.conns.leaving.Load():
		return c.Wire.Close()
	case c.ending.Load(): // endHere does
	case c.lingers():
	default:
		c.Finish()
	}
	return nil
}

// enters is called before the ConnState of the user.
func (c *Conn) enters(nc net.Conn, state http.ConnState) {
	switch {
	case state == http.StateNew:
		secured, _ := nc.(*tls.Conn)
		c.secured.Store(secured)
	case state == http.StateActive:
		http2 := c.speaksHTTP2(nc)
		c.mu.Lock()
		if c.used = true; http2 { // of HTTP/1.x it only says that something was read
			c.phase = busy
		}
		c.mu.Unlock()
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
func (c *Conn) speaksHTTP2(nc net.Conn) bool {
	secured, ok := nc.(interface{ ConnectionState() tls.ConnectionState })
	if ok && !c.asked && secured.ConnectionState().NegotiatedProtocol == "h2" {
		c.http2.Store(true)
	}
	c.asked = true
	return c.http2.Load()
}

// Serves is called when the handler of a request is going to be called, and reports
// whether it may be: not if the connection is being closed in this instant.
func (c *Conn) Serves(http1, body bool) bool {
	if http1 {
		c.UntilClose.Store(false)
		c.mu.Lock()
		c.phase, c.used, c.answered = busy, true, false
		c.body = body
		if !c.fed && !c.through {
			c.Pipelines.Store(true)
		}
		c.fed = false
		c.sends = body && c.secured.Load() != nil // without TLS net/http calls CloseWrite
		c.mu.Unlock()
	}
	return c.shaken() && !c.Claimed()
}

func (c *Conn) set(to phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase, c.answered = to, false
}

// mark forgets the requests that are over.
func (c *Conn) mark() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = c.phase != idle
}

// WasIdle reports whether it is known that there was no request since Mark, not even the
// beginning of one.
func (c *Conn) WasIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == idle && !c.Handshaking() && !c.used
}

// leaves is called when the connection does not speak HTTP any more.
func (c *Conn) leaves(to phase) {
	c.set(to)
	c.shaken()
}

// shaken ends the handshake, and reports whether the connection is open.
func (c *Conn) shaken() bool {
	if !c.Handshaking() {
		return !c.Closing()
	}
	defer c.conns.opts.Changed()
	return c.HandshakeOver()
}

// rests is called when net/http has no request on the connection. One of HTTP/1.x ends in
// the drain: if the header of its last answer was out before the announcement, that did
// not tell the peer to go.
//
// One of HTTP/2 rests when it has begun to speak, before its first stream. In the drain
// GOAWAY has to wait for that: it would refuse the stream.
func (c *Conn) rests(http2 bool) {
	c.set(idle)
	switch drains := c.conns.draining.Load(); {
	case !drains:
		c.shaken()
	case http2:
		if c.Handshaking() {
			time.AfterFunc(quietTime, func() { c.shaken() })
		}
	default:
		if c.drain(false) {
			c.end()
		}
		c.shaken()
	}
	if c.conns.told.Load() {
		c.tell(true)
	}
}

// drain claims an idle connection of HTTP/1.x, and reports whether it does: then end has to
// come. If spare is set and something has come, it does not: that may be a request that
// net/http has not seen, so the connection has as much time as in its handshake.
func (c *Conn) drain(spare bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.phase != idle || c.http2.Load():
	case c.Claim(!spare):
		return true
	case spare && !c.Claimed():
		c.HandshakeAgain()
	}
	return false
}

// end closes a connection that is claimed. It does not block.
func (c *Conn) end() { c.conns.opts.Calls.Run(callClose, c.endHere) }

// endHere is end, and may block: over TLS it says goodbye, for which the peer has 5 s.
func (c *Conn) endHere() {
	if secured := c.secured.Load(); secured != nil {
		c.ending.Store(true)
		_ = secured.Close() // nothing depends on it any more
		c.ending.Store(false)
	}
	if !c.lingers() {
		c.CloseHere() // nothing that was read is unanswered; to look for more takes as long as to close
	}
}

// quietTime is for how long nothing may be read or written on an idle connection of
// HTTP/2 until it is closed, once it was told to send GOAWAY. net/http leaves that to the
// peer, or closes it after a second. When ConnState says that it is idle, its last answer
// may be in a buffer, and a stream on its way.
const quietTime = 50 * time.Millisecond

// tell is called when Shutdown of the http.Server is going to be called, and when the
// connection becomes idle after that, which wrote says: it has written its GOAWAY.
func (c *Conn) tell(wrote bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http2.Load() && c.phase == idle && !c.through { // of such a one nothing is seen
		c.AwaitQuiet(quietTime, wrote, c.end)
	}
}

func (c *Conn) is(p phase) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == p
}
