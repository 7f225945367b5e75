package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/stacks"
	"github.com/lastcall-go/lastcall/report"
)

// Option is something that New and Add register.
type Option func(*config) error

// register makes an Option of a function, which notes in errs what is wrong.
func register(f func(*config)) Option {
	return func(c *config) error {
		before := c.errs
		c.errs = nil
		f(c)
		errs := c.errs
		c.errs = before
		return errors.Join(errs...)
	}
}

// Callable is a function that ends something: it may take a context, which ends
// when its share of the time is over, and may return an error. Method values fit
// as they are: db.Close, provider.Shutdown. A function of a named type, such as a
// context.CancelFunc, has to be converted: func()(cancel).
type Callable interface {
	func() | func() error | func(context.Context) | func(context.Context) error
}

// StepOption says more about an announcer, a closer or a flusher.
type StepOption func(*stepConfig)

// Timeout bounds a step by less than its share of the time. It counts from the
// step's start and must be positive.
func Timeout(d time.Duration) StepOption {
	return func(s *stepConfig) {
		if d <= 0 {
			s.errs = append(s.errs, fmt.Errorf("Timeout is %v, must be positive", d))
		} else if err := foreign.CheckUnit("Timeout", d); err != nil {
			s.errs = append(s.errs, err)
		}
		s.timeout = d
	}
}

// Options makes one option of several.
func Options(opts ...Option) Option {
	return register(func(c *config) { c.join(gather("option", opts)) })
}

// WithServer registers a server under a name, which logs and reports use. A
// [lastcall.FullServer] says itself how it is served; of any other server the options
// say so: [On], [Serving] or [ServedElsewhere]. It calls Check, StopsLast, Accepting,
// LastArrival and Listeners of a FullServer, which return at once.
func WithServer(name string, server lastcall.Server, opts ...ServerOption) Option {
	s := newServerConfig(name, server, opts)
	return register(func(c *config) { c.servers = append(c.servers, s) })
}

// WithWorker registers a function that claims work and does it: a queue's
// consumer, a scheduler. It is started in phase start. The context claim ends in
// phase announce, or later with [After], with cause [lastcall.ErrClaim]: claim nothing
// new, finish what was claimed, return. The context work ends when the timer fires,
// with cause [lastcall.ErrTimer].
//
// A worker that returns an error, panics or calls runtime.Goexit before it was told to end
// triggers the shutdown, and has failed; one that returns nil has finished. Once claim,
// work or the context given to Run has ended, any error is the worker's end and not a
// failure, unless it is or wraps one that [lastcall.Failed] has marked: a batch that could
// not be written, for example. The report and the log have the error in any case.
func WithWorker(name string, run func(claim, work context.Context) error, opts ...WorkerOption) Option {
	w := workerConfig{name: name, run: run}
	for _, opt := range opts {
		if opt == nil {
			w.errs = append(w.errs, errors.New("one of its options is nil"))
			continue
		}
		opt.applyWorker(&w)
	}
	return register(func(c *config) { c.workers = append(c.workers, w) })
}

// EndsProcess says that the process is there for this worker: if it returns nil
// before its claim has ended, that is a trigger as well, and not a failure.
func EndsProcess() WorkerOption {
	return workerOption(func(w *workerConfig) { w.endsProcess = true })
}

// WithAnnouncer registers a function that phase announce calls: it takes some
// readiness down, or deregisters this process. Announcers run
// at the same time. A force ends the phase, but not their contexts, which last for
// as long as the phase might have.
func WithAnnouncer[F Callable](name string, f F, opts ...StepOption) Option {
	step := newStep(name, f, opts)
	return register(func(c *config) { c.announcers = append(c.announcers, step) })
}

// WithCloser registers a function that closes a dependency once no server and no
// worker uses it any more. Closers run one after the other, the last registered
// first, so that what was opened last is closed first. One that has not returned
// when its share of the time is over is left running, with its context ended, and
// the next one begins: a hung closer may still be using the next dependency. Several that
// do not use each other can be closed at the same time: see [Together].
//
// An error is a failure, unless it says that there is nothing left to close: it is or
// wraps os.ErrClosed or net.ErrClosed, or what [Harmless] names.
func WithCloser[F Callable](name string, f F, opts ...StepOption) Option {
	step := newStep(name, f, opts)
	step.harmless = append(step.harmless, closedBefore()...)
	return register(func(c *config) { c.closers = append(c.closers, step) })
}

