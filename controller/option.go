package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
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

// gather returns what the options register, with an error for each that has one.
// The options run on the caller's goroutine and may be the caller's own code: no
// lock is held.
func gather(what string, opts []Option) config {
	var more config
	for i, opt := range opts {
		if opt == nil {
			more.fail("%s %d is nil", what, i+1)
			continue
		}
		if err := opt(&more); err != nil {
			more.errs = append(more.errs, err)
		}
	}
	return more
}

// Options combines several options into one.
func Options(opts ...Option) Option {
	return register(func(c *config) { c.join(gather("option", opts)) })
}

// WithAnnouncer registers a function that phase announce calls: it takes some readiness down,
// or deregisters this process. Announcers run at the same time. A force ends the phase, but not
// their contexts, which end when the phase would have ended without the force.
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
	step.harmless = append(step.harmless, os.ErrClosed, net.ErrClosed)
	return register(func(c *config) { c.closers = append(c.closers, []stepConfig{step}) })
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
		c.closers = append(c.closers, slices.Concat(inner.closers...))
	})
}

// WithFlusher registers a function that writes out buffered telemetry: logs, traces, metrics.
// Flushers run last and at the same time.
//
// An error is a failure, unless it means that there was nothing to flush: fsync of a pipe, a
// terminal or a socket returns EINVAL, EROFS, ENOTTY or ENOTSUP. So the Sync method of a logger
// that writes to stderr can be registered as it is. Lost output is a failure: a reader that has
// left (EPIPE), a file that was closed before. [Harmless] names more errors that are not.
func WithFlusher[F Callable](name string, f F, opts ...StepOption) Option {
	step := newStep(name, f, opts)
	step.harmless = append(step.harmless, notSyncable()...)
	return register(func(c *config) { c.flushers = append(c.flushers, step) })
}

// Callable is a function that ends something: it may take a context, which ends
// when its share of the time is over, and may return an error. Method values fit
// as they are: db.Close, provider.Shutdown. A function of a named type, such as a
// context.CancelFunc, has to be converted: func()(cancel).
type Callable interface {
	func() | func() error | func(context.Context) | func(context.Context) error
}

// StepOption configures an announcer, a closer or a flusher.
type StepOption func(*stepConfig)

// Timeout limits a step to less than its share of the time. It counts from the step's start and
// must be positive.
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

// Harmless names errors that are not failures of this step: for example, that of a connection
// which other code may have closed before. An error that joins several is harmless if each of
// them is. The report has a harmless error all the same, and so does the log, except for
// flushers.
//
//	controller.WithCloser("users", conn.Close, controller.Harmless(grpc.ErrClientConnClosing))
func Harmless(errs ...error) StepOption {
	return func(s *stepConfig) {
		if len(errs) == 0 {
			s.errs = append(s.errs, errors.New("Harmless was given no error"))
		}
		for _, err := range errs {
			if err == nil || !canCompare(err) {
				s.errs = append(s.errs, fmt.Errorf("Harmless was given %#v, which no error can be compared with", err)) //nolint:errorlint // it is not what went wrong
				return
			}
		}
		s.harmless = append(s.harmless, errs...)
	}
}

// stepConfig is an announcer, a closer or a flusher.
type stepConfig struct {
	name     string
	run      func(context.Context) error
	timeout  time.Duration // 0: none of its own
	harmless []error       // that are not failures
	errs     []error
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
	if foreign.IsNil(f) {
		return s
	}
	switch f := any(f).(type) {
	case func():
		s.run = func(context.Context) error { f(); return nil }
	case func() error:
		s.run = func(context.Context) error { return f() }
	case func(context.Context):
		s.run = func(ctx context.Context) error { f(ctx); return nil }
	case func(context.Context) error:
		s.run = f
	}
	return s
}

// canCompare reports whether == works for the error: its type may hold a slice.
func canCompare(err error) (ok bool) {
	defer func() { ok = recover() == nil }()
	_ = map[error]bool{err: true}
	return ok
}

