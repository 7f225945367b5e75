package controller

import (
	"context"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall"
)

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
// that is later (see noticeSuspension), and Deadline, as its contract is, returns the same.
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
