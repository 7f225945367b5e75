package controller

import (
	"context"
	"errors"
	"time"

	"github.com/lastcall-go/lastcall/report"
)

// starting hears signals before Run does.
type starting struct {
	signals    signals
	background bool          // see interruptIgnored
	over       chan struct{} // closed by seal
	ended      chan struct{} // closed when starting no longer hears the signals
}

// Starting has signals heard from now on, and not only from Run's start, and returns
// a context for opening what the process needs. It returns at once.
//
//	ctx := ctl.Starting(context.Background())
//	if err := open(ctx, ctl); err != nil { // ctl.Add of a closer for each thing opened
//		ctl.Fail(err)
//	}
//	os.Exit(ctl.Run(context.Background()).ExitCode())
//
// The context has the values of ctx and ends with it, or with the first trigger, with
// its cause; once Run has begun only ctx ends it. A signal triggers: Run then starts
// nothing and closes what is open; a Fail that comes because of it changes nothing.
// One more within a second of that, or within a tenth of Total if that is less, is the
// same request, from a wrapper or sent to the process group as well. A later one does
// what the platform does by default, until Run: it ends a process that hangs as it opens
// something.
//
// Signals are those that were set when Starting is first called; to set others later is
// an error from Add. After Run has begun, or with a nil ctx, the context has ended. If
// Run is never called, two goroutines are left.
func (c *Controller) Starting(ctx context.Context) context.Context {
	if ctx == nil {
		return over(context.Background(), errors.New("controller: Starting was given a nil context"))
	}
	s, err := c.beginStarting()
	if err != nil {
		return over(ctx, err)
	}
	if t := c.trigger.Load(); t != nil {
		return over(ctx, t.cause)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-c.triggered:
			cancel(c.trigger.Load().cause)
		case <-s.over:
			// It is for the start, but what was opened with it may have kept it.
		case <-ctx.Done():
			cancel(nil)
		}
	}()
	return ctx
}

// over returns a context that has ended.
func over(ctx context.Context, cause error) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	cancel(cause)
	return ctx
}

// beginStarting hears signals, if that has not begun before.
func (c *Controller) beginStarting() (*starting, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over == nil:
		return nil, errNotMade
	case c.ran:
		return nil, ErrRan
	case c.starting == nil:
		c.starting = &starting{background: interruptIgnored(), over: make(chan struct{}), ended: make(chan struct{})}
		c.starting.signals = listen(c.config)
		go c.starting.hear(c)
	}
	return c.starting, nil
}

// hear takes in the first signal, and raises again the first that is not the same
// request, once the signals are the platform's. It blocks until then, or until Run takes the signals over. (To give
// them back after the first one, and to ask for them again in Run, would cost 0.2 ms
// of every shutdown that begins here.)
func (s *starting) hear(c *Controller) {
	defer close(s.ended)
	for {
		select {
		case got, open := <-s.signals.from:
			if !open {
				s.signals.end()
				return
			}
			if t := c.trigger.Load(); s.signals.count > 0 && time.Since(t.at) < sameRequest(c.config.budget.Total) {
				continue
			}
			s.signals.count++
			if s.signals.count > 1 {
				s.signals.end()
				raise(got)
				return
			}
			c.request(trigger{at: time.Now(), cause: &report.SignalError{Signal: got}, typed: typed(got)})
			if !s.signals.ours {
				return // a second one waits in the channel until Run
			}
		case <-s.over:
			return
		}
	}
}

// sameRequest returns for how long after the trigger a further signal repeats it.
func sameRequest(total time.Duration) time.Duration { return min(time.Second, total/10) }

// signalsOf returns where Run's signals come from, and whether the process was started
// with SIGINT ignored.
func (c *Controller) signalsOf(config config) (signals, bool) {
	c.mu.Lock()
	s := c.starting
	c.mu.Unlock()
	if s == nil {
		background := interruptIgnored() // before listen
		return listen(config), background
	}
	<-s.ended                                    // hear has been told, and does nothing that takes time
	if s.signals.from == nil && s.signals.ours { // they were given back, and the process lives on
		again := listen(config)
		again.count = s.signals.count
		return again, s.background
	}
	return s.signals, s.background
}
