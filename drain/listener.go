package drain

import (
	"errors"
	"net"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

// Listen returns a listener that accepts what lis accepts, for an accept loop of your own. The
// group closes it when it closes itself: from then on Accept returns net.ErrClosed, whatever
// lis does, and connections that lis still returns are closed. Its Close waits at most 0.2 s,
// and only for a listener of package net. It removes the file of a unix socket, unless that has
// become another socket's. Accepted connections belong to the caller, who gives them to
// [Watcher.WatchConn]. Listen may be called for several listeners. A nil listener is an error
// from controller.New, and from Accept.
func (g *Group) Listen(lis net.Listener) net.Listener {
	if g == nil {
		g = new(Group) // not made by New: that is what Accept says
	}
	err := g.check()
	if err == nil && foreign.IsNil(lis) {
		err = errors.New("drain: Listen was given a nil listener")
	}
	if err != nil {
		lis = noListener{err}
	}
	l := connset.NewListener(lis, "drain", &g.calls, connset.Hooks{Accepting: g.accepts, Accepted: func(net.Conn) { g.waiting.Add() }})
	g.mu.Lock()
	if err != nil {
		g.errs = append(g.errs, err)
	}
	late := g.closing
	g.listeners = append(g.listeners, l)
	g.mu.Unlock()
	if late {
		_ = l.Close() // as GracefulStop would have
	}
	return l
}

// Listeners returns the listeners that Listen was given.
func (g *Group) Listeners() []net.Listener {
	if g.isZero() {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []net.Listener
	for _, l := range g.listeners {
		all = append(all, l.Listeners()...)
	}
	return all
}

// noListener is where nothing can be accepted.
type noListener struct{ err error }

func (l noListener) Accept() (net.Conn, error) { return nil, l.err }
func (l noListener) Close() error              { return nil }
func (l noListener) Addr() net.Addr            { return (*connset.Listener)(nil).Addr() }
