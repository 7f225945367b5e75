package proptest

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
)

// Setup is what a world registers with the controller.
type Setup struct {
	Budget     Budget
	Servers    []Server
	Workers    []Worker
	Announcers []Dep
	Closers    [][]Dep // in the order in which they are closed; those of a group together
	Flushers   []Dep
	Observers  []Observer
	Writer     io.Writer // the log's; nil: there is no logger
}

// Server is a server.
type Server struct {
	Name  string
	After []string
	Last  bool
	Bare  bool         // it has GracefulStop and Stop only
	Serve func() error // how it is started, where that is a closure

	server lastcall.FullServer
}

// Worker is a worker.
type Worker struct {
	Name        string
	After       []string
	EndsProcess bool
	run         func(claim, work context.Context) error
}

// Dep is a dependency to close, an exporter to flush, or an announcer.
type Dep struct {
	Name    string
	Timeout time.Duration // 0: none of its own
	run     func(context.Context) error
}

// Observer is an observer.
type Observer struct {
	Name  string
	Quick bool // it takes no time
	see   func(Step)
}

// valueKey is of a value that Run's context has, and that all contexts should have.
type valueKey struct{}

// recorder is the name of the observer that notes what it hears, and takes no time.
const recorder = "recorder"

// Options returns what New is given: all of the setup, with a note in the log of every
// call that the controller makes of it.
func (s *Setup) Options(l *Log) []Option {
	opts := []Option{controller.WithObserver(recorder, l.hear), controller.WithoutStderr()}
	for _, srv := range s.Servers {
		opts = append(opts, s.server(l, srv))
	}
	for _, w := range s.Workers {
		var more []controller.WorkerOption
		if w.EndsProcess {
			more = append(more, controller.EndsProcess())
		}
		if len(w.After) > 0 {
			more = append(more, controller.After(w.After...))
		}
		opts = append(opts, controller.WithWorker(w.Name, func(claim, work context.Context) error {
			return l.call(work, opWork, w.Name, func(span *Span) error {
				l.watch(claim, span, &span.Claim)
				l.checkContext(claim, w.Name)
				return w.run(claim, work)
			})
		}, more...))
	}
	step := func(o op, d Dep) func(context.Context) error {
		return func(ctx context.Context) error {
			return l.call(ctx, o, d.Name, func(*Span) error {
				l.checkContext(ctx, d.Name)
				return d.run(ctx)
			})
		}
	}
	timeout := func(d Dep) (more []controller.StepOption) {
		if d.Timeout > 0 {
			more = append(more, controller.Timeout(d.Timeout))
		}
		return more
	}
	for _, d := range s.Announcers {
		opts = append(opts, controller.WithAnnouncer(d.Name, step(opAnnouncer, d), timeout(d)...))
	}
	for _, group := range slices.Backward(s.Closers) { // the last one registered is closed first
		var closers []Option
		for _, d := range slices.Backward(group) {
			closers = append(closers, controller.WithCloser(d.Name, step(opClose, d), timeout(d)...))
		}
		switch len(group) {
		case 1:
			opts = append(opts, closers...)
		case 2:
			opts = append(opts, controller.Together(closers...))
		default: // in one another, which is the same
			opts = append(opts, controller.Together(controller.Together(closers[:2]...), controller.Together(closers[2:]...)))
		}
	}
	for _, d := range s.Flushers {
		opts = append(opts, controller.WithFlusher(d.Name, step(opFlush, d), timeout(d)...))
	}
	for _, o := range s.Observers {
		opts = append(opts, controller.WithObserver(o.Name, func(step Step) {
			_ = l.call(context.Background(), opObserve, o.Name, func(span *Span) error {
				span.Value = step
				o.see(step)
				return nil
			})
		}))
	}
	if s.Writer != nil {
		opts = append(opts, controller.WithLogger(zerolog.New(&notedWriter{l, s.Writer})))
	}
	return opts
}

