// Package connset keeps the connections of one listener from Accept until their Close
// has returned. It lets a server close its listener, end the handshakes of silent peers,
// and cut what is left, without waiting for a listener, a connection or a peer that
// hangs.
//
// A package that serves embeds [Conn] in a connection type of its own, which it gives to
// its server through [Options].Wrap:
//
//	set := connset.New(lis, connset.Options{Owner: "grpcadapter", Calls: &calls, Wrap: wrap})
//	go server.Serve(set)
//	<-set.Accepting() // the server is ready
//	set.Close()       // refuse peers; handshakes have a time limit from now on
//	<-set.Drained()   // no connection is open any more
//	set.Cut()         // or: close what is left
//
// No lock of this package is held while user code runs: the methods of the listener and
// its connections, and the functions of Options. Those that may hang run on goroutines
// of their own, and [foreign.Calls] names them.
package connset

import (
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// Options configure a [Set]. Calls is required.
type Options struct {
	// Owner is the name with which errors begin.
	Owner string
	// Calls runs and names the calls into the listener and its connections.
	Calls *foreign.Calls
	// HandshakeTime is how long a connection that is in its handshake when Close is called
	// may still take, counted from Close. Then it is cut. Zero: not at all.
	HandshakeTime time.Duration
	// Accepted is called with every connection that the listener returns, before Wrap. It
	// may call methods of the connection. While one hangs, Accept does, until Close.
	Accepted func(net.Conn)
	// Wrap returns what Accept returns for a connection; nil: the Conn itself. It must
	// return at once, and must not call methods of the connection that may block.
	Wrap func(*Conn) net.Conn
	// InFull has connections end in full: Finish and Cut end TLS as Close does, which may wait for
	// the peer, instead of closing what is below it, and Linger reads nothing in the background.
	InFull bool
	// Shaken is called when handshakes have ended with their connections, whose Close may return
	// long after that. It must return at once; nil: nothing is.
	Shaken func()
	// Closed is called with what Wrap returned when Close of the connection has returned,
	// or when it was released; nil: nothing is.
	Closed func(net.Conn)
}

// Set is a net.Listener that keeps the connections it has accepted, and others that it is
// given. All methods may be called concurrently.
type Set struct {
	*Listener
	opts     Options
	made     time.Time
	drained  chan struct{}
	finished chan struct{}
	once     sync.Once // of Close

	mu       sync.Mutex // guards what is below, and what Conn says; never held while user code is called
	closed   bool       // Close has closed the listener
	refusing bool       // connections are closed at once
	limit    time.Duration
	timer    *time.Timer // ends handshakes; nil: not running
	conns    map[*Conn]struct{}
	counts   Counts
}

// Counts are the numbers of a [Set] at one instant.
type Counts struct {
	Open        int       // connections that nothing has closed
	Handshaking int       // of these, in their handshake
	Silent      int       // cut in their handshake, so far
	LastSilent  time.Time // when the last of those was; zero: none was
	Cut         int       // cut otherwise, by Cut
}

// New returns a Set of what inner accepts. It starts nothing. A nil inner is allowed if
// Accept is never called.
func New(inner net.Listener, opts Options) *Set {
	s := &Set{
		opts:     opts,
		made:     time.Now(),
		limit:    opts.HandshakeTime,
		drained:  make(chan struct{}),
		finished: make(chan struct{}),
		conns:    map[*Conn]struct{}{},
	}
	s.Listener = NewListener(inner, opts.Owner, opts.Calls, Hooks{
		Accepted: opts.Accepted,
		Admit:    s.Admit,
	})
	return s
}

// Accept blocks until there is a connection, or until Close is called, and then returns
// net.ErrClosed. The connection is in its handshake.
func (s *Set) Accept() (net.Conn, error) {
	for {
		c, err := s.Listener.Accept()
		if !errors.Is(err, errRefused) {
			return c, err
		}
	}
}

// Admit takes in a connection, which need not come from the listener, and returns what Wrap
// does. If it is not wanted any more, Admit closes it and returns nil.
func (s *Set) Admit(inner net.Conn) net.Conn {
	c := &Conn{Conn: inner, set: s, accepted: time.Since(s.made)}
	c.outside = c
	if s.opts.Wrap != nil {
		c.outside = s.opts.Wrap(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	if s.closed || s.refusing {
		c.state.Or(closing)
		s.opts.Calls.Run(CallCloseConn, c.close) // starts a goroutine, and returns
		return nil
	}
	c.state.Or(shaking)
	s.counts.Open++
	s.counts.Handshaking++
	return c.outside
}

// Close makes Accept return net.ErrClosed, closes the listener, and then starts the time
// limit of handshakes. Other connections stay, and those that the listener has accepted
// are taken in. It blocks no longer than Close of a [Listener]. A second call waits for the
// first. Close always returns nil.
func (s *Set) Close() error {
	s.once.Do(func() {
		_ = s.Listener.Close() // always nil
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closed = true
		s.arm()
		s.settle()
	})
	return nil
}

// LimitHandshakes shortens Options.HandshakeTime to d, if that is longer. Call it before
// Close.
func (s *Set) LimitHandshakes(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = min(s.limit, max(d, 0))
}

// RefuseHandshakes cuts the connections that are in their handshake, and every one that
// is accepted from now on. It does not block.
func (s *Set) RefuseHandshakes() {
	s.mu.Lock()
	s.refusing = true
	s.mu.Unlock()
	s.CutHandshakes(0)
}

// CutHandshakes cuts connections that are in their handshake: all of them, or if
// silentFor is positive, those that were accepted at least so long ago and have sent
// nothing. It does not block.
func (s *Set) CutHandshakes(silentFor time.Duration) {
	s.mu.Lock()
	var cut []*Conn
	for c := range s.conns {
		spared := silentFor > 0 && (c.Heard() || time.Since(s.made)-c.accepted < silentFor)
		if c.Handshaking() && !spared {
			if first, _ := s.leave(c); first {
				cut = append(cut, c)
			}
		}
	}
	if len(cut) > 0 {
		s.counts.Silent += len(cut)
		s.counts.LastSilent = time.Now()
	}
	s.settle()
	s.mu.Unlock()
	for _, c := range cut {
		c.finish()
		if !c.Direct() { // if its Close hangs, the server may be waiting in Read for its handshake
			s.opts.Calls.Run(callDeadline, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) }) // fails if it is closed
		}
	}
	s.tellShaken(len(cut) > 0)
}

// tellShaken calls Options.Shaken if some handshakes have ended. The mutex is not held.
func (s *Set) tellShaken(some bool) {
	if some && s.opts.Shaken != nil {
		s.opts.Shaken()
	}
}

// FinishAll is Finish for every connection, all at once. It does not block. The channel is
// closed when those of package net are closed.
func (s *Set) FinishAll() <-chan struct{} {
	var direct []func()
	for _, c := range s.all() {
		switch {
		case !c.claim():
		case c.Direct():
			direct = append(direct, c.finishHere)
		default:
			c.finish()
		}
	}
	return s.opts.Calls.RunAll(CallCloseConn, direct)
}

// Cut closes every connection that is open, all at once, and blocks until each of them,
// and each that was being closed before, is closed: for ever, if a Close hangs. Peers
// see the end of the stream and not a reset: what they have sent and the server has not
// read is dropped first. It returns how many were open. It does not keep the listener
// from accepting; Close does.
func (s *Set) Cut() int {
	cut := 0
	for _, c := range s.all() {
		if c.Cut() {
			cut++
		}
	}
	s.Await()
	return cut
}

// Await blocks until every connection that is being closed is closed: for ever, if a
// Close hangs.
func (s *Set) Await() {
	for _, c := range s.all() {
		if c.Closing() {
			<-c.Done()
		}
	}
}

// Conns returns the connections whose Close has not returned, each as Wrap returned it.
func (s *Set) Conns() []net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]net.Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c.outside)
	}
	return conns
}

