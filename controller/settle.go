package controller

import (
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/report"
)

// settle goes on serving while the network learns that this server leaves.
func (r *run) settle() {
	budget := r.config.budget
	switch {
	case budget.Settle == 0:
		r.settled = report.SettleUnplanned
	case !foreign.IsClosed(r.serving):
		r.settled = report.SettleNotReady
	case r.typed():
		r.settled = report.SettleTyped
	case !r.serves():
		r.settled = report.SettleNobody
	case r.timeIsUp():
		r.settled = r.timerOrForce()
	default:
		r.enter(lastcall.PhaseSettle)
		r.settled = r.awaitSettled(time.Now())
	}
}

// awaitSettled waits for the end of phase settle.
func (r *run) awaitSettled(start time.Time) report.SettleEnd {
	budget := r.config.budget
	r.settleEnd = start.Add(r.settleTime)
	over := func() bool { return r.forced || !r.serves() }
	end := func() time.Time { return earlier(r.settleEnd, r.timerAt) }
	if budget.Quiet > 0 && r.awaitQuiet(start, over, end) {
		return report.SettleQuiet
	}
	switch {
	case r.await(over, end) && !r.serves():
		return report.SettleNobody
	case r.timeIsUp():
		return r.timerOrForce()
	case r.shortened:
		return report.SettleShortened
	default:
		return report.SettleTime
	}
}

func (r *run) timerOrForce() report.SettleEnd {
	if r.forced {
		return report.SettleForced
	}
	return report.SettleTimer
}

// awaitQuiet waits until no new work has come for Quiet, and reports whether that was
// so: if not, the phase is over, or it cannot be known. The servers are asked only in an
// instant in which it might be so.
func (r *run) awaitQuiet(start time.Time, over func() bool, end func() time.Time) bool {
	quiet, earliest := r.config.budget.Quiet, start.Add(r.config.budget.MinSettle)
	next := later(start.Add(quiet), earliest)
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
		if s.full == nil {
			continue // New has refused it
		}
		var at time.Time
		calls = append(calls, r.ask(report.OpLastArrival, s.name, func() { at = s.full.LastArrival() }, func() {
			if !at.IsZero() {
				told++
				latest = later(latest, at)
			}
		}))
	}
	r.await(func() bool { return over() || allDone(calls) }, end)
	return latest, told == len(calls)
}

// serves reports whether any server still serves, of which all have begun to.
func (r *run) serves() bool {
	return slices.ContainsFunc(r.servers, func(s *server) bool { return s.serving == nil || !s.serving.over })
}
