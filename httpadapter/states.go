package httpadapter

import (
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"time"
)

// enters is the ConnState of the server that serves.
func (t *connections) enters(nc net.Conn, state http.ConnState) {
	c := t.of(nc)
	if c == nil {
		return
	}
	switch state {
	case http.StateNew:
		if secured, ok := nc.(*tls.Conn); ok {
			c.secured.Store(secured)
		}
	case http.StateActive:
		c.last.Store(notLast)
		c.enter(active)
	case http.StateIdle:
		c.rest()
	case http.StateHijacked:
		t.hijacked(c)
	case http.StateClosed:
		if c.foreign {
			if c.closes(true) {
				t.ended(c)
			}
		} else if c.closes(true) { // Close was not heeded
			_ = c.shut()
		}
	}
}

// hijacked is called when a handler takes a connection over. Of one that net/http has
// without a wrapper nobody sees when it is closed.
func (t *connections) hijacked(c *conn) {
	c.enter(hijacked)
	if c.foreign {
		if c.closes(true) {
			t.ended(c)
		}
		return
	}
	if r := c.current.Load(); r != nil {
		t.server.tracker.hijack(r)
		c.upgrade.Store(r)
		select {
		case <-c.done:
			t.leaves(c)
		default:
		}
	}
	if t.server.leaveHijacked {
		t.server.poke()
	}
}

// leaves ends the connection's part in the request that has taken it over.
func (t *connections) leaves(c *conn) {
	if r := c.upgrade.Swap(nil); r != nil {
		t.server.tracker.leave(r)
	}
}

// enter goes on to a phase. A connection of HTTP/2 that speaks only now may have come
// too late for the GOAWAYs.
func (c *conn) enter(next phase) {
	c.mu.Lock()
	late := c.phase == fresh && c.http2.Load()
	if next == active && c.phase == idle {
		c.used = true
	}
	c.phase, c.awaited = next, false
	if c.quiet != nil {
		c.quiet.Stop()
		c.quiet = nil
	}
	c.mu.Unlock()
	if late && c.server.draining.Load() {
		c.server.sendGoAways()
	}
	if c.server.sparing.Load() {
		c.server.poke()
	}
}

// rest is called when net/http has no request on the connection. While the server
// drains, HTTP/2 has then put the end of its last answer into its buffer, and puts
// the GOAWAY behind that, unless it has sent it already; so the next Write is the
// last. HTTP/1.1 is held back while idle connections are being closed: it would go on
// to a request that it has read already, whose answer could not be sent.
func (c *conn) rest() {
	c.mu.Lock()
	c.phase = idle
	if c.used && c.http2.Load() && c.server.told.Load() {
		c.last.Store(surelyLast)
		c.awaitQuiet()
	}
	c.mu.Unlock()
	if !c.http2.Load() && c.server.sparing.Load() {
		select {
		case <-c.server.spared:
		case <-c.server.stopping:
		}
	}
}

// closes is called when somebody wants to close the connection, and says whether he
// is the first. Without force a connection of HTTP/1.1 on which a request has come in
// this instant is spared: net/http wants to close it because it has not seen that. If
// it is net/http's last word, enters closes the connection.
func (c *conn) closes(force bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !force && c.server.sparing.Load() && c.secured.Load() == nil && c.hasRequest() {
		return false
	}
	c.claim()
	return true
}

// hasRequest says whether the beginning of a request has come that net/http has not
// seen. The mutex is held.
func (c *conn) hasRequest() bool {
	return (c.phase == idle || c.phase == fresh) && !c.http2.Load() && (c.fed || hasInput(c.Conn))
}

// shun is called when net/http is going to close idle connections. It decides for one
// of TLS, where the decision of closes would come too late, whether it may be closed;
// then nothing is read from it any more. It says whether to wait for net/http to see
// that the connection is not idle.
func (c *conn) shun() (wait bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := time.Since(c.accepted) > 4*time.Second // net/http takes a new connection for idle after 5 s
	switch {
	case c.secured.Load() == nil || c.http2.Load() || c.closed:
		return false
	case c.phase == idle && (c.fed || hasInput(c.Conn)), c.phase == fresh && old && (!c.reading.Load() || hasInput(c.Conn)):
		c.awaited = true
		return true
	}
	c.shunned = c.phase == idle || c.phase == fresh && old
	return false
}

