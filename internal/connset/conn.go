package connset

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/sock"
)

// The names under which a report lists calls that have not returned.
const (
	CallCloseConn   = "net.Conn.Close"
	CallSyscallConn = "net.Conn.SyscallConn"
	callDeadline    = "net.Conn.SetDeadline"
	callLinger      = "a peer that still sends"
)

// Conn is a connection of a [Set]. Methods that are not described here are those of the
// connection inside. All may be called concurrently.
type Conn struct {
	net.Conn // as the listener returned it
	set      *Set
	outside  net.Conn      // what Options.Wrap returned
	accepted time.Duration // since the Set was made
	state    atomic.Uint32 // of the bits below

	// guarded by the set's mutex
	gone bool          // Close of the connection inside has returned
	done chan struct{} // see Done; nil as long as no caller has asked for it
}

const (
	heard     = 1 << iota // something was read
	lingering             // see Linger
	closing               // it is not open any more; set with the set's mutex held
	cut                   // see WasCut; set with closing
	reached               // see Reached
	shaking               // it is in its handshake; changed with the set's mutex held
)

// NetConn returns the connection as the listener returned it.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Read is that of the connection inside. It notes that something has come.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.Received()
	}
	return n, err
}

// Received notes that something has come, for types that read without Read.
func (c *Conn) Received() {
	if !c.Heard() { // so that the line of the cache stays shared
		c.state.Or(heard)
	}
}

// Heard reports whether anything was read.
func (c *Conn) Heard() bool { return c.state.Load()&heard != 0 }

// Closing reports whether the connection was closed, by whomever, or is being closed.
func (c *Conn) Closing() bool { return c.state.Load()&closing != 0 }

// Done returns a channel that is closed when Close of the connection inside has
// returned. It is always the same channel.
func (c *Conn) Done() <-chan struct{} {
	s := c.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.done == nil { // most connections need none
		c.done = make(chan struct{})
		if c.gone {
			close(c.done)
		}
	}
	return c.done
}

// Handshaking reports whether the connection is in its handshake.
func (c *Conn) Handshaking() bool { return c.state.Load()&shaking != 0 }

// HandshakeOver ends the handshake, and reports whether the connection is open. It is
// false if the handshake was too late: then the connection was cut.
func (c *Conn) HandshakeOver() bool {
	s := c.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Closing() {
		return false
	}
	s.shaken(c)
	s.settle()
	return true
}

// HandshakeAgain puts the connection into its handshake again, for a request that may be
// on its way when Close was called. The time limit holds from now on, if it has not begun.
func (c *Conn) HandshakeAgain() {
	s := c.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Closing() || c.Handshaking() {
		return
	}
	c.state.Or(shaking)
	s.counts.Handshaking++
	s.arm()
}

// Close closes the connection, once: a second call does nothing and returns nil. It
// blocks only for a *net.TCPConn and a *net.UnixConn, for as long as their Close does.
// Others are closed on another goroutine, and their error is dropped.
func (c *Conn) Close() error {
	if !c.claim() {
		return nil
	}
	if c.Direct() {
		defer c.ended()
		return c.Conn.Close()
	}
	c.set.opts.Calls.Run(CallCloseConn, c.close)
	return nil
}

// Finish closes the connection like Close, but never blocks, and so that the peer sees
// the end of the stream and not a reset: what the peer has sent and the server has not
// read is dropped first. It reports whether the connection was open.
func (c *Conn) Finish() bool {
	first := c.claim()
	if first {
		c.finish()
	}
	return first
}

// FinishHere is Finish on the caller's goroutine. It blocks for as long as Close of the
// connection inside does.
func (c *Conn) FinishHere() {
	if c.claim() {
		c.finishHere()
	}
}

// CloseHere is Close on the caller's goroutine. It blocks for as long as Close of the
// connection inside does. What has arrived and was not read makes it a reset.
func (c *Conn) CloseHere() {
	if c.claim() {
		c.close()
	}
}

// The time for which Linger lets a peer be silent before it closes the connection, and for
// which it reads at most.
const (
	LingerTime = time.Second
	MaxLinger  = 5 * time.Second
)

// Linger is Finish for a connection over TCP whose peer may still be sending: a body that
// the server does not want, or how much of the answer it has read. To close it would make
// the kernel send a reset as soon as something comes, and drop what the peer does not have.
// So only the sending side is closed, and what comes is read and dropped, until the peer
// closes the connection, or is silent for a second, or has gone on for 5 s.
//
// The Set counts the connection as closed earlier: when the peer has been silent for hold,
// or has gone on for most. With Options.InFull it is closed then. Until then another way to close
// it ends this at once. Of several calls the first counts. It does not block.
func (c *Conn) Linger(tcp *net.TCPConn, hold, most time.Duration) {
	if c.state.Or(lingering)&lingering != 0 {
		return
	}
	c.set.opts.Calls.Run(callLinger, func() {
		if secured, ok := c.Conn.(*tls.Conn); ok {
			_ = secured.CloseWrite() // it fails if the peer has gone
		}
		if tcp.CloseWrite() == nil && !sock.Drop(tcp, hold, most) && !c.set.opts.InFull && c.claim() {
			c.ended()
			go func() {
				sock.Drop(tcp, LingerTime, MaxLinger)
				_ = tcp.Close() // nothing depends on it any more
			}()
			return
		}
		c.FinishHere()
	})
}

