package controller

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/report"
)

// call is one call into user code. It runs on a goroutine of its own, for which the
// loop never waits without a bound. The loop owns everything here, and learns through
// the inbox that the call has returned.
type call struct {
	step  *report.Step
	due   time.Time     // when its own time is over, if that is less than its share; else zero
	begun chan struct{} // closed right before the user code is called
	since time.Time     // since when it may need grace to return
	grace time.Duration // that, if it is more than usual; else 0
	order int64         // when it returned, in the run's order
	over  bool          // it has returned
	told  bool          // observers have been told its end, or that it takes too long
	lasts bool          // it is the Serve of a server that stops last, and not late before the end
	quiet bool          // it is reported only if it takes too long, panics or calls runtime.Goexit
	ends  time.Time     // when the loop ends ctx
	ctx   *stepContext  // of a step; nil: it has none
	then  func(result)  // what the loop does with the result, before it is told
	fn    func() error
	label context.Context // of its goroutine
	next  func() []*call  // what that does when fn has returned; nil: nothing
}

// ended reports whether the call has returned, without panic or Goexit.
func (c *call) ended() bool {
	return c != nil && c.over && c.step.Result != report.ResultPanicked && c.step.Result != report.ResultGoexit
}

// end returns when a call that is over has returned; without one the zero time.
func (c *call) end() time.Time {
	if c == nil {
		return time.Time{}
	}
	return c.step.Start.Add(c.step.Duration)
}

// soon returns until when the call may take, if it takes next to no time.
func (c *call) soon() time.Time { return c.since.Add(cmp.Or(c.grace, grace)) }

// hasBegun reports whether the machine has let the call begin.
func (c *call) hasBegun() bool {
	select {
	case <-c.begun:
		return true
	default:
		return false
	}
}

// guard runs user code on the calling goroutine and hands over how it ended:
// returned, panicked, or left by runtime.Goexit. To turn errors and panic values
// into text is a call of the user's methods, so that happens here as well.
func guard(fn func() error, deliver func(result)) {
	res := result{result: report.ResultGoexit}
	defer func() {
		res.at = time.Now()
		deliver(res)
	}()
	defer func() {
		if v := recover(); v != nil {
			res.result, res.stack = report.ResultPanicked, string(debug.Stack())
			res.text = "(the value of the panic has no text)"
			res.err, _ = v.(error)
			describe(&res.text, v)
		}
	}()
	err := fn()
	if err == nil {
		res.result = report.ResultOK
		return
	}
	res.result, res.err, res.text = report.ResultFailed, err, "(its Error method did not return)"
	if h, ok := err.(*harmless); ok { //nolint:errorlint // the library's own, which nothing has wrapped
		res.result, res.err = report.ResultOK, h.error
	}
	describe(&res.text, res.err)
}

// describe puts the text of a value where text points, and leaves that alone if
// the value's own method panics, or leaves by runtime.Goexit. Of a value that has
// no text of its own it gives only the type: to print the rest would read memory
// that other goroutines may be writing.
func describe(text *string, v any) {
	defer func() { _ = recover() }()
	switch v := v.(type) {
	case error:
		*text = v.Error()
	case fmt.Stringer:
		*text = v.String()
	case string:
		*text = v
	case bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, uintptr, float32, float64, complex64, complex128:
		*text = fmt.Sprint(v)
	default:
		*text = fmt.Sprintf("(a value of type %T)", v)
	}
}

// call starts a call into user code and returns. When that has returned, the loop
// runs then, unless it is nil.
func (r *run) call(op report.Op, name string, fn func() error, then func(result)) *call {
	return r.callAfter(nil, op, name, fn, then)
}

// callAfter is call for one that begins after another one has begun.
func (r *run) callAfter(before *call, op report.Op, name string, fn func() error, then func(result)) *call {
	c := r.newCall(op, name, fn, then)
	r.launch(before, c)
	r.tellBegin(c)
	return c
}

// newCall returns a call that is still to be started.
func (r *run) newCall(op report.Op, name string, fn func() error, then func(result)) *call {
	step := r.newStep(report.KindCall, name)
	step.Op = op
	return &call{step: step, since: step.Start, begun: make(chan struct{}), fn: fn, then: then, label: r.labelled(op, name)}
}

// launch starts a call. It begins after another one has begun, unless that is nil.
func (r *run) launch(before, c *call) {
	r.calls = append(r.calls, c)
	go func() {
		if before != nil {
			<-before.begun // for which that waits in the same way: no user code is among it
		}
		r.do(c)
	}()
}