// server returns the option for a server.
func (s *Setup) server(l *Log, srv Server) Option {
	var more []controller.ServerOption
	switch {
	case srv.Serve != nil:
		more = append(more, controller.Serving(func() error { return l.serve(srv.Name, srv.Serve) }, srv.server.Accepting()))
	case srv.Bare:
		more = append(more, controller.ServedElsewhere(srv.server.Accepting()))
	}
	if len(srv.After) > 0 {
		more = append(more, controller.After(srv.After...))
	}
	spied := &spy{l, srv.Name, srv.Last, srv.server}
	if srv.Bare {
		return controller.WithServer(srv.Name, &bareSpy{spied}, more...)
	}
	return controller.WithServer(srv.Name, spied, more...)
}

// checkContext: contexts have the values of Run's, and know of the shutdown.
func (l *Log) checkContext(ctx context.Context, who string) {
	if ctx.Value(valueKey{}) != "value" || lastcall.Draining(ctx) == nil {
		l.blame("the context of %s has lost the values of Run's, or does not know of the shutdown", who)
	}
}

func (l *Log) serve(name string, f func() error) error {
	return l.call(context.Background(), opServe, name, func(s *Span) error {
		err := f()
		if err == lastcall.ErrServedElsewhere { //nolint:errorlint // it is not wrapped
			s.Value = elsewhere
		}
		return err
	})
}

// elsewhere is the value of a Serve that said that another goroutine serves.
const elsewhere = "elsewhere"

// notedWriter notes what is written.
type notedWriter struct {
	l *Log
	w io.Writer
}

func (n *notedWriter) Write(p []byte) (got int, err error) {
	err = n.l.call(context.Background(), opLog, "", func(s *Span) error {
		s.Text = string(p)
		got, err = n.w.Write(p)
		return err
	})
	return got, err
}

// spy notes every call of a server, and hands it on.
type spy struct {
	l    *Log
	name string
	last bool
	lastcall.FullServer
}

// bareSpy hides all but the two methods that every server has.
type bareSpy struct{ s *spy }

func (b *bareSpy) GracefulStop() { b.s.GracefulStop() }
func (b *bareSpy) Stop()         { b.s.Stop() }

func (s *spy) note(ctx context.Context, o op, f func(*Span)) {
	_ = s.l.call(ctx, o, s.name, func(span *Span) error { f(span); return nil })
}

func (s *spy) GracefulStop() {
	s.note(context.Background(), opGracefulStop, func(*Span) { s.FullServer.GracefulStop() })
}

func (s *spy) Stop() { s.note(context.Background(), opStop, func(*Span) { s.FullServer.Stop() }) }

func (s *spy) StopsLast() bool { return s.last }

func (s *spy) Attach(h lastcall.Host) {
	s.note(context.Background(), opAttach, func(*Span) { s.FullServer.Attach(h) })
}

func (s *spy) Serve() error { return s.l.serve(s.name, s.FullServer.Serve) }

func (s *spy) Announce(ctx context.Context) error {
	return s.l.call(ctx, opAnnounce, s.name, func(*Span) error { return s.FullServer.Announce(ctx) })
}

func (s *spy) Cancel(ctx context.Context, cause error) {
	s.note(ctx, opCancel, func(*Span) {
		s.l.checkContext(ctx, s.name)
		if at, known := lastcall.TimerAt(ctx); !known || time.Now().Before(at) || cause != lastcall.ErrTimer { //nolint:errorlint // nothing has wrapped it
			s.l.blame("Cancel of %s was told of the timer %v, %v, and of the cause %v", s.name, at, known, cause)
		}
		s.FullServer.Cancel(ctx, cause)
	})
}

func (s *spy) Cut() (n int) {
	s.note(context.Background(), opCut, func(span *Span) { n = s.FullServer.Cut(); span.Value = n })
	return n
}

func (s *spy) InFlight() (all []work) {
	s.note(context.Background(), opInFlight, func(span *Span) { all = s.FullServer.InFlight(); span.Value = all })
	return all
}

func (s *spy) Notes() (all []string) {
	s.note(context.Background(), opNotes, func(span *Span) { all = s.FullServer.Notes(); span.Value = all })
	return all
}

func (s *spy) IdlePeers() (all []string, idle bool) {
	s.note(context.Background(), opIdlePeers, func(span *Span) { all, idle = s.FullServer.IdlePeers(); span.Value = idle })
	return all, idle
}

func (s *spy) LastArrival() (at time.Time) {
	s.note(context.Background(), opLastArrival, func(span *Span) { at = s.FullServer.LastArrival(); span.Value = at })
	return at
}
