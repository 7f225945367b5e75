package httpconn

import (
	"net"
	"time"
)

// The time for which the drain waits for a silent peer that may still be sending, and for
// one of HTTP/2, which may do so after GOAWAY, in all.
const (
	bodyTime  = time.Second
	quickTime = 5 * time.Millisecond
	http2Time = time.Second
)

// lingers closes a connection whose peer may still be sending, and reports whether it is
// such a one. It does not block.
func (c *Conn) lingers() bool {
	c.mu.Lock()
	http2, sends, hijacked := c.http2.Load(), c.sends && c.phase == busy, c.phase == hijack
	c.mu.Unlock()
	tcp, ok := c.NetConn().(*net.TCPConn)
	switch {
	case !ok || hijacked:
		return false
	case http2: // it says how much it has read
		c.Linger(tcp, quickTime, http2Time)
	case sends || c.Unread(): // also requests that come behind the last one
		c.Linger(tcp, bodyTime, c.conns.opts.Linger())
	default:
		return false
	}
	return true
}

// EndWrites is called when net/http has answered a request whose body it does not want to
// read, before it sleeps and calls Close. The drain does not wait for that.
func (c *Conn) EndWrites(closeWrite func() error) error {
	c.mu.Lock()
	c.sends = c.phase != hijack
	closes := c.sends && c.conns.draining.Load()
	c.mu.Unlock()
	if closes {
		return c.Close()
	}
	return closeWrite()
}

// Answered is called when the handler of a request has returned. net/http reads what is left
// of a short body of HTTP/1.x, before it writes the answer or before it closes the connection.
// In the drain it has bodyTime for that.
func (c *Conn) Answered() {
	c.mu.Lock()
	c.answered = c.body && c.phase == busy
	c.mu.Unlock()
	if c.conns.draining.Load() {
		c.limitBody()
	}
}

// limitBody has the reads of a body end soon whose request is answered. It does not block.
func (c *Conn) limitBody() {
	d := min(bodyTime, c.conns.opts.Linger())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered {
		time.AfterFunc(d, c.endBody)
	}
}

// endBody wakes net/http. (Not by a deadline that is set earlier: net/http sets one of its
// own when all of the body was read.)
func (c *Conn) endBody() {
	c.mu.Lock()
	answered := c.answered && !c.Closing()
	c.sends = c.sends || answered
	c.mu.Unlock()
	if answered {
		c.conns.opts.Calls.Run(callDeadline, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) }) // it fails if the connection is closed
	}
}
