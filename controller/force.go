package controller

import (
	"context"
	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
	"slices"
	"time"
)

// The phases of TIMER_EXPIRED: each may use its share of the time that is left.
// How many phases are left, counting the phase itself, is the argument of share.

// beginForce is the effect of entering TIMER_EXPIRED: it decides on which servers
// Stop will be called, and tells of everything that has not come back in time.
func (r *run) beginForce() {
	r.inspectAtTimer()
	r.measure = report.OutcomeCancelled // the least: what is late without a server to stop is waited for
	var late []*call
	for _, s := range r.servers {
		if s.graceful.ended() {
			if s.serving != nil {
				late = append(late, s.serving)
			}
			continue
		}
		r.victims = append(r.victims, s)
		if s.graceful == nil { // it stood behind another one
			r.stopGracefully(s)
		}
		late = append(late, s.graceful)
	}
	for _, w := range r.workers {
		if w.call != nil {
			late = append(late, w.call)
		}
	}
	r.expireOld(late)
}

// cancelers returns the servers that are told to cancel.
func (r *run) cancelers() []*server {
	var all []*server
	for _, s := range r.servers {
		if _, ok := s.server.(Canceler); ok && !s.isGone() {
			all = append(all, s)
		}
	}
	return all
}

// firstForce returns the first phase of TIMER_EXPIRED that has something to do.
func (r *run) firstForce() lastcall.Phase {
	switch {
	case len(r.cancelers()) > 0 || !r.workersGone():
		return lastcall.PhaseCancel
	case slices.ContainsFunc(r.servers, func(s *server) bool { return !s.graceful.ended() }):
		return lastcall.PhaseStop
	default:
		return lastcall.PhaseWait
	}
}

// cancel ends the work that still runs. A Cancel that comes back because its
// context has ended has done what it should, so its grace counts from then on: if
// the phases behind have nothing to wait for, phase close may begin sooner.
func (r *run) cancel() {
	cancelers := r.cancelers()
	if len(cancelers) == 0 && r.workersGone() {
		return
	}
	r.enter(lastcall.PhaseCancel)
	end := r.share(6)
	for _, w := range r.workers {
		if w.endWork != nil {
			r.end(func() { w.endWork(ErrTimer) })
		}
	}
	var calls []*call
	for _, s := range cancelers {
		canceler, _ := s.server.(Canceler)
		c := r.step(report.OpCancel, stepConfig{name: s.name, run: func(ctx context.Context) error {
			canceler.Cancel(ctx, lastcall.ErrTimer)
			return nil
		}}, end())
		c.due = time.Time{}
		calls = append(calls, c)
	}
	if r.await(func() bool { return allDone(calls) }, end) {
		r.awaitGone(cancelers, end)
		return
	}
	for _, c := range calls { // a force may have brought the end forward
		if !c.over {
			c.since = time.Now()
			r.timeOver(c)
		}
	}
}

// stop calls Stop on the servers whose GracefulStop had not returned when the
// timer fired.
func (r *run) stop() {
	if len(r.victims) == 0 {
		return
	}
	r.takeIn() // what has come back in this instant needed no Stop
	if !gone(r.victims) {
		r.measure = report.OutcomeStopped
	}
	r.enter(lastcall.PhaseStop)
	end := r.share(5)
	var calls []*call
	for _, s := range r.victims {
		calls = append(calls, r.call(report.OpStop, s.name, func() error {
			s.halt()
			return nil
		}, nil))
	}
	r.awaitSteps(calls, end, nothing)
	if !slices.ContainsFunc(calls, func(c *call) bool { return !c.over }) {
		r.awaitGone(cutters(r.victims), end)
	}
}

// awaitGone waits for GracefulStop and Serve of servers whose Cancel or Stop has
// come back: where that has ended everything they come back as well, but on other
// goroutines, which may need grace to get the processor. Without that the next
// step would be taken for what ended them.
func (r *run) awaitGone(servers []*server, end func() time.Time) {
	limit := time.Now().Add(grace)
	r.await(func() bool { return gone(servers) }, func() time.Time { return earlier(limit, end()) })
}

// cutters returns those of the servers that can be cut.
func cutters(servers []*server) []*server {
	return slices.DeleteFunc(slices.Clone(servers), func(s *server) bool {
		_, ok := s.server.(Cutter)
		return !ok
	})
}

// cut closes the connections that survived Stop.
func (r *run) cut() {
	r.takeIn()
	var calls []*call
	for _, s := range r.servers {
		cutter, ok := s.server.(Cutter)
		if !ok || s.isGone() {
			continue
		}
		if calls == nil {
			r.enter(lastcall.PhaseCut)
		}
		closed := 0
		calls = append(calls, r.call(report.OpCut, s.name, func() error { closed = cutter.Cut(); return nil }, func(result) {
			if closed > 0 {
				r.measure = report.OutcomeCut
			}
		}))
	}
	if calls != nil {
		r.awaitSteps(calls, r.share(4), nothing)
	}
}

// wait gives what was cancelled and stopped time to come back.
func (r *run) wait() {
	r.takeIn()
	if !r.allGone() {
		r.enter(lastcall.PhaseWait)
		r.await(r.allGone, r.share(3))
	}
	r.outcome = r.measure
	if !r.allGone() {
		r.outcome = report.OutcomeAbandoned
	}
}
