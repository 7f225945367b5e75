package controller

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/transitions"

	"github.com/lastcall-go/lastcall/fsm"
)

// ErrRan is the error of a second Run, and of an Add after the first Run.
var ErrRan = errors.New("controller: Run was called before, and a Controller runs once")

// Controller shuts one process down, once. Make one with [New]. Any number of goroutines may
// call all methods, also from user code that the controller calls; only Run and Wait block.
type Controller struct {
	draining chan struct{}                  // closed when phase drain begins
	times    atomic.Pointer[lastcall.Times] // nil before the trigger
	machine  *fsm.Machine
	progress progress
	inbox    *inbox
	over     chan struct{} // closed when report is final
	report   report.Report // written before over is closed

	triggered chan struct{} // closed when there is a trigger
	serving   chan struct{} // closed when phase serve begins

	becoming   sync.Mutex              // what comes first, the trigger or readiness; never held while user code runs
	trigger    atomic.Pointer[trigger] // the first one; never changed again
	forceAsked atomic.Pointer[force]   // the first one; the same
	lookAsked  atomic.Bool             // TellProgress was called

	readyUntilDrain atomic.Bool // see WithReadyUntilDrain

	mu     sync.Mutex // guards what is below; never held while user code runs
	config config
	ran    bool

	shortenings     []shortening // that the loop has not taken in
	manyShortenings int          // with more than so many the needless ones are dropped

	starting *starting // nil: Starting was not called
}

// trigger is the first request to shut down.
type trigger struct {
	at    time.Time
	cause error
	typed bool // Ctrl-C at a terminal: no network has to learn that the server leaves

	failed bool // something has failed, and that is why
}

// force is the first request to force the shutdown.
type force struct {
	at time.Time
	by string // the signal that asked for it, with a colon; "": Force was called
}

// New returns a Controller that will shut down what the options name, within the budget. It
// starts nothing. The error joins one error for each thing that is wrong: a bad budget; a nil
// server or function; an empty name; a name given twice to things of the same kind, or to a
// server and a worker; a name in [After] that is not there, or a circle of such names; a server
// that does not tell when it accepts work, or that has only some of the methods of
// [lastcall.FullServer]; one that cannot do what [lastcall.Budget.Quiet] needs; a [Timeout]
// longer than Total.
func New(budget lastcall.Budget, opts ...Option) (*Controller, error) {
	if err := budget.Validate(); err != nil {
		return nil, err
	}
	_, _ = time.Now().Zone() // it reads the time zone from a file, for the log, in 0.1 ms
	c := &Controller{
		draining: make(chan struct{}),
		machine:  fsm.New(transitions.Shutdown()), // here and not in Run: it takes 50 us, and a signal during start-up may wait
		inbox:    newInbox(),
		over:     make(chan struct{}),

		triggered: make(chan struct{}),
		serving:   make(chan struct{}),
		config:    config{budget: budget, index: index{}},
	}
	c.progress.set(fsm.Serving, lastcall.PhaseStart)
	if err := c.Add(opts...); err != nil {
		return nil, err
	}
	return c, nil
}

