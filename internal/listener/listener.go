// Package listener keeps a listener that is not ours from holding up whoever serves
// on it.
package listener

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// The names under which a report has calls that do not return.
const (
	callAccept = "net.Listener.Accept"
	callClose  = "net.Listener.Close"
)

// Listener is a net.Listener whose Close does not block, and whose Accept returns
// net.ErrClosed from then on, whatever the listener inside does. All methods may be
// called by any number of goroutines.
type Listener struct {
	inner  net.Listener // nil: there is none
	direct bool         // inner is of package net: it returns from Accept when it is closed
	owner  string
	calls  *foreign.Calls
	hooks  Hooks

	once    sync.Once
	closing chan struct{} // closed by Close
}

// Hooks are what a Listener calls with connections.
type Hooks struct {
	// Accepted is given every connection before Accept returns it; it may be nil. It may
	// call methods of the connection, which may hang: Accept hangs then until Close.
	Accepted func(net.Conn)
	// Late is given a connection that comes after Close, and has to close it.
	Late func(net.Conn)
}

// New returns a Listener around inner, which may be nil if Accept is never called.
// Errors begin with the name of the owner; calls into inner are counted in calls.
func New(inner net.Listener, owner string, calls *foreign.Calls, hooks Hooks) *Listener {
	l := &Listener{inner: inner, owner: owner, calls: calls, hooks: hooks, closing: make(chan struct{})}
	switch inner.(type) {
	case *net.TCPListener, *net.UnixListener:
		l.direct = true
	}
	return l
}

// Accept blocks until there is a connection or Close is called, and returns
// net.ErrClosed then. An Accept of the listener inside that panics is an error. A
// listener that nobody knows is asked on another goroutine, once per call, so that
// nothing is accepted before somebody wants it.
func (l *Listener) Accept() (net.Conn, error) {
	if l.Closed() {
		return nil, net.ErrClosed
	}
	var a accepted
	if l.direct {
		a.conn, a.err = l.inner.Accept()
		l.accepted(a) // of package net: nothing hangs
	} else {
		came := make(chan accepted)
		l.calls.Run(callAccept, func() { l.accept(came) })
		select {
		case a = <-came:
		case <-l.closing:
			return nil, net.ErrClosed
		}
	}
	switch {
	case a.err != nil && l.Closed():
		return nil, net.ErrClosed
	case a.err != nil:
		return nil, a.err
	case a.conn == nil:
		return nil, fmt.Errorf("%s: Accept of the listener returned neither a connection nor an error", l.owner)
	}
	return a.conn, nil
}

type accepted struct {
	conn net.Conn
	err  error
}

// accept hands over what Accept returns, unless Close is called first: then nobody
// waits for it any more, and a connection is closed.
func (l *Listener) accept(came chan<- accepted) {
	a := accepted{err: fmt.Errorf("%s: Accept of the listener ended its goroutine", l.owner)}
	defer func() {
		if v := recover(); v != nil && a.conn == nil { // otherwise a method of the connection did, which may do without
			a.err = fmt.Errorf("%s: Accept of the listener panicked: %v", l.owner, v)
		}
		select {
		case came <- a:
		case <-l.closing:
			if a.conn != nil {
				l.hooks.Late(a.conn)
			}
		}
	}()
	a.conn, a.err = l.inner.Accept()
	l.accepted(a)
}

// accepted calls the hook.
func (l *Listener) accepted(a accepted) {
	if l.hooks.Accepted != nil && a.conn != nil && a.err == nil {
		l.hooks.Accepted(a.conn)
	}
}

// Close makes Accept return and closes the listener inside, without waiting for a
// Close that takes its time. A second call does nothing and returns nil.
func (l *Listener) Close() error {
	first := false
	l.once.Do(func() {
		first = true
		close(l.closing)
	})
	if !first || l.inner == nil {
		return nil
	}
	if l.direct {
		return l.inner.Close()
	}
	l.calls.Run(callClose, func() {
		_ = l.inner.Close() // nothing depends on it any more
	})
	return nil
}

// Closed says whether Close was called.
func (l *Listener) Closed() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

// Closing returns a channel that is closed by Close. It is always the same channel.
func (l *Listener) Closing() <-chan struct{} { return l.closing }

// Addr returns the address of the listener inside. A nil Listener has none either.
func (l *Listener) Addr() net.Addr {
	if l == nil || l.inner == nil {
		return noAddr{}
	}
	return l.inner.Addr()
}

// noAddr is where nobody listens.
type noAddr struct{}

func (noAddr) Network() string { return "none" }
func (noAddr) String() string  { return "none" }

// SyscallConn returns that of the listener inside, or errors.ErrUnsupported if it
// has none, or if the Listener is nil.
func (l *Listener) SyscallConn() (syscall.RawConn, error) {
	if l == nil {
		return nil, errors.ErrUnsupported
	}
	if s, ok := l.inner.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