// Together makes closers close at the same time: as one of the steps that close
// one after the other, in the place of the first of them. It takes what WithCloser
// and Together return, and nothing else.
//
//	controller.Together(
//		controller.WithCloser("postgres", db.Close),
//		controller.WithCloser("redis", cache.Close),
//	)
func Together(closers ...Option) Option {
	return register(func(c *config) {
		inner := gather("Together: option", closers)
		switch {
		case len(inner.errs) > 0:
			c.errs = append(c.errs, inner.errs...)
			return
		case len(inner.closers) == 0 || !inner.closersOnly():
			c.fail("Together takes what WithCloser returns, at least one, and nothing else")
			return
		}
		c.groups++
		for _, s := range inner.closers {
			s.group = c.groups
			c.closers = append(c.closers, s)
		}
	})
}

// WithFlusher registers a function that writes out what telemetry has kept back:
// logs, traces, metrics. Flushers run last and at the same time.
//
// An error is a failure, unless it says that nothing can be kept back: fsync of a pipe, a
// terminal or a socket returns EINVAL, EROFS, ENOTTY or ENOTSUP. So the Sync method of a logger
// that writes to stderr fits. What is lost is a failure: a reader that has left (EPIPE), a
// file that was closed before. [Harmless] names more.
func WithFlusher[F Callable](name string, f F, opts ...StepOption) Option {
	step := newStep(name, f, opts)
	step.harmless = append(step.harmless, notSyncable()...)
	return register(func(c *config) { c.flushers = append(c.flushers, step) })
}

// WithObserver registers a function that is given every [report.Step], as it happens:
// the trigger, phases, transitions, calls as they begin and as they end, work in flight
// and the summary. It is called on a goroutine of its own, with one Step at a time and
// in order. It may block: that delays other observers never, the first flusher by a
// second at most for a Step that it hangs on, and Run not past the deadline.
func WithObserver(name string, observe func(report.Step)) Option {
	o := observerConfig{op: report.OpObserve, name: name}
	if observe != nil {
		o.observe = func(s report.Step) error { observe(s); return nil }
	}
	return register(o.add)
}

// WithLog registers a log: a function that is given a [report.Line] for the cause, for
// each transition and phase, for each call that did not end well, for the work in flight
// at the drain and at the timer, and for the summary, which comes before the flushers run
// and is the last one. What the flushers do is in the report only. An error says that the
// line is lost: the report counts it ([report.Delivery]).
//
// It is called as an observer is ([WithObserver]). With a log Run does not tell stderr
// why the shutdown has not ended well ([WithoutStderr]). [WithLogger] is a log of the name
// "zerolog", and package slogadapter has one for log/slog. There may be several.
func WithLog(name string, write func(report.Line) error) Option {
	o := observerConfig{op: report.OpLog, name: name}
	if write != nil {
		o.observe = func(s report.Step) error { return write(s.Line()) }
	}
	return register(o.add)
}

// add adds an observer. Its label is made here, as the first line may wait for it.
func (o observerConfig) add(c *config) {
	o.label = stacks.Of(context.Background(), report.Step{Op: o.op, Name: o.name}.Subject())
	c.observers = append(c.observers, o)
}

// WithReadyUntilDrain has readiness probes pass until the drain begins, if a signal began
// the shutdown. Use it where Kubernetes may delete every pod of a Service at once (one
// replica, Recreate, a drained node): it takes the endpoint out itself, and while no other
// is ready it sends traffic to terminating pods whose probe passes.
//
// Probes hear it through [lastcall.Host.ProbesReady]: /readyz of package admin, and Check
// and List of the gRPC health service. Ready is false from the trigger all the same. Any other
// cause (Shutdown, Fail, a trigger over HTTP, a server that ends by itself, the end of Run's
// context, also of signal.NotifyContext) takes probes down
// at the announcement, as nothing else takes the endpoint out then. Repeating the option
// changes nothing.
//
// Do not use it where something else takes the process out by its probe alone: a load
// balancer outside of Kubernetes, or a node with graceful node shutdown that is not drained
// before, whose pods are ended without being deleted. See docs/kubernetes.md and ADR 36.
func WithReadyUntilDrain() Option {
	return register(func(c *config) { c.readyUntilDrain = true })
}

// newStep makes a step's function one of a single form. A nil function stays nil,
// for the check to find.
func newStep[F Callable](name string, f F, opts []StepOption) stepConfig {
	s := stepConfig{name: name}
	for _, opt := range opts {
		if opt == nil {
			s.errs = append(s.errs, errors.New("one of its options is nil"))
			continue
		}
		opt(&s)
	}
	switch f := any(f).(type) {
	case func():
		if f != nil {
			s.run = func(context.Context) error { f(); return nil }
		}
	case func() error:
		if f != nil {
			s.run = func(context.Context) error { return f() }
		}
	case func(context.Context):
		if f != nil {
			s.run = func(ctx context.Context) error { f(ctx); return nil }
		}
	case func(context.Context) error:
		s.run = f
	}
	return s
}