// Add registers more options. Once Run has been called it returns [ErrRan]. Open a dependency,
// Add its closer, open the next: whatever was added is closed, even if a trigger comes before
// everything is open. If Add returns an error, of the kinds that New has, it adds nothing. The
// options run on the caller's goroutine, and no lock is held.
func (c *Controller) Add(opts ...Option) error {
	more := gather("option", opts)
	errs := append(more.errs, c.attach(more)...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.isOver(); err != nil {
		return err
	}
	index, wrong := c.config.check(more)
	if c.starting != nil && more.triggers != nil {
		wrong = append(wrong, errors.New("controller: WithSignals and WithSignalChannel come before Starting, which hears the signals"))
	}
	if err := errors.Join(append(errs, wrong...)...); err != nil {
		return err
	}
	c.config.join(more)
	maps.Copy(c.config.index, index)
	c.readyUntilDrain.Store(c.config.readyUntilDrain)
	return nil
}

// isOver returns an error if the time before Run is over, or was never there.
func (c *Controller) isOver() error {
	switch {
	case c.over == nil:
		return errors.New("controller: this Controller was not made by New")
	case c.ran:
		return ErrRan
	}
	return nil
}

// Shutdown triggers the shutdown and returns at once. The cause is kept if this is the first
// trigger, and ignored otherwise; nil stands for [report.ErrShutdown]. The cause tells why the
// process stops, not that something failed, so it does not change the exit code; see Fail.
func (c *Controller) Shutdown(cause error) {
	if cause == nil {
		cause = report.ErrShutdown
	}
	c.request(trigger{at: time.Now(), cause: cause})
}

// Fail triggers the shutdown because of an error, and returns at once. If it is the first
// trigger, the exit code is [report.ExitFailed]; otherwise it changes nothing. A nil error
// stands for [report.ErrShutdown]. A program that cannot start calls Fail before Run, which
// then closes what is already open:
//
//	db, err := open()
//	if err != nil {
//		ctl.Fail(err)
//	}
//	...
//	os.Exit(ctl.Run(ctx).ExitCode())
func (c *Controller) Fail(err error) {
	if err == nil {
		err = report.ErrShutdown
	}
	c.request(trigger{at: time.Now(), cause: err, failed: true})
}

// Force moves the timer to now, and the deadline to now + Reserve if that is
// earlier; it returns at once. Before any trigger it is a trigger as well. Later
// calls change nothing. A signal that forces ([ForceOn]) does the same.
func (c *Controller) Force() {
	c.forceNow(force{at: time.Now()})
}

func (c *Controller) forceNow(f force) {
	c.request(trigger{at: f.at, cause: report.ErrForced})
	c.forceAsked.CompareAndSwap(nil, &f)
	c.inbox.poke()
}

// State returns the machine's state; before Run that is SERVING. It does not say
// whether traffic should come: see Ready.
func (c *Controller) State() fsm.State {
	state, _ := c.progress.get()
	return state
}

// Phase returns what the controller is doing; before Run that is PhaseStart.
func (c *Controller) Phase() lastcall.Phase {
	_, phase := c.progress.get()
	return phase
}

// Ready reports whether traffic should come: it is true once every server accepts work,
// until the first trigger.
func (c *Controller) Ready() bool { return c.Phase() == lastcall.PhaseServe && c.trigger.Load() == nil }

// ProbesReady reports whether readiness probes should pass. It returns what Ready does. With
// [WithReadyUntilDrain], once the process was ready and a signal has begun the shutdown, it
// returns true until the drain begins.
func (c *Controller) ProbesReady() bool {
	t := c.trigger.Load()
	if t == nil || !c.readyUntilDrain.Load() {
		return c.Ready()
	}
	if !foreign.IsClosed(c.serving) {
		return false // it never was ready
	}
	_, bySignal := t.cause.(*report.SignalError) //nolint:errorlint // what is wrapped would not do: the wrapper's method is the user's
	return bySignal && c.State() == fsm.Serving
}

// Serving returns a channel that is closed when Ready becomes true. It stays open if the
// shutdown is triggered before that. It is always the same channel. Tests and
// supervisors wait for it, beside Done:
//
//	select {
//	case <-ctl.Serving():
//	case <-ctl.Done():
//	}
func (c *Controller) Serving() <-chan struct{} { return c.serving }

// Deadline returns the instant by which Run returns. The second result is true once Run has
// taken in the trigger, which a running Run does at once. A force or Shorten may move the
// deadline to an earlier instant, and the end of a suspension to a later one (G1).
func (c *Controller) Deadline() (time.Time, bool) {
	times, known := c.instants()
	return times.Deadline, known
}

// TimerAt returns the instant at which the timer fires, as [lastcall.Life.TimerAt] does.
func (c *Controller) TimerAt() (time.Time, bool) {
	times, known := c.instants()
	return times.Timer, known
}

func (c *Controller) instants() (lastcall.Times, bool) {
	if times := c.times.Load(); times != nil {
		return *times, true
	}
	return lastcall.Times{}, false
}

// Life returns what servers pass on to their handlers.
func (c *Controller) Life() lastcall.Life { return lastcall.NewLife(c.draining, c.instants) }

// Done returns a channel that is closed when Run is over.
func (c *Controller) Done() <-chan struct{} { return c.over }

// Wait blocks until Run is over and returns the report, the same one for every caller. If ctx
// ends first, Wait returns its cause. If Run is never called, only ctx ends the wait. A nil ctx
// is an error.
func (c *Controller) Wait(ctx context.Context) (report.Report, error) {
	if ctx == nil {
		return report.Report{}, errors.New("controller: Wait was given a nil context")
	}
	if foreign.IsClosed(c.over) {
		return c.report.Clone(), nil
	}
	select {
	case <-c.over:
		return c.report.Clone(), nil
	case <-ctx.Done():
		return report.Report{}, context.Cause(ctx)
	}
}

// request makes t the trigger, unless there is one already.
func (c *Controller) request(t trigger) {
	hearPipes(true) // before anything is told of it
	c.becoming.Lock()
	first := c.trigger.CompareAndSwap(nil, &t)
	c.becoming.Unlock()
	if first {
		if c.triggered != nil { // made by New
			close(c.triggered)
		}
		c.inbox.poke()
	}
}