// do makes a call on the calling goroutine, leaves the result for the loop, and goes on with
// the calls that are next, the first of them on the same goroutine.
func (r *run) do(c *call) {
	close(c.begun)
	pprof.SetGoroutineLabels(c.label)
	guard(c.fn, func(res result) {
		res.call, res.order = c, r.order.Add(1)
		r.inbox.put(res)
	})
	if c.next != nil {
		for i, next := range slices.Backward(c.next()) {
			if i > 0 {
				go r.do(next)
			} else {
				r.do(next)
			}
		}
	}
}

// tellBegin puts a call into the report, and tells that it begins.
func (r *run) tellBegin(c *call) {
	r.record.add(c.step)
	begins := *c.step
	begins.Kind = report.KindBegin
	r.tell(begins)
}

// ask starts a question, and returns it.
func (r *run) ask(op report.Op, name string, fn, then func()) *call {
	c := r.question(op, name, fn, then)
	r.launch(nil, c)
	return c
}

// question returns a call that is reported only if it fails or takes too long. The loop runs
// then if it has returned well and in time. What fn leaves for then may be plain
// variables: the inbox is between the two.
func (r *run) question(op report.Op, name string, fn, then func()) *call {
	var c *call
	c = r.newCall(op, name, func() error { fn(); return nil }, func(res result) {
		if res.result == report.ResultOK && !c.told {
			then()
		}
	})
	c.quiet = true
	return c
}

// step starts an announcer, a Cancel, a closer or a flusher, with a context that
// ends when its time does. It begins after another one has begun, unless that is nil.
func (r *run) step(op report.Op, s stepConfig, end time.Time, before *call) *call {
	var due time.Time
	if s.timeout > 0 {
		if at := time.Now().Add(s.timeout); at.Before(end) {
			due, end = at, at
		}
	}
	ctx := newStepContext(r.labelled(op, s.name), end)
	c := r.callAfter(before, op, s.name, func() error { return s.call(ctx) }, nil)
	c.due, c.ends, c.ctx = due, end, ctx
	heap.Push(&r.endings, c)
	return c
}

// returned takes in the result of a call.
func (r *run) returned(res result) {
	c := res.call
	c.over, c.order = true, res.order
	c.step.Duration = res.at.Sub(c.step.Start)
	c.step.Err, c.step.Text, c.step.Stack = res.err, res.text, res.stack
	// A call that was reported as timed out stays that, unless it panicked or called
	// runtime.Goexit.
	if !c.told || res.result == report.ResultPanicked || res.result == report.ResultGoexit {
		c.step.Result = res.result
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

// expire reports that a call takes too long, and ends its context. The loop does not
// wait for it any longer.
func (r *run) expire(c *call) {
	if c.told {
		return
	}
	if c.quiet {
		r.record.addLate(c.step)
	}
	c.told = true
	c.step.Result, c.step.Duration = report.ResultTimedOut, time.Since(c.step.Start)
	if c.step.Stacks = r.stacksOf(c.step.Subject()); c.step.Stacks == nil {
		r.look(true)
	}
	r.timeOver(c)
	r.tell(*c.step)
}

// end ends a context on a goroutine of its own: that ends every context made from it,
// however many user code has made.
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

// awaitSteps waits for calls that run at the same time: until each has returned or its
// time is over, until end, or until enough returns true. It expires what has begun and has
// not returned by its time or by end. What the machine has not let begin until then is left
// to finish.
func (r *run) awaitSteps(calls []*call, end func() time.Time, enough func() bool) {
	done := func() bool {
		for len(calls) > 0 && calls[0].told { // most return in order, and there may be 10,000
			calls = calls[1:]
		}
		return enough() || allDone(calls)
	}
	start := time.Now()
	look := start
	limited := slices.DeleteFunc(slices.Clone(calls), func(c *call) bool { return c.due.IsZero() })
	next := func() time.Time {
		at := end()
		looks := nextLook(start, look, at)
		for _, c := range limited {
			if !c.told && !c.due.IsZero() {
				at = earlier(at, c.due)
				looks = soonest(looks, nextLook(start, look, c.due))
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
			switch own := !c.due.IsZero() && !now.Before(c.due); {
			case (over || own) && c.hasBegun():
				r.expire(c)
			case own:
				c.due = time.Time{}
			}
		}
		if over {
			return
		}
	}
}

// allDone reports whether each call has returned or is known to be late.
func allDone(calls []*call) bool {
	return !slices.ContainsFunc(calls, func(c *call) bool { return !c.told })
}

// nothing never is enough for awaitSteps.
func nothing() bool { return false }

// never is a bound that is never reached.
func never() time.Time { return time.Time{} }
