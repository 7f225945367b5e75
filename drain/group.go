// Package drain makes a shutdown by package controller wait for work that no other adapter
// knows: the connections of an accept loop of your own, and what handlers leave running in
// the background.
//
// A [Group] is a lastcall.FullServer. Its [Watcher] is for the code that does the work:
// it can register work that the drain waits for, and can neither close the group nor cancel
// anything. Drained means closed and empty: a Group takes work until GracefulStop is called
// and refuses it from then on, and GracefulStop returns when the last piece has ended.
//
// An accept loop of your own:
//
//	g := drain.New()
//	lis = g.Listen(lis) // Accept returns net.ErrClosed when the drain begins
//	ctl, err := controller.New(budget, controller.WithServer("lines", g,
//		controller.Serving(func() error { return accept(lis, g.Watcher()) }, nil)))
//
// where accept gives each connection to [Watcher.WatchConn]. A [Conn] ends at once
// if the drain finds it between two requests, and after its present request
// otherwise; see [Conn.Idle].
//
// Work in the background outlives the handlers that start it, so its group closes when
// they have returned:
//
//	background := drain.New()
//	controller.WithServer("background", background, controller.After("grpc", "http"))
//	...
//	err := background.Watcher().Go(ctx, "send mail", func(ctx context.Context) { ... })
package drain

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

// ErrClosed is the error for work that comes after GracefulStop was called. The work has not
// begun, and nothing waits for it.
var ErrClosed = errors.New("drain: the group is closed and takes no new work")

// Group makes work in flight a lastcall.FullServer, whose methods the controller calls. A user
// calls New, Watcher and Listen. Make one with New. All methods may be called by any number of
// goroutines.
//
// A Group takes work even before Run. It refuses all work after Run, and as soon as the
// controller has called GracefulStop. It belongs to one controller: in a second one Serve
// fails, and whichever calls GracefulStop first closes it for both.
type Group struct {
	lastcall.Unimplemented
	tracker   *inflight.Tracker[*Handle]
	conns     *connset.Set
	waiting   connset.Waiting // for WatchConn
	calls     foreign.Calls
	served    atomic.Bool
	closed    chan struct{} // closed with the group
	failed    chan struct{} // closed when the first task has failed
	accepting chan struct{} // closed once the group is attached and every listener was asked

	mu        sync.Mutex // guards what is below; never held while user code runs
	closing   bool
	listeners []*connset.Listener
	refused   int
	failure   *PanicError // the first of a task
	told      bool        // by Serve
	failures  []failure   // all others, as far as they are told one by one
	more      int         // and how many are not
	errs      []error
}

// New returns a Group that takes work.
func New() *Group {
	g := &Group{
		tracker:   inflight.New(func(h *Handle) inflight.Label { return h.label }),
		closed:    make(chan struct{}),
		failed:    make(chan struct{}),
		accepting: make(chan struct{}),
	}
	closed := func(c net.Conn) { c.(*Conn).closed() } //nolint:forcetypeassert // newConn made it
	g.conns = connset.New(nil, connset.Options{Owner: "drain", Calls: &g.calls, InFull: true, Wrap: newConn, Closed: closed})
	g.calls.Failed = func(name string, value any) { g.note(name, &PanicError{Value: value}) }
	g.tracker.SetLife(lastcall.NewLife(g.closed, nil))
	return g
}

// Watcher returns the Watcher to give to the code that does the work.
func (g *Group) Watcher() Watcher { return Watcher{g} }

// isZero reports whether the Group was not made by New.
func (g *Group) isZero() bool { return g == nil || g.closed == nil }

// Check returns an error if the Group was made in a wrong way, or if a controller has run with
// it already. The controller calls it.
func (g *Group) Check() error {
	if err := g.check(); err != nil {
		return err
	}
	if g.tracker.Host() != nil {
		return errServed
	}
	return nil
}

func (g *Group) check() error {
	if g.isZero() {
		return errNotMade
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.errs...)
}

var (
	errNotMade = errors.New("drain: this Group was not made by New")
	errServed  = errors.New("drain: Serve was called before: a Group belongs to one controller")
)

// Attach hands over the controller, which calls it before Serve. From then on lastcall.Draining
// and lastcall.TimerAt know that controller, also in the contexts of work that already runs. A
// second call does nothing. If the shutdown is triggered before Run, Attach is not called: for
// work that runs then, Draining is closed when the group closes, and TimerAt stays unknown.
func (g *Group) Attach(host lastcall.Host) {
	if !g.isZero() {
		g.tracker.Attach(host)
		g.accepts()
	}
}

// Accepting returns a channel that is closed once the Group is attached and Accept was
// called on every listener of [Group.Listen].
func (g *Group) Accepting() <-chan struct{} {
	if g.isZero() {
		return nil
	}
	return g.accepting
}

// accepts closes accepting once it is true.
func (g *Group) accepts() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.listeners {
		if !foreign.IsClosed(l.Accepting()) {
			return
		}
	}
	if !g.isZero() && g.tracker.Host() != nil && !foreign.IsClosed(g.accepting) {
		close(g.accepting)
	}
}

// Serve blocks until GracefulStop or Stop is called, and then returns nil. If a function given
// to [Watcher.Go] panics or calls runtime.Goexit, it returns a *[PanicError]. The controller
// calls it, once, unless controller.Serving was given: a second call is an error.
func (g *Group) Serve() error {
	if err := g.check(); err != nil {
		return err
	}
	if !g.served.CompareAndSwap(false, true) {
		return errServed
	}
	if foreign.IsClosed(g.closed) {
		return nil
	}
	select {
	case <-g.closed:
		return nil
	case <-g.failed:
		return g.tellFailure()
	}
}

var _ lastcall.FullServer = (*Group)(nil)
