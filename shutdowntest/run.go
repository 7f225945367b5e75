package shutdowntest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// errAsked is why the check asks for a shutdown.
var errAsked = errors.New("shutdowntest: asked to shut down")

// own is the name of what the check registers with the controller.
const own = "shutdowntest"

// world is one check while it runs.
type world struct {
	kit  *kit
	env  *Env
	seen *seen
	plan *plan

	ctl     *controller.Controller
	stop    func(context.Context)
	context context.CancelFunc // ends the context of Run
	fail    chan error         // makes the check's worker fail
	over    chan struct{}      // closed when Run, or the stop function, has returned
	calm    func(*world) error // what is done instead of random load; may be nil

	clients context.Context //nolint:containedctx // it is that of all calls, and ends with the check
	leave   context.CancelFunc
	wg      sync.WaitGroup
}

// build has the service built. It reports whether that worked.
func (w *world) build() (err error) {
	defer func() {
		if v := recover(); v != nil {
			f, ok := v.(fatal)
			if !ok {
				panic(v)
			}
			err = errors.New(f.text)
		}
	}()
	if w.kit.build == nil {
		w.stop = w.kit.buildServer(w.env)
		if w.stop == nil {
			return errors.New("the stop function is nil")
		}
		return nil
	}
	if w.ctl = w.kit.build(w.env); w.ctl == nil {
		return errors.New("the controller is nil")
	}
	if !w.env.own {
		if err := w.ctl.Add(controller.WithSignalChannel(w.env.signals)); err != nil {
			w.env.own = true
			w.seen.notes = append(w.seen.notes, "the controller has signals of its own, so that none were sent: give it Env.Signals() with WithSignalChannel")
			w.env.signals = nil
		}
	}
	opts := []controller.Option{
		controller.WithoutStderr(),
		controller.WithObserver(own, w.observe),
		controller.WithAnnouncer(own, func() { w.seen.note(&w.seen.announced, "announced: workers are told to claim nothing new") }),
		controller.WithCloser(own, func() { w.seen.do(func() { w.seen.event("closers begin") }) }),
	}
	if w.plan.trigger == byWorker {
		opts = append(opts, controller.WithWorker(own, func(claim, _ context.Context) error {
			select {
			case err := <-w.fail:
				return err
			case <-claim.Done():
				return nil
			}
		}))
	}
	return w.ctl.Add(opts...)
}

// observe notes the states for the story.
func (w *world) observe(s report.Step) {
	if s.Kind == report.KindPhase && s.Phase == lastcall.PhaseSettle {
		w.seen.note(&w.seen.settling, "settle begins")
	}
	if s.Kind == report.KindTransition {
		w.seen.do(func() { w.seen.event("%v", s.State) })
	}
}

// run runs the check to its end. Nothing that it starts waits for it, so that it can
// give up.
func (w *world) run() error {
	s := w.seen
	if w.plan.trigger == early {
		w.pull()
	}
	w.over = make(chan struct{})
	if w.ctl != nil {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		w.context = cancel
		go func() {
			got := w.ctl.Run(ctx)
			s.do(func() { s.report = &got })
			s.note(&s.ended, "Run returns")
			close(w.over)
		}()
		go func() {
			select {
			case <-w.ctl.Life().Draining():
				s.note(&s.drained, "the drain begins")
			case <-w.over:
			}
		}()
	}
	for _, l := range w.kit.loads {
		if l.probe != "" {
			w.wg.Go(func() { w.probe(l) })
		}
	}
	if w.plan.trigger != early {
		if err := w.await(); err != nil {
			return err
		}
		if w.calm != nil {
			if err := w.calm(w); err != nil {
				return err
			}
			w.seen.do(func() { w.seen.planned = time.Now() })
		}
		w.load()
		time.Sleep(time.Until(s.planned))
		w.atClaim()
		w.pull()
		for _, m := range w.plan.more {
			w.wg.Go(func() { w.again(m) })
		}
	}
	select {
	case <-w.over:
	case <-time.After(w.plan.budget.Total + w.kit.pace().longer):
		s.note(&s.gaveUp, "the check gives up, and its clients leave")
	}
	return nil
}

