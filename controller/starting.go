package controller

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/lastcall-go/lastcall/report"
)

// starting hears signals before Run does.
type starting struct {
	signals    signals
	pipes      <-chan os.Signal // see hearPipes
	background bool             // see interruptIgnored
	givenBack  bool             // some signals are the platform's again
	ignored    []ignored        // what changed nothing, up to maxIgnored
	over       chan struct{}    // closed by seal
	ended      chan struct{}    // closed when starting no longer hears the signals
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
// Further signals mean what they mean in Run (see [ForceOn]), but there is nothing yet to
// force: until Run one that forces does what the platform does by default. So does every
// signal from trigger + Total on: they end a process that hangs as it opens something. If
// the signals come from a channel, one that forces takes effect in Run.
//
// Signals are those that were set when Starting is first called; to set others later is
// an error from Add. After Run has begun, with a nil ctx, or in a testing/synctest bubble
// (see [WithSignals]) the context has ended. If
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
	if err := c.isOver(); err != nil {
		return nil, err
	}
	if c.starting == nil {
		s := &starting{background: interruptIgnored(), over: make(chan struct{}), ended: make(chan struct{})}
		if err := s.listen(c.config); err != nil {
			return nil, err
		}
		s.pipes = hearPipes()
		c.starting = s
		go s.hear(c)
	}
	return c.starting, nil
}

func (s *starting) listen(c config) (err error) {
	s.signals, err = listen(c)
	return err
}

// hear takes in signals until Run takes them over. Before Run there is nothing to force: a
// signal that would do that does what the platform does, and so does any that comes when
// the time of a whole shutdown is over. (To give the signals back after the first one, and
// to ask for them again in Run, would cost 0.2 ms of every shutdown that begins here.)
func (s *starting) hear(c *Controller) {
	defer close(s.ended)
	for {
		select {
		case got, open := <-s.signals.from:
			if !open {
				s.signals.end()
				return
			}
			now := time.Now()
			switch what := s.signals.meaning(c, got, now); {
			case what == triggers:
				c.request(trigger{at: now, cause: &report.SignalError{Signal: got}, typed: s.signals.typed(got)})
			case s.signals.ours && now.Sub(c.trigger.Load().at) >= c.config.budget.Total:
				s.givenBack = true
				s.signals.end()
				raise(got)
			case what != forces:
				if len(s.ignored) < maxIgnored {
					s.ignored = append(s.ignored, ignored{got, what})
				}
			case s.signals.ours:
				s.givenBack = true
				s.signals.giveBack()
				raise(got)
			default:
				c.forceNow(force{at: now, by: "signal: " + nameOf(got) + ": "})
			}
		case <-s.pipes:
			pipeBroke()
		case <-s.over:
			return
		}
	}
}

// heard returns what is known of signals when Run begins.
func (c *Controller) heard(config config) (s *starting, err error) {
	c.mu.Lock()
	s = c.starting
	c.mu.Unlock()
	if s == nil {
		s = &starting{background: interruptIgnored()} // before listen
		return s, s.listen(config)
	}
	<-s.ended // hear has been told, and does nothing that takes time
	if s.givenBack { // and the process lives on
		s.signals.end()
		err = s.listen(config)
	}
	return s, err
}
