package controller

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// starting hears signals before Run does.
type starting struct {
	signals    signals
	pipes      <-chan os.Signal // see hearPipes
	background bool             // the process was started with SIGINT ignored, as a shell starts what stands before an &
	ignored    []ignored        // what changed nothing, up to maxIgnored
	over       chan struct{}    // closed by seal
	ended      chan struct{}    // closed when starting no longer hears the signals
}

// Starting makes the controller hear signals from now on, and not only from Run's start, and
// returns a context for opening what the process needs. It returns at once.
//
//	ctx := ctl.Starting(context.Background())
//	if err := open(ctx, ctl); err != nil { // ctl.Add of a closer for each thing opened
//		ctl.Fail(err)
//	}
//	os.Exit(ctl.Run(context.Background()).ExitCode())
//
// The context has the values of ctx. It ends with ctx, or with the first trigger and its cause;
// once Run has begun only ctx ends it. A signal triggers: Run then starts nothing and closes
// what is open. A Fail that follows from that changes nothing.
//
// Further signals mean what they mean in Run (see [ForceOn]), but before Run there is nothing
// to force: a signal that forces does what the platform does by default. So does every signal
// from trigger + Total on, so that a signal can end a process that hangs as it opens something.
// If the signals come from a channel, one that forces takes effect in Run.
//
// The signals are those that were set when Starting is first called; to set others later is an
// error from Add. The context has ended already if Run has begun, if ctx is nil, or in a
// testing/synctest bubble (see [WithSignals]). If Run is never called, two goroutines are left.
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
		s, err := newStarting(c.config)
		if err != nil {
			return nil, err
		}
		s.signals.early = true
		s.pipes = hearPipes(false)
		c.starting = s
		go s.hear(c)
	}
	return c.starting, nil
}

func newStarting(c config) (s *starting, err error) {
	s = &starting{over: make(chan struct{}), ended: make(chan struct{})}
	s.background = signal.Ignored(os.Interrupt) // after signal.Notify that can no longer be known
	s.signals, err = listen(c)
	return s, err
}

// hear takes in signals until Run takes them over.
func (s *starting) hear(c *Controller) {
	defer close(s.ended)
	for {
		select {
		case got, open := <-s.signals.from:
			s.signals.take(c, got, open, func(i ignored) {
				if len(s.ignored) < maxIgnored {
					s.ignored = append(s.ignored, i)
				}
			})
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
		return newStarting(config)
	}
	<-s.ended // hear has been told, and does nothing that takes time
	s.signals.early = false
	if s.signals.given { // and the process lives on
		s.signals.end()
		s.signals, err = listen(config)
	}
	return s, err
}

// process is the state of which a process has one, because package os/signal has one.
var process struct {
	sync.Mutex
	released []*signals     // of runs that are over, until they are given back
	pipes    chan os.Signal // see hearPipes
	kept     bool           // the same
	counts   bool           // see countRefused
	refused  atomic.Int64   // how many log lines writers have refused
}

// takeOver ends the grace of runs that are over, and has ch get the signal that came in
// it. Raised again it would come twice: ch may have been subscribed when it came.
func takeOver(ch chan os.Signal, wanted []os.Signal) {
	process.Lock()
	all := process.released
	process.released = nil
	process.Unlock()
	for _, s := range all {
		switch again := s.end(); {
		case again == nil || slices.Contains(wanted, again) && len(ch) > 0:
		case slices.Contains(wanted, again):
			ch <- again
		default:
			raise(again)
		}
	}
}

// giveBackReleased gives signals back, unless a later run has taken them over.
func (s *signals) giveBackReleased() {
	process.Lock()
	i := slices.Index(process.released, s)
	if i >= 0 {
		process.released = slices.Delete(process.released, i, i+1)
	}
	process.Unlock()
	if i < 0 {
		return
	}
	if again := s.end(); again != nil { // it was meant for the platform
		raise(again)
	}
}

// end stops listening, and returns a signal of the process that has come before; nil if
// there is none. Other code that called signal.Notify still gets the signals; if there is
// none, the platform's default applies again.
func (s *signals) end() (again os.Signal) {
	s.stop()
	s.given = s.ours
	if s.ours && len(s.from) > 0 {
		again = <-s.from
	}
	s.from = nil
	return again
}

// giveBack gives the signals that force back to the platform. The others are heard on:
// there is no instant in which one of them would end the process.
func (s *signals) giveBack() {
	if !s.ours || s.given {
		return
	}
	from, stop := s.from, s.stop
	s.given, s.from, s.stop = true, nil, func() {}
	s.heard = slices.DeleteFunc(slices.Clone(s.heard), func(one os.Signal) bool { return slices.Contains(s.force, one) })
	if len(s.heard) > 0 {
		ch := make(chan os.Signal, 8)
		signal.Notify(ch, s.heard...)
		s.from, s.stop = ch, func() { signal.Stop(ch) }
	}
	stop()
	for len(from) > 0 {
		if got := <-from; slices.Contains(s.force, got) { // it was meant for the platform
			raise(got)
			return
		}
	}
}

// release ends listening when Run returns. That costs two hand-overs to a thread of
// package runtime for each signal, 0.1 ms in all, and a process that ends now needs
// none of it; so the signals are the platform's only after grace. One that comes in
// between is raised again then: it can neither replace the exit code of a process
// that is about to exit, nor get lost in one that lives on.
func (s *signals) release() {
	if !s.ours || s.from == nil {
		s.end()
		return
	}
	for len(s.from) > 0 {
		<-s.from // it came before Run was over, and would have changed nothing
	}
	process.Lock()
	process.released = append(process.released, s)
	process.Unlock()
	time.AfterFunc(grace, s.giveBackReleased)
}

// raise sends a signal to this process.
func raise(s os.Signal) {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Signal(s) // where a process cannot signal itself there is nothing else to do
	}
}

