package connset

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// The names under which a report lists calls that have not returned.
const (
	callAccept = "net.Listener.Accept"
	callClose  = "net.Listener.Close"
	callAddr   = "net.Listener.Addr"
)

// Listener is a net.Listener around one that may not behave: Close waits for it for a
// moment, and only if it is of package net, and from then on Accept returns net.ErrClosed,
// whatever the listener inside does. All methods may be called concurrently.
type Listener struct {
	inner net.Listener // nil: there is none
	owner string
	calls *foreign.Calls
	hooks Hooks

	first     sync.Once
	asking    sync.Once
	accepting chan struct{} // closed by the first Accept, if the listener inside is open
	closing   chan struct{} // closed by Close, as it begins
	over      chan struct{} // closed by Close, as it ends: no Accept hands over a connection any more

	mu     sync.Mutex // guards what is below; never held while user code is called
	closed bool
	inside int           // calls of the inner Accept; none is added once closed
	left   chan struct{} // closed when it is closed and none is inside
	place  place         // zero: not known

	failed  atomic.Bool // see Failed
	waking  atomic.Bool // Close dials the listener to wake its Accept
	dialing sync.Mutex  // guards woken; held while one dials, for closeTime at most
	woken   []string    // the addresses that were dialled from
}

// Hooks are functions that a Listener calls with connections.
type Hooks struct {
	// Accepting is called once Accepting is closed; it must return at once, and may be nil.
	Accepting func()
	// Accepted is called with every connection before Accept returns it; it may be nil. It
	// may call methods of the connection. While one hangs, Accept does, until Close.
	Accepted func(net.Conn)
	// Admit is called after that, and returns what Accept returns: nil if it has dealt with
	// the connection, so that Accept returns errRefused. It must return at once; it may be nil.
	Admit func(net.Conn) net.Conn
}

// NewListener returns a Listener around inner, which may be nil if Accept is never
// called. Errors begin with the name of the owner. Calls into inner that have not
// returned after Close are listed in calls. A connection that comes when Close has returned
// is closed, or what Admit made of it.
func NewListener(inner net.Listener, owner string, calls *foreign.Calls, hooks Hooks) *Listener {
	l := &Listener{
		inner: inner, owner: owner, calls: calls, hooks: hooks,
		accepting: make(chan struct{}), closing: make(chan struct{}), over: make(chan struct{}), left: make(chan struct{}),
	}
	if l.isNet() {
		l.place = placeOf(inner)
	}
	return l
}

// Listeners returns the listener inside, if there is one.
func (l *Listener) Listeners() []net.Listener {
	if l.inner == nil {
		return nil
	}
	return []net.Listener{l.inner}
}

// errRefused is what Accept returns instead of a connection that Admit has refused.
var errRefused = errors.New("connset: a connection was refused")

// Accept blocks until there is a connection or Close is called, and then returns
// net.ErrClosed. A connection that the listener inside has accepted when Close is called
// is still returned: if another process has the same socket, that process would have served
// it. If Accept of the listener inside panics, that is an error. It is called
// on a goroutine of its own, once per call, so that nothing is accepted before it is
// asked for.
func (l *Listener) Accept() (net.Conn, error) {
	l.first.Do(l.begin)
	l.failed.Store(false)
	if !l.enter() {
		return nil, net.ErrClosed
	}
	came := make(chan accepted)
	go l.accept(came)
	var a accepted
	select {
	case a = <-came:
	case <-l.over:
		return nil, net.ErrClosed
	}
	if a.err == nil && a.conn == nil {
		a.err = fmt.Errorf("%s: Accept of the listener returned neither a connection nor an error", l.owner)
	}
	if a.err != nil && l.Closed() {
		return nil, net.ErrClosed
	}
	l.failed.Store(a.err != nil)
	return a.conn, a.err
}

// Failed reports whether the last Accept has returned an error although Close was not
// called: a server may close the listener for that.
func (l *Listener) Failed() bool { return l.failed.Load() }

// enter counts a call of the inner Accept, and reports whether it may be made.
func (l *Listener) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.inside++
	}
	return !l.closed
}

// leave is called when a call of the inner Accept is over.
func (l *Listener) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inside--
	if l.closed && l.inside == 0 {
		close(l.left)
	}
}

type accepted struct {
	conn net.Conn
	err  error
}

// accept hands over what Accept returns, unless Close has returned: then Accept has, too,
// and a connection is late.
func (l *Listener) accept(came chan<- accepted) {
	a := accepted{err: fmt.Errorf("%s: Accept of the listener ended its goroutine", l.owner)}
	defer l.leave()
	defer func() {
		if v := recover(); v != nil && a.conn == nil { // otherwise the hook panicked, which costs nothing
			a.err = fmt.Errorf("%s: Accept of the listener panicked: %v", l.owner, v)
		}
		if a.conn != nil && a.err == nil && l.hooks.Admit != nil {
			if a.conn = l.hooks.Admit(a.conn); a.conn == nil {
				a.err = errRefused
			}
		}
		select {
		case came <- a:
		case <-l.over:
			l.drop(a.conn)
		}
	}()
	a.conn, a.err = l.inner.Accept()
	if a.conn == nil || a.err != nil {
		return
	}
	if l.hasWoken(a.conn) {
		l.drop(a.conn)
		a.conn, a.err = nil, net.ErrClosed
	} else if l.hooks.Accepted != nil {
		l.hooks.Accepted(a.conn)
	}
}

// drop closes a connection that no server has seen, if there is one.
func (l *Listener) drop(c net.Conn) {
	if c != nil {
		l.calls.Run(CallCloseConn, func() { _ = c.Close() }) // nothing depends on its error
	}
}

// Accepting returns a channel that is closed when Accept is called for the first time:
// the server accepts connections. It stays open if a listener of package net is closed by
// then. It is always the same channel.
func (l *Listener) Accepting() <-chan struct{} { return l.accepting }

// Closing returns a channel that is closed by Close. It is always the same channel.
func (l *Listener) Closing() <-chan struct{} { return l.closing }

// Closed reports whether Close was called.
func (l *Listener) Closed() bool { return foreign.IsClosed(l.closing) }

// Addr returns the address of the listener inside, which is asked once, or one that says
// "none" if that has none, or has not answered within closeTime: grpc asks with its mutex
// held, and for each connection. The Listener may be nil.
func (l *Listener) Addr() net.Addr {
	if l != nil {
		l.ask()
		if addr := l.where().addr; addr != nil {
			return addr
		}
	}
	return noAddr{}
}

type noAddr struct{}

func (noAddr) Network() string { return "none" }
func (noAddr) String() string  { return "none" }

// SyscallConn returns that of the listener inside, or errors.ErrUnsupported if it has
// none. The Listener may be nil.
func (l *Listener) SyscallConn() (syscall.RawConn, error) {
	if l == nil {
		return nil, errors.ErrUnsupported
	}
	if s, ok := l.inner.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