// await waits until the service is ready.
func (w *world) await() error {
	var ready <-chan struct{}
	if w.ctl != nil {
		ready = w.ctl.Serving()
	} else {
		all := make(chan struct{})
		ready = all
		go func() {
			for _, l := range w.listeners() {
				select {
				case <-l.accepts:
				case <-w.clients.Done():
					return
				}
			}
			close(all)
		}()
	}
	select {
	case <-ready:
	case <-w.over:
		return fmt.Errorf("the service ended before it was ready: %w", w.seen.report.Err())
	case <-time.After(w.kit.pace().patience):
		return fmt.Errorf("the service was not ready after %v", w.kit.pace().patience)
	}
	w.seen.note(&w.seen.ready, "ready")
	for _, l := range w.kit.loads {
		if w.env.listener(l.listener) == nil {
			return fmt.Errorf("the load %q is for a listener that the service has not asked for with Env.Listen(%q)", l.name, l.listener)
		}
	}
	w.seen.do(func() { w.seen.planned = time.Now().Add(w.seen.calm + time.Duration(w.plan.phase)*w.seen.calm/1000) })
	return nil
}

func (w *world) listeners() (all []*listener) {
	w.env.mu.Lock()
	defer w.env.mu.Unlock()
	for _, l := range w.env.lis {
		all = append(all, l)
	}
	return all
}

// atClaim waits for the next piece of work that is claimed, if the plan says so and some was before.
func (w *world) atClaim() {
	some := false
	w.seen.do(func() { some = len(w.seen.claims) > 0 })
	if !some || !w.plan.claimed {
		return
	}
	select {
	case <-w.env.claimed: // the last one before
	default:
	}
	select {
	case <-w.env.claimed:
	case <-time.After(w.seen.calm):
	}
}

// pull pulls the trigger.
func (w *world) pull() {
	s, how := w.seen, w.plan.trigger
	if how == bySignal && w.env.signals == nil {
		how = byShutdown
	}
	s.note(&s.asked, "asked to shut down: "+string(how))
	switch {
	case w.ctl == nil:
		ctx, cancel := context.WithTimeout(context.Background(), w.plan.budget.Total)
		s.note(&s.announced, "the stop function is called")
		s.note(&s.drained, "")
		go func() {
			defer cancel()
			w.stop(ctx)
			s.note(&s.ended, "the stop function returns")
			close(w.over)
		}()
	case how == bySignal:
		w.env.signals <- syscall.SIGTERM
	case how == byContext:
		w.context()
	case how == byFail:
		w.ctl.Fail(errAsked)
	case how == byWorker:
		w.fail <- errAsked
	case how == byForce:
		s.note(&s.forced, "")
		w.ctl.Force()
	default:
		w.ctl.Shutdown(errAsked)
	}
}

// again does what happens after the trigger.
func (w *world) again(m again) {
	budget := w.plan.budget
	at := w.seen.at(m.At, budget)
	if m.What == repeatTERM || m.What == repeatINT {
		at = w.seen.planned.Add(time.Duration(m.At) * min(budget.Total/30, time.Second/3) / 1000)
	}
	if !w.sleep(at, w.over) {
		return
	}
	s := w.seen
	s.do(func() { s.event("%s", m.What) })
	switch m.What {
	case laterAsk:
		w.ctl.Shutdown(errAsked)
	case laterForce:
		s.note(&s.forced, "the check forces the shutdown")
		w.ctl.Force()
	case laterCut:
		if at, known := w.ctl.Deadline(); known {
			now := time.Now()
			to := now.Add(at.Sub(now) / 2)
			s.note(&s.hurried, "")
			s.do(func() { s.cut = to })
			w.ctl.Shorten(to, "the check says so")
		}
	case laterINT:
		if w.env.signals != nil {
			s.note(&s.hurried, "the check may have forced the shutdown")
			w.send(syscall.SIGINT)
		}
	case repeatINT:
		w.send(syscall.SIGINT)
	default:
		w.send(syscall.SIGTERM)
	}
}

func (w *world) send(sig syscall.Signal) {
	select {
	case w.env.signals <- sig:
	default:
	}
}

// sleep sleeps until an instant, and reports whether the check goes on. Clients go on after the
// end of Run, of which they do not know: for them over is nil.
func (w *world) sleep(at time.Time, over <-chan struct{}) bool {
	select {
	case <-time.After(time.Until(at)):
		return true
	case <-w.clients.Done():
		return false
	case <-over:
		return false
	}
}

// end ends the clients, and what the service has left for Cleanup.
func (w *world) end() {
	w.leave()
	gone := make(chan struct{})
	go func() { w.wg.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-time.After(w.kit.pace().patience):
		w.seen.notes = append(w.seen.notes, "a load has not returned when its context ended")
	}
	w.env.mu.Lock()
	cleanup := w.env.cleanup
	w.env.mu.Unlock()
	for _, f := range slices.Backward(cleanup) {
		f()
	}
}

// budget takes over the budget that counts.
func (s *seen) judgeBy(budget lastcall.Budget) {
	s.budget = budget
	if s.report != nil && s.report.Budget != (lastcall.Budget{}) {
		s.budget = s.report.Budget
	}
}
