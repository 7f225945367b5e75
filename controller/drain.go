package controller

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

// drain refuses new work, and reports whether all work in flight ended before the timer. The
// times decide, as the loop may hear of the last end and of the timer at once: adapters know
// the timer's instant, and may have interrupted what ended later.
func (r *run) drain() bool {
	row := r.fire(fsm.GracefulShutdownCalled)
	r.enter(lastcall.PhaseDrain)
	close(r.draining)
	r.inspectInFlight(false)
	if row.Call == fsm.CallGracefulStop {
		// GracefulStop is called on every server, each on a goroutine of its own: now on
		// those that stand After nothing, and on each of the others as soon as the last
		// one that it stands After has ended.
		r.release()
	}
	drained := r.await(r.allEnded, func() time.Time { return r.timerAt }) && r.lastEnd().Before(r.timerAt)
	if !r.drainedBy.CompareAndSwap(nil, new(atEnd)) { // otherwise no server is asked where its GracefulStop returns any more
		r.adopt(r.drainedBy.Load()) // the loop may not have heard of its end
	}
	return drained
}

// force ends what the timer has found running. Each phase may use its share of the
// time that is left; how many phases are left, counting the phase itself, is the
// argument of share.
func (r *run) force() {
	row := r.fire(fsm.Timeout)
	r.inspectInFlight(true)
	r.inspectIdle()
	r.expireOld(r.overtaken())
	r.cancel()
	if row.Call == fsm.CallStop {
		r.stop()
	}
	r.cut()
	r.wait()
}

// overtaken notes the servers on which Stop will be called: those whose GracefulStop
// has not returned. It returns every other call that the timer has overtaken: that it
// overtook a GracefulStop is not a failure, and the transition tells of it. Nor has a worker
// failed that stands After what has not ended: it hears only now that it should end.
func (r *run) overtaken() []*call {
	var late []*call
	for _, s := range r.servers {
		if s.graceful.ended() {
			if s.serving != nil {
				late = append(late, s.serving)
			}
			continue
		}
		r.toStop = append(r.toStop, s)
		r.gracefulStop(s) // it stands After another one and was not called so far
	}
	for _, w := range r.workers {
		if w.call != nil && w.claimOver {
			late = append(late, w.call)
		}
	}
	return late
}

