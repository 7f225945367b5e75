package controller

import (
	"context"
	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
	"os"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
)

// run is one shutdown, owned by the goroutine that called Run: the loop. It calls
// no foreign code. Everything that can happen reaches it in await.
type run struct {
	*Controller
	config  config
	machine *fsm.Machine
	timer   *time.Timer
	signals signals
	ended   <-chan struct{} // the end of Run's context; nil once there is a trigger
	cause   func() error    // the cause of that end
	outer   context.Context // Run's context
	base    context.Context // the same without its end, with the Life

	begun    time.Time // Run's start
	at       time.Time // the trigger's instant; zero before
	timerAt  time.Time
	deadline time.Time
	forced   bool
	ready    bool // phase serve was reached

	servers []*server
	lasts   []*server // those that are Last, which are not among the servers
	workers []*worker
	victims []*server // those on which Stop is called
	calls   []*call
	endings endings        // contexts that will end
	ending  atomic.Int32   // contexts that are being ended
	measure report.Outcome // the last thing done to what did not end by itself
	settled report.SettleEnd
	outcome report.Outcome
	failed  bool // a server or worker failed by itself
	broken  error

	record record
}

func newRun(ctx context.Context, c *Controller, config config) *run {
	from, background := c.signalsOf(config)
	r := &run{
		Controller: c,
		config:     config,
		timer:      time.NewTimer(time.Hour), // await resets it
		outcome:    report.OutcomeDrained,
		signals:    from,
		outer:      ctx,
		ended:      ctx.Done(),
		cause:      func() error { return &ContextError{Err: context.Cause(ctx)} },
		base:       lastcall.NewContext(context.WithoutCancel(ctx), lastcall.Life{c.life}),
		begun:      time.Now(),
	}
	r.machine = fsm.New(transitions.Shutdown(), r.entered)
	for _, s := range config.servers {
		one := &server{serverConfig: s, begun: make(chan struct{}), foreign: s.serve == nil}
		if s.last {
			r.lasts = append(r.lasts, one)
		} else {
			r.servers = append(r.servers, one)
		}
	}
	for _, w := range config.workers {
		r.workers = append(r.workers, &worker{workerConfig: w})
	}
	r.record = newRecord(config, r.inbox.poke)
	r.warnOfParent(background)
	return r
}

// await takes in what happens until done says so, or until the bound is reached.
// Both are asked anew after everything that happens, so a force takes effect at
// once; done is asked first. A zero bound is none. It says whether done did.
func (r *run) await(done func() bool, bound func() time.Time) bool {
	for {
		r.takeIn()
		if done() {
			return true
		}
		at := bound()
		if !at.IsZero() && time.Until(at) <= 0 {
			return false
		}
		if next := r.endContexts(); at.IsZero() || !next.IsZero() && next.Before(at) {
			at = next
		}
		if at.IsZero() {
			r.timer.Stop()
		} else {
			r.timer.Reset(time.Until(at))
		}
		select {
		case <-r.inbox.wake:
		case <-r.timer.C:
		case s, open := <-r.signals.from:
			r.signalled(s, open)
		case <-r.ended:
			r.ended = nil
			r.request(trigger{at: time.Now(), cause: r.cause()})
		}
	}
}

// takeIn takes in everything that has already happened, without waiting.
func (r *run) takeIn() {
	for {
		results := r.inbox.take()
		for _, res := range results {
			r.returned(res)
		}
		force := r.force.Load() // before the trigger: where there is a force, there is a trigger
		if t := r.trigger.Load(); t != nil && r.at.IsZero() {
			r.triggered(t)
		}
		if force != nil && !r.forced {
			r.forceAt(*force)
		}
		if len(results) == 0 {
			return
		}
	}
}

// takeInEarly takes in a trigger that came before Run.
func (r *run) takeInEarly() {
	select {
	case <-r.ended:
		r.request(trigger{at: r.begun, cause: r.cause()})
	default:
	}
	r.takeIn()
}

// signalled takes in a signal: the first triggers, the second forces, and then
// the signals belong to the platform again.
func (r *run) signalled(s os.Signal, open bool) {
	if !open {
		r.signals.end()
		return
	}
	r.signals.count++
	switch r.signals.count {
	case 1:
		r.request(trigger{at: time.Now(), cause: &SignalError{Signal: s}, typed: typed(s)})
	default:
		r.Force()
		r.signals.giveBack()
	}
}

// triggered starts the clock.
func (r *run) triggered(t *trigger) {
	r.at = later(t.at, r.begun)
	r.deadline = r.at.Add(r.config.budget.Total)
	r.setTimer(r.deadline.Add(-r.config.budget.Reserve))
	r.setDeadline(r.deadline)
	r.ended = nil
	r.failed = r.failed || t.failed
}

// forceAt moves the timer and the deadline to what a force leaves of them.
func (r *run) forceAt(at time.Time) {
	r.forced = true
	at = later(at, r.begun)
	r.setTimer(earlier(r.timerAt, at))
	r.setDeadline(earlier(r.deadline, at.Add(r.config.budget.Reserve)))
}

func (r *run) setDeadline(at time.Time) {
	r.deadline = at
	r.deadlineAt.Store(&at)
}

func (r *run) setTimer(at time.Time) {
	r.timerAt = at
	r.life.timer.Store(&at)
}
