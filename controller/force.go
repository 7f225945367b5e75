package controller

import "slices"

// The phases of TIMER_EXPIRED: each may use its share of the time that is left.
// How many phases are left, counting the phase itself, is the argument of share.

// beginForce is the effect of entering TIMER_EXPIRED: it decides on which servers
// Stop will be called, and tells of everything that has not come back in time.
func (r *run) beginForce() {
	r.measure = OutcomeCancelled // the least: what is late without a server to stop is waited for
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

// cancelers returns the servers that are told to cancel, and how.
func (r *run) cancelers() map[*server]Canceler {
	all := map[*server]Canceler{}
	for _, s := range r.servers {
		if c, ok := s.server.(Canceler); ok && !s.isGone() {
			all[s] = c
		}
	}
	return all
}

// firstForce returns the first phase of TIMER_EXPIRED that has something to do.
func (r *run) firstForce() Phase {
	switch {
	case len(r.cancelers()) > 0 || !r.workersGone():
		return PhaseCancel
	case slices.ContainsFunc(r.servers, func(s *server) bool { return !s.graceful.ended() }):
		return PhaseStop
	default:
		return PhaseWait
	}
}

// cancel ends the work that still runs.
func (r *run) cancel() {
	cancelers := r.cancelers()
	if len(cancelers) == 0 && r.workersGone() {
		return
	}
	r.enter(PhaseCancel)
	end := r.share(6)
	for _, w := range r.workers {
		if w.endWork != nil {
			r.end(func() { w.endWork(ErrTimer) })
		}
	}
	var calls []*call
	for s, canceler := range cancelers {
		calls = append(calls, r.call(OpCancel, s.name, func() error { canceler.Cancel(ErrTimer); return nil }, nil))
	}
	r.awaitSteps(calls, end, nothing)
}

// stop calls Stop on the servers whose GracefulStop had not returned when the
// timer fired.
func (r *run) stop() {
	if len(r.victims) == 0 {
		return
	}
	r.enter(PhaseStop)
	r.measure = OutcomeStopped
	end := r.share(5)
	var calls []*call
	for _, s := range r.victims {
		calls = append(calls, r.call(OpStop, s.name, func() error {
			<-s.begun // closed on a goroutine that has been started, by its first statement
			yield()   // and lets that goroutine go on into GracefulStop, where nobody can look
			s.server.Stop()
			return nil
		}, nil))
	}
	r.awaitSteps(calls, end, nothing)
}

// cut closes the connections that survived Stop.
func (r *run) cut() {
	var calls []*call
	for _, s := range r.servers {
		cutter, ok := s.server.(Cutter)
		if !ok || s.isGone() {
			continue
		}
		if calls == nil {
			r.enter(PhaseCut)
			r.measure = OutcomeCut
		}
		calls = append(calls, r.call(OpCut, s.name, func() error { cutter.Cut(); return nil }, nil))
	}
	if calls != nil {
		r.awaitSteps(calls, r.share(4), nothing)
	}
}

// wait gives what was cancelled and stopped time to come back.
func (r *run) wait() {
	r.takeIn()
	if !r.allGone() {
		r.enter(PhaseWait)
		r.await(r.allGone, r.share(3))
	}
	r.outcome = r.measure
	if !r.allGone() {
		r.outcome = OutcomeAbandoned
	}
}
