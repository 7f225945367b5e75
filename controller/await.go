package controller

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// inbox is where other goroutines leave what the loop is to do with what they have found.
// It never blocks them: put appends and pokes, and the loop takes everything at once.
type inbox struct {
	mu   sync.Mutex
	news []func()
	wake chan struct{} // capacity 1: a poke that finds it full was already made
}

// result is how a call into user code ended.
type result struct {
	at     time.Time
	order  int64 // its place among the ends of all calls
	result report.Result
	err    error
	text   string
	stack  string
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) put(f func()) {
	b.mu.Lock()
	b.news = append(b.news, f)
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

func (b *inbox) take() []func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.news
	b.news = nil
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
		if r.stoppedSince(r.alarmAt, r.asleep) {
			r.alarmAt = time.Time{}
		}
		if done() {
			return true
		}
		at := bound()
		if !at.IsZero() && time.Until(at) <= 0 {
			if r.stoppedSince(awake, awake) {
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
			r.signals.take(r.Controller, s, open, r.ignore)
		case <-r.pipes:
			pipeBroke()
		case <-r.ended:
			r.contextEnded(time.Now())
		}
	}
}

// takeIn takes in everything that has already happened, without waiting.
func (r *run) takeIn() {
	for {
		news := r.inbox.take()
		for _, f := range news {
			f()
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
		if len(news) == 0 {
			return
		}
	}
}

// contextEnded makes the end of Run's context the trigger.
func (r *run) contextEnded(at time.Time) {
	r.request(trigger{at: at, cause: &report.ContextError{Err: context.Cause(r.outer)}})
}

// awaitSteps waits for calls that run at the same time: until each has returned or its
// time is over, until end, or until enough returns true. It expires what has begun and has
// not returned by its time or by end. What the machine has not let begin until then is left
// to finish.
func (r *run) awaitSteps(calls []*call, end func() time.Time, enough func() bool) {
	done := func() bool {
		for len(calls) > 0 && calls[0].reported { // most return in order, and there may be 10,000
			calls = calls[1:]
		}
		return enough() || allDone(calls)
	}
	start := time.Now()
	look := start
	limited := slices.DeleteFunc(slices.Clone(calls), func(c *call) bool { return !c.own })
	next := func() time.Time {
		at := end()
		looks := nextLook(start, look, at)
		for _, c := range limited {
			if !c.reported && c.own {
				at = earlier(at, c.ends)
				looks = soonest(looks, nextLook(start, look, c.ends))
			}
		}
		return soonest(at, looks)
	}
	for !r.await(done, next) {
		now := time.Now()
		over := !now.Before(end())
		look = now
		if !over {
			r.look(true)
		}
		for _, c := range calls {
			switch own := c.own && !now.Before(c.ends); {
			case (over || own) && c.hasBegun():
				r.expire(c)
			case own:
				c.own = false
			}
		}
		if over {
			return
		}
	}
}

// allDone reports whether each call has returned or is known to be late.
func allDone(calls []*call) bool {
	return !slices.ContainsFunc(calls, func(c *call) bool { return !c.reported })
}

// nothing is for awaitSteps, if nothing but the calls ends the wait.
func nothing() bool { return false }

// never is a bound that is never reached.
func never() time.Time { return time.Time{} }

// beside runs f, which is the library's own and comes to an end soon, on a goroutine of
// its own. The loop is poked when it has. Contexts end so: that ends every context made from
// them, however many user code has made.
func (r *run) beside(f func()) {
	r.ending.Add(1)
	go func() {
		f()
		r.ending.Add(-1)
		r.inbox.poke()
	}()
}

// endContexts ends the contexts of steps whose time is over, and returns when the
// next one's will be; zero if there is none.
func (r *run) endContexts() time.Time {
	for len(r.endings) > 0 {
		c := r.endings[0]
		if !c.over && time.Now().Before(c.ends) {
			return c.ends
		}
		r.endings = r.endings[1:]
		r.timeOver(c)
	}
	return time.Time{}
}

// timeOver ends the context of a step because its time is over.
func (r *run) timeOver(c *call) { r.endContext(c, context.DeadlineExceeded, lastcall.ErrStepTime) }

// endContext ends the context of a step, if it has one that has not ended. What
// depends on it ends on goroutines of its own: that may be any number of contexts.
func (r *run) endContext(c *call, err, cause error) {
	if c.ctx == nil {
		return
	}
	if funcs := c.ctx.end(err, cause); len(funcs) > 0 {
		r.beside(func() {
			for _, f := range funcs {
				r.beside(f)
			}
		})
	}
}
