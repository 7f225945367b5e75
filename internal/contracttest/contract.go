// Package contracttest checks that a server keeps the contract of lastcall.FullServer.
// The tests of every adapter run it, with the same cases.
//
// Each case runs in a testing/synctest bubble: the server listens on connections in
// memory, and "at once" means in the same instant.
package contracttest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
)

// Subject is a kind of server.
type Subject struct {
	// New makes a server and something that gives it work. It is called inside a bubble,
	// once for each case.
	New func(t *testing.T) Instance
	// Zero is the server's zero value, or nil if its type is not exported.
	Zero lastcall.FullServer
	// Unseen is set for a server that does not see its work, only connections: the cases in
	// which it tells handlers of the shutdown, ends their contexts in Cancel or counts them
	// are left out.
	Unseen bool
}

// Instance is one server under test.
type Instance struct {
	Server lastcall.FullServer
	// Begin has a client begin a piece of work, whose handler calls handle with its
	// context and the work is over when handle returns. Begin returns at once. The
	// result is nil if the client got the whole answer, and the client's error otherwise.
	Begin func(handle func(context.Context)) (result <-chan error)
	// Idle opens a connection that says nothing; nil if the server has none.
	Idle func()
}

// errCause is what the cases cancel with.
var errCause = errors.New("contracttest: the timer fired")

// host is the controller that the cases stand in for.
type host struct {
	draining chan struct{}
	timer    time.Time
}

func (h *host) Life() lastcall.Life {
	return lastcall.NewLife(h.draining, func() (lastcall.Times, bool) { return lastcall.Times{Timer: h.timer}, true })
}
func (h *host) Ready() bool                 { return true }
func (h *host) ProbesReady() bool           { return false }
func (h *host) Phase() lastcall.Phase       { return lastcall.PhaseServe }
func (h *host) Deadline() (time.Time, bool) { return h.timer.Add(time.Second), true }
func (h *host) Shutdown(error)              {}

// running is an instance that is attached and serves.
type running struct {
	Instance
	host      *host
	served    chan error
	elsewhere bool            // Serve returned lastcall.ErrServedElsewhere, which counts as nil
	drained   context.Context //nolint:containedctx // that of Cancel: it ends when GracefulStop has returned
	isDrained context.CancelFunc
}

// drain calls GracefulStop.
func (r *running) drain() {
	defer r.isDrained()
	r.Server.GracefulStop()
}

// cancel calls Cancel as the controller does.
func (r *running) cancel() { r.Server.Cancel(r.drained, errCause) }

func run(t *testing.T, s Subject) *running {
	t.Helper()
	r := &running{
		Instance: s.New(t),
		host:     &host{draining: make(chan struct{}), timer: time.Now().Add(time.Hour)},
		served:   make(chan error, 1),
	}
	r.drained, r.isDrained = context.WithCancel(t.Context())
	r.Server.Attach(r.host)
	go func() { r.served <- r.Server.Serve() }()
	select {
	case <-r.Server.Accepting():
	case <-time.After(time.Minute):
		t.Fatal("Accepting is not closed a minute after Serve was called")
	}
	synctest.Wait() // for the goroutine that calls Serve
	select {
	case err := <-r.served:
		r.elsewhere = servedElsewhere(err)
		r.served <- ended(err)
	default:
	}
	return r
}

// servedElsewhere reports whether Serve says that another server has the work.
func servedElsewhere(err error) bool { return errors.Is(err, lastcall.ErrServedElsewhere) }

// ended returns what Serve has returned, or nil if that is not a failure.
func ended(err error) error {
	if servedElsewhere(err) {
		return nil
	}
	return err
}

// end stops the server for good, so that the bubble can end.
func (r *running) end(t *testing.T) {
	t.Helper()
	r.Server.Stop()
	r.Server.Cut()
	if err := <-r.served; err != nil {
		t.Errorf("Serve returned %v after Stop", err)
	}
}

// work is a piece of work whose handler has been called.
type work struct {
	ctx     context.Context //nolint:containedctx // it is the handler's, for the case to look at
	release chan struct{}
	result  <-chan error
}

// ends waits for what the client gets, whatever that is.
func (w *work) ends() {
	<-w.result //nolint:errcheck // see above
}

// begin begins a piece of work that lasts until it is released or, unless it is deaf,
// its context ends.
func (r *running) begin(t *testing.T, deaf bool) *work {
	t.Helper()
	w := &work{release: make(chan struct{})}
	called := make(chan context.Context, 1)
	w.result = r.Begin(func(ctx context.Context) {
		called <- ctx
		done := ctx.Done()
		if deaf {
			done = nil
		}
		select {
		case <-w.release:
		case <-done:
		}
	})
	synctest.Wait()
	select {
	case w.ctx = <-called:
		return w
	default:
		t.Fatal("the handler was not called")
		return nil
	}
}

// atOnce calls f and reports an error if it takes time.
func atOnce(t *testing.T, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > 0 {
		t.Errorf("%s took %v", what, took)
	}
}

// TestContract runs every case.
func TestContract(t *testing.T, s Subject) {
	t.Helper()
	for _, c := range cases() {
		if c.sees && s.Unseen {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(t, s) })
		})
	}
}