// awaits says whether a connection for which shun has said so is idle ever since.
func (c *conn) awaits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed && c.awaited
}

// shunIdle calls shun for all, and blocks until net/http has seen those that are not
// idle, but at most for limit, or until Stop.
func (t *connections) shunIdle(d time.Duration) {
	waiting := slices.DeleteFunc(t.all(), func(c *conn) bool { return !c.shun() })
	if len(waiting) == 0 {
		return
	}
	limit := time.NewTimer(d)
	defer limit.Stop()
	for slices.ContainsFunc(waiting, (*conn).awaits) {
		select {
		case <-t.server.changed:
		case <-limit.C:
			return
		case <-t.server.stopping:
			return
		}
	}
}

// mayBeLast is called when HTTP/2 is going to be told to send its GOAWAY: if the
// connection is idle, and everything that it was sent is answered, that is the next
// Write.
func (c *conn) mayBeLast() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrote = false
	if c.phase == idle && c.http2.Load() && c.reading.Load() && c.writing.Load() == 0 {
		c.last.CompareAndSwap(notLast, lastIfSilent)
	}
}

// isTold is called when HTTP/2 has been told.
func (c *conn) isTold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == idle && c.http2.Load() && !c.closed {
		c.awaitQuiet()
	}
}

// quietTime is for how long nothing may happen on an idle connection of HTTP/2 until
// its GOAWAY counts as sent, where nobody can see that.
const quietTime = 50 * time.Millisecond

// awaitQuiet has the connection end when nothing has happened on it for quietTime. The
// mutex is held.
func (c *conn) awaitQuiet() {
	if c.quiet == nil {
		c.stirred = time.Now()
		c.quiet = time.AfterFunc(quietTime, func() {
			if c.isQuiet() {
				c.endStream()
			}
		})
	}
}

// isQuiet says whether nothing has happened for quietTime since the GOAWAY was written.
// If that was not, or is being written to a peer that does not read, or if something has
// happened in this instant, the timer is set again when it is time.
func (c *conn) isQuiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quiet == nil || !c.wrote || time.Since(c.stirred) < quietTime {
		return false // stir sets the timer, or has
	}
	if c.writing.Load() > 0 {
		c.stir()
		return false
	}
	return true
}

// stir is called when something happens. The mutex is held.
func (c *conn) stir() {
	if c.quiet != nil {
		c.stirred = time.Now()
		c.quiet.Reset(quietTime)
	}
}

// wroteLast is called when the last Write has returned: the peer is told so that it
// closes the connection. net/http would wait for a second.
func (c *conn) wroteLast(how int32) {
	if c.last.CompareAndSwap(how, notLast) {
		c.endStream()
	}
}

// endStream tells the peer that nothing comes any more.
func (c *conn) endStream() {
	c.mu.Lock()
	first := !c.fin && !c.closed && c.phase == idle
	c.fin = c.fin || first
	c.mu.Unlock()
	if !first {
		return
	}
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return
	}
	c.server.foreign.Run("net.Conn.CloseWrite", func() {
		if secured := c.secured.Load(); secured != nil {
			_ = secured.CloseWrite() // it waits for a Write of net/http that has begun
		}
		_ = tcp.CloseWrite() // fails if the connection is closed
	})
}

// closesSilent claims the connection like closes, if no request has come on it since it
// was accepted, or since the last one. One that is younger than age, or on which
// something has come, is claimed only if age is zero.
func (c *conn) closesSilent(age time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed, c.phase != fresh && (c.phase != idle || c.http2.Load()):
		return false
	case age > 0 && (c.heard.Load() || time.Since(c.accepted) < age || hasInput(c.Conn)):
		return false
	}
	c.claim()
	return true
}

// claim notes that somebody closes the connection. The mutex is held.
func (c *conn) claim() {
	c.closed = true
	if c.quiet != nil {
		c.quiet.Stop()
		c.quiet = nil
	}
}

// closeSilent closes the connections of closesSilent, and says how many there were. A
// request whose header is complete in that instant is served, or its handler is not
// called.
func (t *connections) closeSilent(age time.Duration) (closed int) {
	for _, c := range t.all() {
		if c.closesSilent(age) {
			c.end()
			closed++
		}
	}
	return closed
}