// cancelers returns the servers that are told to cancel.
func (r *run) cancelers() []*server {
	return slices.DeleteFunc(slices.Clone(r.servers), func(s *server) bool { return s.full == nil || s.isGone() })
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

// turnTime is how long the Cancel of a server waits at most for those of the servers that
// stand After it: for their statuses to arrive, and not for handlers that are stuck.
const turnTime = 100 * time.Millisecond

// cancel ends the work that still runs. It is over when every Cancel has returned: one
// that has nothing to cancel costs no time. A Cancel that returns because its context
// has ended has done what it should, so its grace counts from then on: if the phases
// behind have nothing to wait for, phase close may begin sooner.
//
// Servers that stand After others are cancelled first: handlers of those may be waiting
// for them, and should hear what they answer before their own contexts end. The others
// follow when those have returned, or after turnTime, if that is less than their part of
// the phase.
func (r *run) cancel() {
	cancelers := r.cancelers()
	if len(cancelers) == 0 && r.workersGone() {
		return
	}
	r.enter(lastcall.PhaseCancel)
	begun, end := time.Now(), r.share(6)
	for _, w := range r.workers {
		r.endWork(w, lastcall.ErrTimer)
	}
	var calls []*call
	inner, turns := innerServers(cancelers)
	for turn := 1; turn <= turns; turn++ {
		last := turn == turns
		r.await(func() bool {
			cancelers = slices.DeleteFunc(cancelers, func(s *server) bool {
				begins := s.turn <= turn || !slices.ContainsFunc(inner[s], (*server).cancels)
				if begins && !s.isGone() { // its handlers may have ended with those of its inner servers
					r.cancelServer(s, end())
					calls = append(calls, s.cancelling)
				}
				s.uncancelled = !begins
				return begins
			})
			return len(cancelers) == 0 && allDone(calls)
		}, func() time.Time {
			if last {
				return end()
			}
			return begun.Add(min(turnTime, end().Sub(begun)/time.Duration(turns)) * time.Duration(turn))
		})
	}
	for _, c := range calls { // a force may have brought the end forward
		if !c.over && !errors.Is(c.ctx.Err(), context.Canceled) { // otherwise its grace counts since GracefulStop has returned
			c.since = time.Now()
			r.timeOver(c)
		}
	}
}

// cancelServer calls Cancel.
func (r *run) cancelServer(s *server, end time.Time) {
	s.cancelling = r.step(report.OpCancel, stepConfig{name: s.name, run: func(ctx context.Context) error {
		s.awaitAsked()
		s.full.Cancel(ctx, lastcall.ErrTimer)
		return nil
	}}, end, nil)
	r.endCancel(s)
}

// cancels reports whether Cancel of the server is still to come, or has not returned.
func (s *server) cancels() bool {
	return s.uncancelled || s.cancelling != nil && !s.cancelling.reported
}

// innerServers returns the servers that stand After each one, also by way of others, and
// the number of turns in which all of them can be cancelled, each after its inner ones. It
// sorts them by their turns.
func innerServers(servers []*server) (inner map[member][]*server, turns int) {
	inner = map[member][]*server{}
	for _, s := range servers {
		seen := map[member]bool{}
		var walk func(m member)
		walk = func(m member) {
			for _, front := range m.registered().waitsFor {
				if !seen[front] {
					seen[front] = true
					inner[front] = append(inner[front], s)
					walk(front)
				}
			}
		}
		walk(s)
	}
	var place func(s *server) int
	place = func(s *server) int {
		if s.turn == 0 {
			s.turn, s.uncancelled = 1, true
			for _, i := range inner[s] {
				s.turn = max(s.turn, place(i)+1)
			}
		}
		return s.turn
	}
	turns = 1
	for _, s := range servers {
		turns = max(turns, place(s))
	}
	slices.SortStableFunc(servers, func(a, b *server) int { return a.turn - b.turn }) // so that one that is gone lets those behind it begin
	return inner, turns
}

// stop calls Stop on the servers whose GracefulStop had not returned when the timer
// fired: on each of them at the same time, on a goroutine of its own, after the one
// that calls GracefulStop has come to the call.
func (r *run) stop() {
	if len(r.toStop) == 0 {
		return
	}
	r.enter(lastcall.PhaseStop)
	end := r.share(5)
	var calls []*call
	for _, s := range r.toStop {
		calls = append(calls, r.call(report.OpStop, s.name, func() error {
			s.halt(&r.order)
			return nil
		}, nil))
	}
	r.awaitSteps(calls, end, nothing)
	if !slices.ContainsFunc(calls, func(c *call) bool { return !c.over }) {
		// Where that has ended everything, GracefulStop and Serve return as well, but on
		// other goroutines, which may need grace to get the processor. Without that phase
		// cut would begin with nothing to cut.
		full := slices.DeleteFunc(slices.Clone(r.toStop), func(s *server) bool { return s.full == nil })
		r.await(func() bool { return gone(full) }, within(grace, end))
	}
}

// cut closes the connections that survived Stop.
func (r *run) cut() {
	r.takeIn()
	var calls []*call
	for _, s := range r.servers {
		if s.full == nil || s.isGone() {
			continue
		}
		if calls == nil {
			r.enter(lastcall.PhaseCut)
		}
		closed := 0
		calls = append(calls, r.call(report.OpCut, s.name, func() error { closed = s.full.Cut(); return nil }, func(result) {
			r.cutAny = r.cutAny || closed > 0
		}))
	}
	if calls != nil {
		r.awaitSteps(calls, r.share(4), nothing)
	}
}

// wait gives what was cancelled and stopped time to return.
func (r *run) wait() {
	r.takeIn()
	if !r.allGone() {
		r.enter(lastcall.PhaseWait)
		end := r.share(3)
		if !r.await(r.allGone, within(grace, end)) {
			r.pulse.urgent = true // who does not hear is named
			r.await(r.allGone, end)
		}
	}
	r.idle = r.idle && !r.forced
	switch {
	case !r.allGone():
		r.outcome = report.OutcomeAbandoned
	case r.cutAny:
		r.outcome = report.OutcomeCut
	case slices.ContainsFunc(r.toStop, func(s *server) bool { return !s.endedBeforeStop() }):
		r.outcome = report.OutcomeStopped
	default:
		r.outcome = report.OutcomeCancelled
	}
}
