package controller

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/report"
)

// call is one call into user code. It runs on a goroutine of its own, for which the
// loop never waits without a bound. The loop owns everything here, and learns through
// the inbox that the call has returned.
type call struct {
	step     *report.Step
	begun    chan struct{} // closed right before the user code is called
	since    time.Time     // since when it may need grace to return
	grace    time.Duration // that, if it is more than usual; else 0
	order    int64         // when it returned, in the run's order
	over     bool          // it has returned
	reported bool          // observers have been told its end, or that it takes too long
	lasts    bool          // it is the Serve of a server that stops last, and not late before the end
	quiet    bool          // it is reported only if it takes too long, panics or calls runtime.Goexit
	ends     time.Time     // when the loop ends ctx
	own      bool          // that is its own time, less than its share: when it is over, the call is late
	ctx      *stepContext  // of a step; nil: it has none
	then     func(result)  // what the loop does with the result, before it is told
	fn       func() error
	before   *call           // begins first; nil: none has to
	label    context.Context // of its goroutine
	next     func() []*call  // what that does when fn has returned; nil: nothing
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
func (c *call) hasBegun() bool { return foreign.IsClosed(c.begun) }

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
	return r.launch(r.newCall(op, name, fn, then))
}

// newCall returns a call that is still to be started.
func (r *run) newCall(op report.Op, name string, fn func() error, then func(result)) *call {
	step := r.newStep(report.KindCall, name)
	step.Op = op
	return &call{step: step, since: step.Start, begun: make(chan struct{}), fn: fn, then: then, label: r.labelled(op, name)}
}

// launch starts a call, and puts it into the report and tells that it begins, unless it is
// quiet.
func (r *run) launch(c *call) *call {
	r.calls = append(r.calls, c)
	go func() {
		if c.before != nil {
			<-c.before.begun // for which that waits in the same way: no user code is among it
		}
		r.do(c)
	}()
	if !c.quiet {
		r.record.add(c.step)
		begins := *c.step
		begins.Kind = report.KindBegin
		r.tell(begins)
	}
	return c
}

// do makes a call on the calling goroutine, leaves the result for the loop, and goes on with
// the calls that are next, the first of them on the same goroutine.
func (r *run) do(c *call) {
	close(c.begun)
	pprof.SetGoroutineLabels(c.label)
	guard(c.fn, func(res result) {
		res.order = r.order.Add(1)
		r.inbox.put(func() { r.returned(c, res) })
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

// ask starts a question, and returns it.
func (r *run) ask(op report.Op, name string, fn, then func()) *call {
	return r.launch(r.question(op, name, fn, then))
}

// question returns a call that is reported only if it fails or takes too long. The loop runs
// then if it has returned well and in time. What fn leaves for then may be plain
// variables: the inbox is between the two.
func (r *run) question(op report.Op, name string, fn, then func()) *call {
	var c *call
	c = r.newCall(op, name, func() error { fn(); return nil }, func(res result) {
		if res.result == report.ResultOK && !c.reported {
			then()
		}
	})
	c.quiet = true
	return c
}

// step starts an announcer, a Cancel, a closer or a flusher, with a context that
// ends when its time does. It begins after another one has begun, unless that is nil.
func (r *run) step(op report.Op, s stepConfig, end time.Time, before *call) *call {
	own := false
	if s.timeout > 0 {
		at := time.Now().Add(s.timeout)
		own, end = at.Before(end), earlier(end, at)
	}
	c := r.newCall(op, s.name, nil, nil)
	c.ctx = newStepContext(c.label, end)
	c.fn = func() error { return s.call(c.ctx) }
	c.ends, c.own, c.before = end, own, before
	at, _ := slices.BinarySearchFunc(r.endings, end, func(other *call, end time.Time) int {
		return cmp.Or(other.ends.Compare(end), -1) // behind those that end at the same time
	})
	r.endings = slices.Insert(r.endings, at, c)
	return r.launch(c)
}

// returned takes in the result of a call.
func (r *run) returned(c *call, res result) {
	c.over, c.order = true, res.order
	c.step.Duration = max(0, res.at.Sub(c.step.Start)) // one that was adopted may have returned before that
	c.step.Err, c.step.Text, c.step.Stack = res.err, res.text, res.stack
	bad := res.result == report.ResultPanicked || res.result == report.ResultGoexit
	if !c.reported || bad { // otherwise it was reported as timed out, and stays that
		c.step.Result = res.result
	}
	r.endContext(c, context.Canceled, nil)
	if c.then != nil {
		c.then(res)
	}
	if !c.reported {
		if c.quiet && bad {
			r.record.add(c.step)
		}
		if !c.quiet || bad {
			r.tell(*c.step)
		}
	}
	c.reported = true
}

// expire reports that a call takes too long, and ends its context. The loop does not
// wait for it any longer.
func (r *run) expire(c *call) {
	if c.reported {
		return
	}
	if c.quiet {
		r.record.add(c.step)
	}
	c.reported = true
	c.step.Result, c.step.Duration = report.ResultTimedOut, time.Since(c.step.Start)
	if c.step.Stacks = r.stacksOf(c.step.Subject()); c.step.Stacks == nil {
		r.look(true)
	}
	r.timeOver(c)
	r.tell(*c.step)
}

// stepContext is the context of a step. It behaves like one of
// context.WithDeadlineCause, but has no timer: the loop ends it. A timer that fires
// in the same instant as the loop's would put the loop behind whatever wakes with
// it, and on a busy machine that costs a round through the run queue.
//
// The context inside carries the values and the cause, for context.Cause. Nothing is
// ever made from it directly: contexts that users make from a stepContext end
// through AfterFunc, and so with the error of this one.
type stepContext struct {
	context.Context
	setCause context.CancelCauseFunc
	deadline time.Time
	done     chan struct{}

	mu    sync.Mutex
	err   error
	funcs map[*func()]struct{} // to call when it ends
}

func newStepContext(parent context.Context, deadline time.Time) *stepContext {
	c := &stepContext{deadline: deadline, done: make(chan struct{})}
	c.Context, c.setCause = context.WithCancelCause(parent)
	return c
}

// Deadline returns the instant in which the loop ends the context. After a suspension
// that is later (see stoppedSince), and Deadline, as its contract is, returns the same.
func (c *stepContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Done returns a channel that is closed when the context ends.
func (c *stepContext) Done() <-chan struct{} { return c.done }

// Err returns nil until the context ends; then context.DeadlineExceeded if its time
// was over, and context.Canceled if the step had returned, or GracefulStop, for which a
// Cancel waits.
func (c *stepContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc is what package context asks for in contexts that are not its own: it
// calls f on a goroutine of its own when the context has ended, unless stop is
// called before. Without it every context made from this one would keep a goroutine.
func (c *stepContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.funcs == nil {
		c.funcs = map[*func()]struct{}{}
	}
	c.funcs[&f] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ok := c.funcs[&f]
		delete(c.funcs, &f)
		return ok
	}
}

// end ends the context and returns what is to be called now. A later call changes
// nothing.
func (c *stepContext) end(err, cause error) []func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil
	}
	c.setCause(cause) // before Done: code that sees Done asks for the cause
	c.err = err
	close(c.done)
	var funcs []func()
	for f := range c.funcs {
		funcs = append(funcs, *f)
	}
	c.funcs = nil
	return funcs
}