// Unread drops what has arrived and was not read, and reports whether there was any: the
// peer may go on sending. It does so for connections of package net only, at once.
func (c *Conn) Unread() bool { return c.Direct() && sock.Discard(c.Conn) }

// Cut is Finish for a connection in the middle of something, and counts it in Counts.Cut. If it
// is being closed already, what is below it is closed as well: its Close may be waiting for the
// peer.
func (c *Conn) Cut() bool {
	first := c.CutOpen()
	if !first {
		c.cutBelow()
	}
	return first
}

// CutOpen is Cut for a connection that is open. Of one that is being closed it does nothing.
func (c *Conn) CutOpen() bool {
	s := c.set
	s.mu.Lock()
	first, shaking := s.leave(c)
	if first {
		c.state.Or(cut)
		s.counts.Cut++
	}
	s.settle()
	s.mu.Unlock()
	if first {
		c.finish()
	}
	s.tellShaken(shaking)
	return first
}

// WasCut reports whether CutOpen has closed the connection.
func (c *Conn) WasCut() bool { return c.state.Load()&cut != 0 }

// Reached reports whether Cut has found a connection below, whose Close had not returned.
func (c *Conn) Reached() bool { return c.state.Load()&reached != 0 }

// maxDepth is how many connections one may be made of.
const maxDepth = 10

// cutBelow closes the lowest connection below one whose Close has not returned. It does not
// block.
func (c *Conn) cutBelow() {
	if _, around := c.Conn.(interface{ NetConn() net.Conn }); !around || foreign.IsClosed(c.Done()) {
		return
	}
	c.set.opts.Calls.Run(CallCloseConn, func() {
		var below net.Conn
		for at, depth := c.Conn, 0; depth < maxDepth; depth++ {
			over, ok := at.(interface{ NetConn() net.Conn })
			if !ok {
				break
			}
			at = over.NetConn()
			below = at
		}
		if !foreign.IsNil(below) && !foreign.IsClosed(c.Done()) {
			c.state.Or(reached)
			c.set.end(below)
		}
	})
}

// Release takes the connection out of the Set without closing it, for one whose Close
// will not be seen.
func (c *Conn) Release() {
	if c.claim() {
		c.ended()
	}
}

// claim takes the connection out of those that are open, and reports whether it was one.
func (c *Conn) claim() bool {
	if c.Closing() { // for good; without the lock, for which thousands queue that close at once
		return false
	}
	s := c.set
	s.mu.Lock()
	first, shaking := s.leave(c)
	s.settle()
	s.mu.Unlock()
	s.tellShaken(shaking)
	return first
}

// close closes the connection inside.
func (c *Conn) close() {
	defer c.ended()
	_ = c.Conn.Close() // nothing depends on it any more
}

// finish closes the connection inside in the middle of something, and does not block.
func (c *Conn) finish() { c.set.opts.Calls.Run(CallCloseConn, c.finishHere) }

// finishHere is finish, and blocks. The end of TLS would wait for a peer that does not
// read, so it is left out, unless that is wanted.
func (c *Conn) finishHere() {
	defer c.ended()
	inner := c.Conn
	if secured, ok := inner.(*tls.Conn); ok && !c.set.opts.InFull {
		inner = secured.NetConn()
	}
	c.set.end(inner)
}

// end closes a connection so that its peer sees the end of the stream and not a reset.
func (s *Set) end(c net.Conn) {
	if sock.IsNet(c) {
		sock.Discard(c)
	} else {
		s.discard(c)
	}
	_ = c.Close() // nothing depends on it any more
}

// Direct reports whether the connection inside is one of package net.
func (c *Conn) Direct() bool { return sock.IsNet(c.Conn) }

// discardTime bounds how long a connection that is not of package net may take to name
// the socket below it, before it is closed all the same.
const discardTime = 10 * time.Millisecond

// discard drops what the peer has sent and the server has not read, if the connection
// names its socket in time.
func (s *Set) discard(c net.Conn) {
	_, direct := c.(syscall.Conn)
	_, around := c.(interface{ NetConn() net.Conn })
	if !direct && !around {
		return
	}
	dropped := s.opts.Calls.Run(CallSyscallConn, func() { sock.Discard(c) })
	foreign.Within(dropped, discardTime)
}

// ended is called once, when Close of the connection inside has returned.
func (c *Conn) ended() {
	s := c.set
	s.mu.Lock()
	delete(s.conns, c)
	c.gone = true
	if c.done != nil {
		close(c.done)
	}
	s.settle()
	s.mu.Unlock()
	if s.opts.Closed != nil {
		s.opts.Closed(c.outside)
	}
}
