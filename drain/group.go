// Package drain waits, in a shutdown by package controller, for work that no other
// adapter knows: the connections of an accept loop of one's own, and what handlers
// leave running in the background.
//
// A [Group] is a lastcall.Server. Its [Watcher] is for those who do the work: who
// has it can have work waited for, and can neither close the group nor cancel
// anything. Drained means closed and empty: a Group takes work until GracefulStop
// is called and refuses it from then on, and GracefulStop returns when the last
// piece has ended.
//
// An accept loop of one's own:
//
//	g := drain.New()
//	lis = g.Listen(lis) // Accept returns net.ErrClosed when the drain begins
//	ctl, err := controller.New(budget, controller.WithServer("lines", g,
//		controller.Serving(func() error { return accept(lis, g.Watcher()) })))
//
// where accept gives each connection to [Watcher.WatchConn]. A [Conn] ends at once
// if the drain finds it between two requests, and after its present request
// otherwise; see [Conn.Idle].
//
// Work in the background is to outlive the handlers that start it, so its group
// closes when they have returned:
//
//	background := drain.New()
//	controller.WithServer("background", background, controller.Behind("grpc", "http"))
//	...
//	err := background.Watcher().Go(ctx, "send mail", func(ctx context.Context) { ... })
package drain

import (
	"errors"
	"github.com/lastcall-go/lastcall"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

// ErrClosed is the answer to work that comes after GracefulStop was called. The
// work has not been begun, and nobody will wait for it.
var ErrClosed = errors.New("drain: the group is closed and takes no new work")

// Group is work in flight as package controller wants it: a lastcall.Server,
// Acceptor, Attacher, Announcer, Canceler, Cutter, Checker, Inspector, Noter and
// Arrivals, whose methods the controller calls. A user calls New, Watcher and Listen.
// Make one with New. All methods may be called by any number of goroutines.
//
// Before Run a Group takes work already. After Run, and whenever the controller has
// called GracefulStop, it refuses all. It belongs to one controller: in a second one
// Serve fails, and whichever calls GracefulStop first closes it for both.
type Group struct {
	made     time.Time
	calls    foreign.Calls
	scope    atomic.Pointer[scope] // what contexts carry of ours
	attached atomic.Bool
	served   atomic.Bool
	counting atomic.Bool   // the shutdown has begun
	last     atomic.Int64  // see LastArrival; counted from made
	closed   chan struct{} // closed with the group
	emptied  chan struct{} // closed once the group is closed and nothing runs
	failed   chan struct{} // closed when the first task has failed

	mu        sync.Mutex // guards what is below; never held while foreign code runs
	stage     stage
	running   map[*Handle]struct{}
	ledger    ledger
	listeners []net.Listener
	refused   int
	failure   *PanicError // the first of a task
	told      bool        // by Serve
	failures  failures    // all others
	errs      []error
}

// stage says how far the shutdown is.
type stage uint8

const (
	serving   stage = iota
	announced       // work is counted
	draining        // work is refused
	stopped         // what ends now was cut
)

// New returns a Group that takes work.
func New() *Group {
	g := &Group{
		made:    time.Now(),
		closed:  make(chan struct{}),
		emptied: make(chan struct{}),
		failed:  make(chan struct{}),
		running: map[*Handle]struct{}{},
		ledger:  ledger{},
	}
	g.scope.Store(scopeOf(lastcall.Life{}.WithDraining(g.closed)))
	return g
}

// Watcher returns what those get who do the work.
func (g *Group) Watcher() Watcher { return Watcher{g} }

// Check returns what is wrong with the way in which the Group was made, or nil. It
// is called by the controller.
func (g *Group) Check() error {
	if g == nil || g.closed == nil {
		return errNotMade
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.errs...)
}

var errNotMade = errors.New("drain: this Group was not made by New")

// Attach is called by the controller, before it calls Serve. From then on
// lastcall.Draining and lastcall.TimerAt know that controller, in the contexts
// of work that runs already, too. A second call does nothing.
func (g *Group) Attach(l lastcall.Life) {
	if g.attached.CompareAndSwap(false, true) {
		g.scope.Store(scopeOf(l))
	}
}

// Serve blocks until GracefulStop or Stop is called and returns nil, or until a
// function given to [Watcher.Go] panics or calls runtime.Goexit, and returns a
// *[PanicError] then. It is called by the controller, once, unless
// controller.Serving was given: a second call is an error.
func (g *Group) Serve() error {
	if err := g.Check(); err != nil {
		return err
	}
	if !g.served.CompareAndSwap(false, true) {
		return errors.New("drain: Serve was called before: a Group belongs to one controller")
	}
	select {
	case <-g.closed:
		return nil
	default:
	}
	select {
	case <-g.closed:
		return nil
	case <-g.failed:
		return g.tellFailure()
	}
}

var (
	_ lastcall.Server      = (*Group)(nil)
	_ controller.Acceptor  = (*Group)(nil)
	_ controller.Attacher  = (*Group)(nil)
	_ controller.Announcer = (*Group)(nil)
	_ controller.Canceler  = (*Group)(nil)
	_ controller.Cutter    = (*Group)(nil)
	_ controller.Checker   = (*Group)(nil)
	_ controller.Inspector = (*Group)(nil)
	_ controller.Noter     = (*Group)(nil)
	_ controller.Arrivals  = (*Group)(nil)
)
