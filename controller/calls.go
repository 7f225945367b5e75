package controller

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/report"
)

// call starts a call into foreign code and returns. When its result has come, the
// loop runs then, unless that is nil.
func (r *run) call(op report.Op, name string, fn func() error, then func(result)) *call {
	c := r.begin(op, name, fn, then)
	r.record.add(c.step)
	begins := *c.step
	begins.Kind = report.KindBegin
	r.tell(begins)
	return c
}

func (r *run) begin(op report.Op, name string, fn func() error, then func(result)) *call {
	step := r.newStep(report.KindCall, name)
	step.Op = op
	c := &call{step: step, since: step.Start, then: then}
	r.calls = append(r.calls, c)
	go guard(fn, func(res result) {
		res.call, res.order = c, r.order.Add(1)
		r.inbox.put(res)
	})
	return c
}

// ask starts a call that is told only if it fails or takes too long. The loop runs
// then when it has come back well and in time. What fn leaves for then may be
// plain variables: the inbox is between the two.
func (r *run) ask(op report.Op, name string, fn, then func()) *call {
	var c *call
	c = r.begin(op, name, func() error { fn(); return nil }, func(res result) {
		if res.result == report.ResultOK && !c.told {
			then()
		}
	})
	c.quiet = true
	return c
}

// step starts an announcer, a Cancel, a closer or a flusher, with a context that
// ends when its time does.
func (r *run) step(op report.Op, s stepConfig, end time.Time) *call {
	return r.stepThen(op, s, end, nil)
}

// stepThen is step, with what the loop does with the result.
func (r *run) stepThen(op report.Op, s stepConfig, end time.Time, then func(result)) *call {
	if s.timeout > 0 {
		end = earlier(end, time.Now().Add(s.timeout))
	}
	ctx := newStepContext(r.base, end)
	c := r.call(op, s.name, func() error { return s.run(ctx) }, then)
	c.due, c.ctx = end, ctx
	heap.Push(&r.endings, c)
	return c
}

// returned takes in the result of a call.
func (r *run) returned(res result) {
	c := res.call
	c.over, c.order = true, res.order
	c.step.Duration = res.at.Sub(c.step.Start)
	c.step.Err, c.step.Text, c.step.Stack = res.err, res.text, res.stack
	// A call that was told to take too long stays one that timed out, unless it
	// came back in a way that needs to be known.
	if !c.told || res.result == report.ResultPanicked || res.result == report.ResultGoexit {
		c.step.Result = res.result
	}
	if c.step.Result == report.ResultOK && !c.due.IsZero() && res.at.After(c.due) {
		c.step.Result = report.ResultTimedOut
	}
	r.endContext(c, context.Canceled, nil)
	if c.then != nil {
		c.then(res)
	}
	if !c.told {
		bad := res.result == report.ResultPanicked || res.result == report.ResultGoexit
		if c.quiet && bad {
			r.record.addLate(c.step)
		}
		if !c.quiet || bad {
			r.tell(*c.step)
		}
	}
	c.told = true
}

// expire tells that a call takes too long, and ends its context. Nobody waits for
// it any longer.
func (r *run) expire(c *call) {
	if c.told {
		return
	}
	if c.quiet {
		r.record.addLate(c.step)
	}
	c.told = true
	c.step.Result, c.step.Duration = report.ResultTimedOut, time.Since(c.step.Start)
	r.timeOver(c)
	r.tell(*c.step)
}

// end ends a context on a goroutine of its own: that ends every context made from
// it, and only those who made them know how many.
func (r *run) end(cancel func()) { r.beside(cancel) }

// beside runs f, which is the library's own and comes to an end soon, on a goroutine of
// its own. The loop is poked when it has.
func (r *run) beside(f func()) {
	r.ending.Add(1)
	go func() {
		f()
		r.ending.Add(-1)
		r.inbox.poke()
	}()
}

// awaitSteps waits for calls that run at the same time: until each has come back
// or its time is over, until end, or until enough says so. What has not come back
// by its time or by end is expired.
func (r *run) awaitSteps(calls []*call, end func() time.Time, enough func() bool) {
	done := func() bool { return enough() || allDone(calls) }
	next := func() time.Time {
		at := end()
		for _, c := range calls {
			if !c.told && !c.due.IsZero() {
				at = earlier(at, c.due)
			}
		}
		return at
	}
	for !r.await(done, next) {
		now := time.Now()
		for _, c := range calls {
			if !now.Before(end()) || !c.due.IsZero() && !now.Before(c.due) {
				r.expire(c)
			}
		}
	}
}

// allDone says whether nothing is to be waited for.
func allDone(calls []*call) bool {
	return !slices.ContainsFunc(calls, func(c *call) bool { return !c.told })
}

// nothing is never enough.
func nothing() bool { return false }

// never is no bound.
func never() time.Time { return time.Time{} }
