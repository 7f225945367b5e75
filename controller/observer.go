package controller

import (
	"context"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/stacks"
	"github.com/lastcall-go/lastcall/report"
)

// WithObserver registers a function that is given every [report.Step], as it happens: the
// trigger, phases, transitions, calls as they begin and as they end, work in flight and the
// summary. The function is called on a goroutine of its own, with one Step at a time and in
// order. It may block. That never delays other observers, delays the first flusher by at most a
// second for a Step on which it hangs, and does not delay Run past the deadline.
func WithObserver(name string, observe func(report.Step)) Option {
	o := observerConfig{op: report.OpObserve, name: name}
	if observe != nil {
		o.observe = func(s report.Step) error { observe(s); return nil }
	}
	return register(func(c *config) { c.observe(o) })
}

// WithLog registers a log: a function that is given a [report.Line] for the cause, for each
// transition and phase, for each call that did not end well, for the work in flight at the
// drain and at the timer, and for the summary. The summary comes before the flushers run and is
// the last line; only the report has what the flushers do. An error from the function means
// that the line is lost: the report counts it ([report.Delivery]).
//
// The function is called as an observer is ([WithObserver]). If there is a log, Run does not
// write to stderr why the shutdown did not end well ([WithoutStderr]). [WithLogger] registers a
// log with the name "zerolog", and package slogadapter has one for log/slog. There may be
// several logs.
func WithLog(name string, write func(report.Line) error) Option {
	o := observerConfig{op: report.OpLog, name: name}
	if write != nil {
		o.observe = func(s report.Step) error { return write(s.Line()) }
	}
	return register(func(c *config) { c.observe(o) })
}

// Monitor is an observer that can also ask the controller at any time, as metrics do.
type Monitor interface {
	// Attach hands over the controller. New and Add call it on their caller's goroutine,
	// with no lock held, and return its error. It must return at once.
	Attach(*Controller) error
	// Observe is called as the function of [WithObserver] is.
	Observe(report.Step)
}

// WithMonitor registers a monitor under a name, which no other observer may have. A nil Monitor
// is an error from New. If New or Add returns an error, Attach may have been called.
func WithMonitor(name string, m Monitor) Option {
	return register(func(c *config) {
		if foreign.IsNil(m) {
			c.fail("monitor %q is nil", name)
			return
		}
		o := observerConfig{op: report.OpObserve, name: name, attach: m.Attach}
		o.observe = func(s report.Step) error { m.Observe(s); return nil }
		c.observe(o)
	})
}

// observerConfig is an observer, or a log, which is given the steps that have a line.
type observerConfig struct {
	op      report.Op // OpObserve or OpLog
	name    string
	label   context.Context // of the goroutine that calls it
	observe func(report.Step) error
	attach  func(*Controller) error // of a Monitor
}

// observe adds an observer. Its label is made here, as the first line may wait for it.
func (c *config) observe(o observerConfig) {
	o.label = stacks.Of(context.Background(), report.Step{Op: o.op, Name: o.name}.Subject())
	c.observers = append(c.observers, o)
}

// attach hands the controller to the monitors in more.
func (c *Controller) attach(more config) (errs []error) {
	for _, o := range more.observers {
		if o.attach != nil {
			errs = append(errs, o.attach(c))
		}
	}
	return errs
}

// feed hands steps to one observer or log: one at a time, in order, on a
// goroutine that exists only while there is something to hand over. put never waits for
// the observer.
type feed struct {
	observerConfig
	idle func() // called when the queue has become empty

	mu      sync.Mutex
	queue   []*report.Step // shared with the other feeds
	running bool           // a goroutine is at work
	inHand  bool           // and the observer has a step
	closed  bool
	since   time.Time // when it was last given a step, or a goroutine to take one
	slow    bool      // it has needed longer than tellTime for a step
	told    int       // how many steps it has taken
	failed  int       // how many it has not
}

// put adds a step, unless it has no line and this is a log: that need not wake for it. It is
// handed over once start has been called.
func (f *feed) put(s *report.Step) {
	if f.op == report.OpLog && !s.IsLogged() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue = append(f.queue, s)
}

// start has the queue handed over, if that is not happening already.
func (f *feed) start() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.startLocked()
}

// startLocked starts a goroutine if there is work and none is at it.
func (f *feed) startLocked() {
	if !f.running && !f.closed && len(f.queue) > 0 {
		f.running, f.since = true, time.Now()
		go f.work()
	}
}

func (f *feed) work() {
	pprof.SetGoroutineLabels(f.label)
	defer func() { // also after a Goexit
		f.mu.Lock()
		f.running = false
		f.startLocked()
		f.mu.Unlock()
		f.idle()
	}()
	for {
		s := f.take()
		if s == nil {
			return
		}
		guard(func() error { return f.observe(*s) }, f.count)
	}
}

// take returns the next step; nil if there is none.
func (f *feed) take() *report.Step {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.queue) == 0 {
		return nil
	}
	s := f.queue[0]
	f.queue = f.queue[1:]
	f.since, f.inHand = time.Now(), true
	return s
}

func (f *feed) count(r result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inHand = false
	f.slow = f.slow || r.at.Sub(f.since) > tellTime
	if r.result == report.ResultOK {
		f.told++
	} else {
		f.failed++
	}
}

// patience returns until when an observer that takes its time may delay the flush: for
// toldTime since it was last given a step. Zero if it has none, and none waits for it.
func (f *feed) patience() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.running && len(f.queue) == 0 {
		return time.Time{}
	}
	return f.since.Add(toldTime)
}

// stuck returns for how long the observer has had the step that it has; 0 if it has none.
func (f *feed) stuck() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.inHand {
		return 0
	}
	return time.Since(f.since)
}

// freshUntil returns until when the observer may be expected to go on: zero if it is not
// at work, or has needed longer than tellTime for a step before. A log gets more: without
// its last lines there is no explanation, and on a busy machine a line takes its time.
func (f *feed) freshUntil() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !f.running:
		return time.Time{}
	case f.op == report.OpLog:
		return f.since.Add(toldTime)
	case f.slow:
		return time.Time{}
	default:
		return f.since.Add(tellTime)
	}
}

// close lets no further step reach the observer, and returns what became of those
// that were put.
func (f *feed) close() report.Delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return report.Delivery{Op: f.op, Name: f.name, Told: f.told, Failed: f.failed, Missed: len(f.queue), Busy: f.inHand}
}
