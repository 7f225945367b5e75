package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

// stage is one run of a demo: two replicas, the clients, the controller of replica
// a, and the screen.
type stage struct {
	sh      shell
	config  demoConfig
	ledger  *ledger
	a, b    *replica
	deps    dependencies
	clients *clients
	peers   []*silentPeer // of a, then of b; only in scenarios with silent peers
	screen  *screen
	ctl     *controller.Controller

	over      chan struct{} // closed when nothing needs to hang any longer
	serving   moment        // or past it
	triggered moment
	draining  moment
	drained   moment
	bare      chan time.Duration // how late a bare timer was that was set for the deadline
}

// signalTime is how long a signal may take to have its effect.
const signalTime = 2 * time.Second

// moment is something that happens once.
type moment struct {
	context.Context
	now context.CancelFunc
}

func newMoment() moment {
	var m moment
	m.Context, m.now = context.WithCancel(context.Background())
	return m
}

func newStage(sh shell, c demoConfig) (*stage, error) {
	s := &stage{
		sh: sh, config: c, ledger: newLedger(), over: make(chan struct{}),
		serving: newMoment(), triggered: newMoment(), draining: newMoment(), drained: newMoment(),
		bare: make(chan time.Duration, 1),
	}
	var errA, errB error
	s.a, errA = newReplica(replicaA, s.ledger)
	s.b, errB = newReplica(replicaB, s.ledger)
	if err := errors.Join(errA, errB); err != nil {
		return nil, err
	}
	s.deps.hung = s.over
	s.screen = newScreen(sh.stdout, s.ledger, !c.log)
	s.clients = newClients(s.ledger, s.a, s.b)
	return s, nil
}

// play runs the demo, from the start of the servers to the end of the clients.
func (s *stage) play(ctx context.Context, opts ...controller.Option) (*result, error) {
	defer close(s.over)
	c := s.config
	opts = append(opts,
		controller.WithServer("replica a", s.a.adapted(&service{replica: replicaA, store: &s.deps.store, release: s.over})),
		controller.WithObserver("demo", s.observe),
		controller.WithObserver("screen", s.screen.step))
	opts = append(opts, s.deps.options(c.scenario)...)
	ctl, err := controller.New(c.budget, append(opts, controller.WithoutStderr())...) // the demo shows the report itself
	if err != nil {
		return nil, err
	}
	s.ctl = ctl

	stopB := s.b.serve(&service{replica: replicaB, store: new(store), release: s.over})
	defer stopB()
	defer s.hangUpSilent() // before stopB, which they would hold

	s.screen.print(s.program())
	done := make(chan result, 1)
	go func() {
		got := ctl.Run(ctx)
		done <- result{report: got, returned: time.Now()}
	}()
	err = s.act()
	switch {
	case s.triggered.Err() != nil:
		err = nil // whatever act still wanted, the shutdown has begun
	case err != nil:
		ctl.Force() // the demo cannot be given
	}
	r := <-done
	s.clients.end()
	s.screen.close()
	r.silence = s.silence(stopB)
	r.rpcs, r.jobs, r.bare = s.ledger.rpcs(), s.deps.jobs.Load(), s.bare
	return &r, err
}

// act does what happens around the controller: the load, the trouble and the
// signals. A trigger that comes from elsewhere (Ctrl-C, the end of the context)
// ends it early.
func (s *stage) act() error {
	<-s.serving.Done()
	if err := s.clients.connect(s.triggered); err != nil {
		return fmt.Errorf("the clients do not reach the servers: %w", err)
	}
	s.clients.load()
	select {
	case <-time.After(s.config.load):
	case <-s.triggered.Done():
		return nil
	}
	if err := s.clients.trouble(s.config.scenario.trouble); err != nil {
		return err
	}
	if err := s.silent(); err != nil {
		return err
	}
	if err := s.begun(methodWatch, s.config.scenario.trouble); err != nil {
		return err
	}
	s.clients.slow(s.config.scenario.slowTime(s.config.budget))
	if err := s.begun(methodSlow); err != nil {
		return err
	}
	if s.ctl.Phase() == lastcall.PhaseServe {
		s.signal("SIGTERM", syscall.SIGTERM, s.triggered, func() { s.ctl.Shutdown(nil) })
	}
	if s.config.scenario.interrupt {
		s.interrupt()
	}
	return nil
}

// interrupt forces, some time into the drain; unless the drain is over, when
// the process would die of it.
func (s *stage) interrupt() {
	<-s.draining.Done()
	select {
	case <-time.After(interruptAfter(s.config.budget)):
	case <-s.ctl.Done():
	}
	if s.ctl.Phase() == lastcall.PhaseDrain {
		s.signal("SIGINT", os.Interrupt, s.drained, s.ctl.Force)
	}
}

// begun blocks until replica a has begun to handle an RPC of each method.
func (s *stage) begun(methods ...string) error {
	ctx, cancel := context.WithTimeoutCause(s.triggered, connectTime, fmt.Errorf("replica a has not begun each of %q within %v", methods, connectTime))
	defer cancel()
	for _, method := range methods {
		if method == "" {
			continue
		}
		if err := s.ledger.await(ctx, place{replicaA, method}); err != nil {
			return err
		}
	}
	return nil
}

// signal sends the process a real signal, and blocks until it has had its effect.
// If there is none it says so, and does instead what the signal would do.
func (s *stage) signal(which string, what os.Signal, effect moment, instead func()) {
	s.screen.print(fmt.Sprintf("  -> %s to process %d\n", which, os.Getpid()))
	err := s.sh.signal(what)
	if err == nil {
		select {
		case <-effect.Done():
			return
		case <-time.After(signalTime):
			err = fmt.Errorf("nothing happened within %v", signalTime)
		}
	}
	s.screen.print(fmt.Sprintf("     in vain (%v): the demo calls the controller instead\n", err))
	instead()
}

// observe takes in how far the controller is.
func (s *stage) observe(step report.Step) {
	switch {
	case step.Kind == report.KindPhase && step.Phase == lastcall.PhaseServe:
		s.serving.now()
	case step.Kind == report.KindPhase && step.Phase == lastcall.PhaseAnnounce:
		deadline := step.Start.Add(step.Remaining)
		time.AfterFunc(time.Until(deadline), func() { s.bare <- time.Since(deadline) })
		s.serving.now() // it may have been left out
		s.triggered.now()
	case step.Kind == report.KindTransition && step.State == fsm.GracefulShutdown:
		s.draining.now()
	case step.Kind == report.KindTransition && step.State != fsm.Serving: // the drain is over
		s.drained.now()
	}
}

// program says what the demo is made of.
func (s *stage) program() string {
	c := s.config
	jobs := fmt.Sprintf("%d callers, %d streams, %d slow calls of %v", callers, watchers, slowCalls, c.scenario.slowTime(c.budget).Round(time.Millisecond))
	switch c.scenario.trouble {
	case methodEndless:
		jobs += fmt.Sprintf(", %d endless streams", watchers)
	case methodStuck:
		jobs += ", 1 call that gets stuck"
	}
	if c.scenario.silent {
		jobs += ", 1 silent peer of each replica"
	}
	return fmt.Sprintf(`scenario %s: %s
  replica a  %s, with the controller; replica b  %s, stays
  budget     total %v, settle %v, reserve %v: the timer fires %v after SIGTERM
  clients    %s

%s`, c.scenario.name, c.scenario.says, s.a.addr(), s.b.addr(), c.budget.Total, c.budget.Settle, c.budget.Reserve,
		c.budget.Total-c.budget.Reserve, jobs, screenHead)
}
