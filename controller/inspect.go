package controller

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/report"
)

// inspect asks servers for their work in flight, and hands each answer to the loop.
// The shutdown waits for none of them. At the timer Cancel and Stop of a server are called
// when the goroutine that asks has come to the question, and if an answer has work that is
// interrupted, goroutines are looked at.
func (r *run) inspect(servers []*server, atTimer bool, then func(*server, []lastcall.Work)) {
	busy := func(bool) {}
	if atTimer && !r.pulse.looked && runtime.NumGoroutine() < manyGoroutines {
		busy = r.lookIfBusy(len(servers))
	}
	for _, s := range servers {
		if s.full == nil {
			busy(false)
			continue
		}
		var work []lastcall.Work
		c := r.ask(report.OpInFlight, s.name, func() {
			defer func() { busy(slices.ContainsFunc(work, interrupted)) }()
			work = r.config.workOf(&s.serverConfig)
		}, func() { then(s, work) })
		s.inFlight = c
		if atTimer {
			s.asked = c
		}
	}
}

// workOf asks a server for its work.
func (c *config) workOf(s *serverConfig) []lastcall.Work {
	work := slices.Clone(s.full.InFlight())
	for i := range work {
		work[i].Server = s.name
		if c.noPeers {
			work[i].Peer, work[i].Path = "", ""
		}
	}
	return work
}

// inspectInFlight tells observers what is in flight now, even if the shutdown is further
// on when a server has answered. What a server had at the drain is dropped if it has told
// before what it had at the timer.
func (r *run) inspectInFlight(atTimer bool) {
	asked := *r.newStep(report.KindWork, "")
	r.inspect(r.servers, atTimer, func(s *server, work []lastcall.Work) {
		if s.workAsOf.After(asked.Start) {
			return
		}
		s.workAsOf = asked.Start
		step := asked
		step.Name, step.Work, step.Stacks = s.name, work, r.stacksOfWork(work, runs)
		r.tell(step)
	})
}

// inspectIdle asks the servers that are still up whether the timer has found only idle
// peers. What Cancel and Stop do would change the answers, so they wait for those: as long as
// for anything that takes next to no time.
func (r *run) inspectIdle() {
	if r.forced {
		return
	}
	r.idle = r.workersGone()
	var calls []*call
	var held []*server
	for _, s := range r.servers {
		if s.hasEnded() {
			continue
		}
		held = append(held, s)
		if s.full == nil || s.graceful != nil && s.graceful.over {
			continue // it cannot tell, or what holds it is not a peer
		}
		var connections []string
		idle := false
		calls = append(calls, r.ask(report.OpIdlePeers, s.name, func() {
			connections, idle = s.full.IdlePeers()
			connections = slices.Clone(connections)
			if r.config.noPeers && len(connections) > 0 {
				connections = []string{"(not named)"}
			}
		}, func() {
			if len(connections) > 0 {
				r.tellHeld(s.name, connections, idle)
			}
			if idle {
				s.idle = connections
			}
		}))
	}
	r.await(func() bool { return allDone(calls) }, within(grace, r.share(6)))
	for _, s := range held {
		r.idle = r.idle && len(s.idle) > 0
	}
}

// tellHeld tells observers which connections of a server the timer has found.
func (r *run) tellHeld(server string, connections []string, idle bool) {
	what := "connections hold it, on which something may be open"
	if idle {
		what = "only idle peers hold it, and nothing is lost"
	}
	step := r.newStep(report.KindWarning, server)
	step.Text = fmt.Sprintf("server %q: %s: %s", server, what, strings.Join(connections, ", "))
	r.tell(*step)
}

// prepareAtEnd makes the questions that a server is asked last: what became of its work, and
// what it notes. Answers to those of before do not count any more, and nothing waits for them.
func (r *run) prepareAtEnd(s *server) {
	if s.full == nil {
		return
	}
	for _, c := range s.atEnd.calls {
		c.grace = 0
	}
	var work []lastcall.Work
	var notes []string
	got := &atEnd{}
	got.calls = []*call{
		r.question(report.OpInFlight, s.name, func() { work = r.config.workOf(&s.serverConfig) }, func() { got.work = work }),
		r.question(report.OpNotes, s.name, func() { notes = slices.Clone(s.full.Notes()) }, func() { got.notes = notes }),
	}
	for _, c := range got.calls {
		c.grace = answerTime
	}
	s.atEnd = got
}

// inspectAtEnd has the report filled with what servers answer to these. Those that were asked
// where GracefulStop has returned are not asked again if that was just now.
func (r *run) inspectAtEnd(servers []*server) {
	for _, s := range servers {
		if r.askedJustNow(s) {
			continue
		}
		r.prepareAtEnd(s)
		for _, c := range s.atEnd.calls {
			r.launch(c)
		}
	}
}

// askedJustNow reports whether a server's last answer is of the end of the drain: nothing was
// ended by force since then, and no later question was asked.
func (r *run) askedJustNow(s *server) bool {
	end := s.graceful.end()
	asked := s.inFlight != nil && s.inFlight.step.Start.After(end)
	return s.atEnd.adopted && !asked && r.outcome == report.OutcomeDrained && time.Since(end) < grace
}

// InFlight returns the work of every server that counts it, in the order of registration, as
// the server's InFlight returns it. It may be called at any time, and blocks for at most 10 ms:
// for a server that has not answered by then it returns the last answer, if there was one. A
// server is asked by one goroutine at a time, so one that hangs holds one goroutine.
func (c *Controller) InFlight() []lastcall.Work {
	c.mu.Lock()
	config := c.config // what is added is appended
	c.mu.Unlock()
	limit := time.Now().Add(grace)
	var answers []<-chan struct{}
	for i, s := range config.servers {
		if s.full != nil {
			answers = append(answers, s.asking.ask(func() []lastcall.Work { return config.workOf(&config.servers[i]) }))
		}
	}
	for _, answered := range answers {
		foreign.Within(answered, time.Until(limit))
	}
	var all []lastcall.Work
	for _, s := range config.servers {
		if s.full != nil {
			all = append(all, s.asking.answer()...)
		}
	}
	return all
}

// asking is a question to a server that anyone may ask at any time.
type asking struct {
	mu   sync.Mutex
	done chan struct{} // closed when the question is answered; nil: none is under way
	last []lastcall.Work
}

// ask asks the server, unless that is happening already.
func (a *asking) ask(question func() []lastcall.Work) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done != nil {
		return a.done
	}
	done := make(chan struct{})
	a.done = done
	var work []lastcall.Work
	go guard(func() error { work = question(); return nil }, func(r result) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if r.result == report.ResultOK {
			a.last = work
		}
		a.done = nil
		close(done)
	})
	return done
}

func (a *asking) answer() []lastcall.Work {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}