// Len returns the number of Conns.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Set) all() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.AppendSeq(make([]*Conn, 0, len(s.conns)), maps.Keys(s.conns))
}

// Counts returns the numbers of this instant.
func (s *Set) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Drained returns a channel that is closed once Close was called and no connection is
// open. That is final: none can come any more. It is always the same channel.
func (s *Set) Drained() <-chan struct{} { return s.drained }

// Finished returns a channel that is closed once the Set is drained and every Close of a
// connection has returned. It is always the same channel. A listener whose Accept
// ignores Close may still return a connection, which is then closed at once.
func (s *Set) Finished() <-chan struct{} { return s.finished }

// leave takes a connection out of those that are open, and reports whether it was one, and was
// in its handshake. The mutex is held, and settle comes next.
func (s *Set) leave(c *Conn) (first, shaking bool) {
	if c.Closing() {
		return false, false
	}
	shaking = c.Handshaking()
	c.state.Or(closing)
	s.counts.Open--
	s.shaken(c)
	return true, shaking
}

// shaken ends the handshake of a connection. The mutex is held, and settle comes next.
func (s *Set) shaken(c *Conn) {
	if c.Handshaking() {
		c.state.And(^uint32(shaking))
		s.counts.Handshaking--
	}
}

// arm starts the time limit of handshakes if it is needed. The mutex is held.
func (s *Set) arm() {
	if s.closed && s.counts.Handshaking > 0 && s.timer == nil {
		s.timer = time.AfterFunc(s.limit, func() { s.CutHandshakes(0) })
	}
}

// settle draws the conclusions from what has just changed. The mutex is held.
func (s *Set) settle() {
	if s.counts.Handshaking == 0 && s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if !s.closed || s.counts.Open > 0 {
		return
	}
	closeOnce(s.drained)
	if len(s.conns) == 0 {
		closeOnce(s.finished)
	}
}

// closeOnce closes a channel, unless it is closed. The Set's mutex is held.
func closeOnce(c chan struct{}) {
	if !foreign.IsClosed(c) {
		close(c)
	}
}
