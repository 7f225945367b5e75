package controller

import "time"

// settle goes on serving while the network learns that this server leaves.
func (r *run) settle() {
	budget := r.config.budget
	if budget.Settle == 0 || !r.ready || r.trigger.Load().typed || !r.serves() || r.timeIsUp() {
		return
	}
	r.enter(PhaseSettle)
	start := time.Now()
	over := func() bool { return r.forced || !r.serves() }
	end := func() time.Time { return earlier(start.Add(budget.Settle), r.timerAt) }
	if budget.Quiet > 0 && r.awaitQuiet(start, over, end) {
		return
	}
	r.await(over, end)
}

// awaitQuiet waits until no new work has come for Quiet, and says whether that was
// so: if not, the phase is over, or nobody will ever know. The servers are asked
// only in an instant in which it might be so.
func (r *run) awaitQuiet(start time.Time, over func() bool, end func() time.Time) bool {
	quiet := r.config.budget.Quiet
	next := start.Add(quiet)
	for {
		if r.await(over, func() time.Time { return earlier(next, end()) }) || !time.Now().Before(end()) {
			return false
		}
		asked := time.Now() // what came while they were asked may not be in the answers
		latest, known := r.lastArrival(over, end)
		if !known {
			return false
		}
		next = latest.Add(quiet)
		if !asked.Before(next) {
			return true
		}
	}
}

// lastArrival asks all servers at the same time when work last came. It does not
// know if one of them cannot tell, or if the phase is over before all have told.
func (r *run) lastArrival(over func() bool, end func() time.Time) (latest time.Time, known bool) {
	var calls []*call
	told := 0
	for _, s := range r.servers {
		arrivals, ok := s.server.(Arrivals)
		if !ok {
			continue // New has refused it
		}
		var at time.Time
		calls = append(calls, r.ask(OpLastArrival, s.name, func() { at = arrivals.LastArrival() }, func() {
			if !at.IsZero() {
				told++
				latest = later(latest, at)
			}
		}))
	}
	r.await(func() bool { return over() || allDone(calls) }, end)
	return latest, told == len(calls)
}

// serves says whether any server still serves.
func (r *run) serves() bool {
	for _, s := range r.servers {
		if s.foreign || s.serving != nil && !s.serving.over {
			return true
		}
	}
	return false
}