// otherClock is how far from the system's time package time is where it has a clock of its
// own. A bubble's begins in the year 2000.
const otherClock = time.Minute

// inBubble reports whether the caller is in a testing/synctest bubble: package time then
// has a clock of its own. Package os/signal does not work there.
func inBubble() bool {
	for range 3 { // the clock may be set in the middle of this
		before, known := systemClock()
		now := time.Now().Round(0)
		after, _ := systemClock()
		if !known || now.After(before.Add(-otherClock)) && now.Before(after.Add(otherClock)) {
			return false
		}
	}
	return true
}

// hearPipes makes writes to a standard output or error that has no reader left fail from now
// on. Without it package os ends the process at the first such write (SIGPIPE), and what has to
// be closed stays open.
//
// With a trigger (keep) that holds until the process ends: what is written after Run must not
// change the exit code. Before the trigger it holds for a moment only: Ctrl-C on `srv | tee`
// ends tee as well, and the server may write between that and the instant in which it hears its
// own signal. Whoever reads from the channel calls pipeBroke. The channel is nil where such
// writes never end the process.
func hearPipes(keep bool) <-chan os.Signal {
	if brokenPipe == 0 || inBubble() || !keep && signal.Ignored(brokenPipe) { // what was ignored would not be afterwards
		return nil
	}
	process.Lock()
	defer process.Unlock()
	process.kept = process.kept || keep
	if process.pipes == nil {
		process.pipes = make(chan os.Signal, 1) // what does not fit is dropped
		signal.Notify(process.pipes, brokenPipe)
	}
	return process.pipes
}

// pipeBroke is called when such a write has failed before the trigger, or one to a socket or
// another pipe, which ends no process. If no trigger comes while it could be the same request,
// package os ends the process with the next write, unless SIGPIPE is ignored. To end it here
// would be wrong: a client that left may have been the cause.
func pipeBroke() {
	time.AfterFunc(sameRequest, func() {
		if !isOutputBroken() {
			return // the next one may be the first
		}
		process.Lock()
		defer process.Unlock()
		if !process.kept && process.pipes != nil {
			signal.Stop(process.pipes)
			process.pipes = nil
		}
	})
}