// notSyncable are the errors of a flusher that mean that there is nothing to flush: fsync
// of a pipe, a terminal or a socket, which keep nothing back.
func notSyncable() []error {
	errs := []error{syscall.EINVAL, syscall.EROFS, syscall.ENOTTY, syscall.ENOTSUP}
	if runtime.GOOS == "windows" {
		errs = append(errs, syscall.Errno(6)) // ERROR_INVALID_HANDLE, of a console
	}
	return errs
}

// call calls the step's function, and marks an error that is harmless.
func (s stepConfig) call(ctx context.Context) error {
	err := s.run(ctx)
	if err != nil && isHarmless(err, s.harmless) {
		return &harmless{err}
	}
	return err
}

// harmless is what a call returns to guard for an error that is not a failure.
type harmless struct{ error }

// isHarmless reports whether err, and each error that it joins, is or wraps one of the
// known errors. Unlike errors.Is it does not take one that is known for all of them.
// It calls methods of err.
func isHarmless(err error, known []error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if _, failed := err.(*lastcall.FailedError); failed { //nolint:errorlint // this very level
			return false
		}
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			all := joined.Unwrap()
			return len(all) > 0 && !slices.ContainsFunc(all, func(e error) bool { return !isHarmless(e, known) })
		}
		own, hasIs := err.(interface{ Is(error) bool })
		for _, k := range known {
			if err == k || hasIs && own.Is(k) { //nolint:errorlint // the same
				return true
			}
		}
	}
	return false
}

// WithReadyUntilDrain makes readiness probes pass until the drain begins, if a signal began the
// shutdown. Use it where Kubernetes may delete every pod of a Service at once (one replica,
// Recreate, a drained node). Kubernetes itself takes the endpoint out; while no other endpoint
// is ready, it sends traffic to terminating pods whose probe passes.
//
// Probes read it from [lastcall.Host.ProbesReady]: /readyz of package admin, and Check and List
// of the gRPC health service. Ready is false from the trigger all the same. After any other
// cause (Shutdown, Fail, a trigger over HTTP, a server that ends by itself, the end of Run's
// context, also of signal.NotifyContext) probes fail from the announcement on, because nothing
// else takes the endpoint out then. Repeating the option changes nothing.
//
// Do not use it where only the probe takes the process out: behind a load balancer outside of
// Kubernetes, or on a node that shuts down gracefully without being drained first, which ends
// its pods without deleting them. See docs/kubernetes.md and ADR 36.
func WithReadyUntilDrain() Option {
	return register(func(c *config) { c.readyUntilDrain = true })
}

// leastProgress is the least that WithProgress takes.
const leastProgress = 100 * time.Millisecond

// WithProgress sets the shortest interval between two Steps of kind [report.KindProgress]
// during the drain. The default is 5 seconds; 0 turns progress off; less than 100 ms is an
// error. Observers get such a Step only if something has changed since the last one, and always
// one right before the timer. After the timer, while dependencies close, and if the trigger was
// a Ctrl-C typed at a terminal, the interval is at most one second; after a typed Ctrl-C they
// get a Step even if nothing has changed. For each Step the servers are asked InFlight.
func WithProgress(every time.Duration) Option {
	return register(func(c *config) {
		if every != 0 && every < leastProgress {
			c.fail("WithProgress: %v is less than %v; 0 turns progress off", every, leastProgress)
		}
		c.join(config{settings: settings{every: &every}})
	})
}

// WithoutStacks turns off the look at goroutines: log and report then name what hangs without
// its line of code. A look takes a goroutine profile, for which the program stands still for
// some milliseconds. It is taken once right before the timer, and after that for what hangs.
func WithoutStacks() Option {
	return register(func(c *config) { c.noStacks = true })
}

// WithoutPeers leaves the clients of work in flight out of steps and the report: the fields
// Peer and Path of [lastcall.Work], and the names of idle connections.
func WithoutPeers() Option {
	return register(func(c *config) { c.noPeers = true })
}
