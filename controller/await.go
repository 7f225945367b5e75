package controller

import (
	"context"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/report"
)

// inbox is where the goroutines that run user code leave their results for the loop.
// It never blocks them: put appends and pokes, and the loop takes everything at once.
type inbox struct {
	mu      sync.Mutex
	results []result
	wake    chan struct{} // capacity 1: a poke that finds it full was already made
}

// result is how a call into user code ended.
type result struct {
	call   *call
	at     time.Time
	order  int64 // its place among the ends of all calls
	result report.Result
	err    error
	text   string
	stack  string
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) put(r result) {
	b.mu.Lock()
	b.results = append(b.results, r)
	b.mu.Unlock()
	b.poke()
}

func (b *inbox) poke() {
	if b == nil { // of a Controller that New did not make
		return
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) take() []result {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.results
	b.results = nil
	return all
}

// await takes in what happens until done returns true, or until the bound is reached.
// Both are called anew after everything that happens, so a force takes effect at
// once; done is called first. The zero bound is never reached. await reports whether
// done returned true. It is the only place where the loop blocks.
func (r *run) await(done func() bool, bound func() time.Time) bool {
	for {
		awake := time.Now()
		r.takeIn()
		r.noticeSuspension()
		if done() {
			return true
		}
		at := bound()
		if !at.IsZero() && time.Until(at) <= 0 {
			if r.stoppedSince(awake) {
				continue // and the bound is a later one
			}
			return false
		}
		at = soonest(soonest(at, r.endContexts()), soonest(r.giveBackAt, r.beat()))
		at = soonest(at, r.record.causeDue)
		if at.IsZero() {
			r.alarm.Stop()
		} else {
			r.alarm.Reset(time.Until(at))
		}
		r.alarmAt, r.asleep = at, awake
		if !r.answersFirst {
			r.record.start() // as late as this: the goroutine then begins at once, on this processor
		}
		select {
		case <-r.inbox.wake:
		case <-r.alarm.C:
		case s, open := <-r.signals.from:
			r.signalled(s, open)
		case <-r.pipes:
			pipeBroke()
		case <-r.ended:
			r.contextEnded(time.Now())
		}
	}
}

// takeIn takes in everything that has already happened, without waiting.
func (r *run) takeIn() {
	r.see()
	for {
		results := r.inbox.take()
		for _, res := range results {
			r.returned(res)
		}
		force := r.forceAsked.Load() // before the trigger: where there is a force, there is a trigger
		if t := r.trigger.Load(); t != nil {
			if r.at.IsZero() {
				r.beginShutdown(t)
			}
			r.takeShortenings()
		}
		if force != nil && !r.forced {
			r.forceAt(*force)
		}
		if !r.giveBackAt.IsZero() && !time.Now().Before(r.giveBackAt) {
			r.giveBackAt = time.Time{}
			r.signals.giveBack()
		}
		if due := r.record.causeDue; !due.IsZero() && !time.Now().Before(due) {
			r.giveUpCause()
		}
		if len(results) == 0 {
			return
		}
	}
}

// takeInEarly takes in a trigger that came before Run.
func (r *run) takeInEarly() {
	if foreign.IsClosed(r.ended) {
		r.contextEnded(r.begun)
	}
	r.takeIn()
}

// contextEnded makes the end of Run's context the trigger.
func (r *run) contextEnded(at time.Time) {
	r.request(trigger{at: at, cause: &report.ContextError{Err: context.Cause(r.outer)}})
}

// beginShutdown starts the clock.
func (r *run) beginShutdown(t *trigger) {
	r.at = later(t.at, r.begun)
	b := r.config.budget
	r.announceEnd, r.settleTime = r.at.Add(b.Announce()), b.Settle
	r.setTimes(r.at.Add(b.Total-b.Reserve), r.at.Add(b.Total))
	r.takeShortenings() // the cause tells until when
	r.ended, r.pipes = nil, nil
	r.failed = r.failed || t.failed
	r.describeCause(t.cause)
}

// forceAt moves the timer and the deadline to what a force leaves of them. When no signal
// can be the same request any more, those that force are the platform's again.
func (r *run) forceAt(f force) {
	r.forced = true
	at := later(f.at, r.begun)
	r.setTimes(earlier(r.timerAt, at), earlier(r.deadline, at.Add(r.config.budget.Reserve)))
	r.record.causeDue = earlier(r.record.causeDue, r.share(2)())
	r.giveBackAt = at.Add(sameKey)
	r.tellRequest("Force", f.by+r.untilWhen())
}

// untilWhen returns, for people, by when Run returns.
func (r *run) untilWhen() string {
	return "Run returns by " + r.deadline.Format("2006-01-02T15:04:05.000Z07:00")
}

func (r *run) setTimes(timer, deadline time.Time) {
	r.timerAt, r.deadline = timer, deadline
	r.times.Store(&lastcall.Times{Trigger: r.at, Timer: timer, Deadline: deadline})
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// soonest is earlier, where the zero time stands for never.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
