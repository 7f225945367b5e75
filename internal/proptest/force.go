package proptest

import (
	"fmt"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// NothingBeforeTheTimer is G3: before the timer nothing is cancelled, stopped or cut.
func NothingBeforeTheTimer(r *Run) error {
	for _, s := range r.all(opCancel, opStop, opCut) {
		switch {
		case r.server(s.Name).Last && s.Op != opStop:
			return fmt.Errorf("%s of %s was called, which stops last", s.Op, s.Name)
		case r.server(s.Name).Last:
		case s.In.Before(r.timer):
			return fmt.Errorf("%s of %s was called %v before the timer", s.Op, s.Name, r.timer.Sub(s.In))
		}
	}
	for _, s := range r.all(opWork, opHandler, opTask) {
		if !s.Told.IsZero() && s.Told.Before(r.timer) && s.Told.Before(r.out(s)) {
			return fmt.Errorf("%s %s was told to end %v before the timer: %w", s.Op, s.Name, r.timer.Sub(s.Told), s.Cause)
		}
	}
	return nil
}

// DrainedInPeace is G3: if all have ended before the timer, nothing is cancelled, stopped
// or cut; if not, the timer fires. In a tie either is legal.
func DrainedInPeace(r *Run) error {
	last := later(r.drained, r.lastEnd())
	switch {
	case last.Before(r.expiry) && r.expired:
		return fmt.Errorf("all had ended at %s, and the timer fired all the same at %s", r.since(last), r.since(r.expiry))
	case last.After(r.expiry) && !r.expired:
		return fmt.Errorf("the last end came at %s, after the timer, %s, which did not fire", r.since(last), r.since(r.expiry))
	case r.expired != (r.Report.Outcome != report.OutcomeDrained):
		return fmt.Errorf("the timer fired: %v, with outcome %v", r.expired, r.Report.Outcome)
	}
	for _, s := range r.all(opCancel, opStop, opCut) {
		if !r.expired && !r.server(s.Name).Last {
			return fmt.Errorf("%s of %s was called, although the timer had not fired", s.Op, s.Name)
		}
		if s.Op != opStop && r.gone(s.Name).Before(s.In) {
			return fmt.Errorf("%s of %s was called at %s, and nothing of it ran since %s", s.Op, s.Name, r.since(s.In), r.since(r.gone(s.Name)))
		}
	}
	return nil
}

// OutcomeIsTrue is G3 for a forced shutdown: the outcome names the last thing that was
// done to what then came to its end.
func OutcomeIsTrue(r *Run) error {
	if !r.expired {
		return nil
	}
	got, last := r.Report.Outcome, r.lastWorker()
	var stopped, cut, mayCut time.Time
	for _, s := range r.servers(false) {
		last = later(last, r.gone(s.Name))
		if stop := r.first(opStop, s.Name); stop != nil {
			end := r.out(r.graceful(s.Name))
			if r.graceful(s.Name).How != Returned { // what it has ended is unknown
				end = r.serveOut(s.Name)
			}
			if end.After(stop.In) {
				stopped = stop.In
			}
		}
		if c := r.first(opCut, s.Name); c != nil && c.How == Returned && c.Value != 0 {
			mayCut = c.Out
			if c.Out.Before(r.terminated) {
				cut = c.Out
			}
		}
	}
	switch {
	case last.After(r.terminated) != (got == report.OutcomeAbandoned) && !last.Equal(r.terminated):
		return fmt.Errorf("outcome %v, the last end came at %s, and TERMINATED at %s", got, r.since(last), r.since(r.terminated))
	case got == report.OutcomeAbandoned, got == report.OutcomeIdle: // see IdleIsTrue
	case !cut.IsZero() != (got == report.OutcomeCut) && mayCut.Equal(cut):
		return fmt.Errorf("outcome %v, and connections were cut at %s", got, r.since(cut))
	case !stopped.IsZero() && got < report.OutcomeStopped:
		return fmt.Errorf("outcome %v, and Stop, called at %s, ended something", got, r.since(stopped))
	case got == report.OutcomeStopped && len(r.all(opStop)) == 0:
		return fmt.Errorf("outcome %v, and Stop was not called", got)
	}
	return nil
}

// IdleIsTrue is G3: the timer has found only idle peers if no force came before TERMINATED, the workers had
// returned, every server that had not ended says so, and no work was lost since.
func IdleIsTrue(r *Run) error {
	if r.Report.Outcome != report.OutcomeIdle {
		return nil
	}
	var work []lastcall.Work
	for _, w := range r.Report.Work {
		if !r.server(w.Server).Last {
			work = append(work, w)
		}
	}
	forced := !r.force.IsZero() && r.force.Before(r.terminated)
	if lost := report.Sum(work); forced || lost.Running+lost.Cancelled+lost.Cut > 0 {
		return fmt.Errorf("only idle peers: forced in time %v, and the work says %+v", forced, lost)
	}
	if r.lastWorker().After(r.expiry) {
		return fmt.Errorf("only idle peers, and a worker returned at %s, after the timer", r.since(r.lastWorker()))
	}
	for _, s := range r.servers(false) {
		idle := false
		if said := r.first(opIdlePeers, s.Name); said != nil {
			idle, _ = said.Value.(bool)
		}
		if r.gone(s.Name).After(r.expiry) && !idle {
			return fmt.Errorf("only idle peers, and %s, which was up until %s, has not said so", s.Name, r.since(r.gone(s.Name)))
		}
	}
	return nil
}

// StoppedOnce is G5: Stop is called, once, on exactly those servers whose GracefulStop had
// not returned at the timer, and not before that was called.
func StoppedOnce(r *Run) error {
	for _, srv := range r.Setup.Servers {
		gs, stops := r.graceful(srv.Name), r.named(opStop, srv.Name) // see CalledOnce
		at := r.expiry
		if srv.Last && len(stops) > 0 {
			at = stops[0].In
		}
		returned := gs.How == Returned && gs.Out.Before(at)
		tie := gs.How == Returned && gs.Out.Equal(at)
		switch {
		case len(stops) == 1 && stops[0].In.Before(gs.In):
			return fmt.Errorf("Stop of %s was called at %s, and its GracefulStop at %s", srv.Name, r.since(stops[0].In), r.since(gs.In))
		case len(stops) == 1 && returned:
			return fmt.Errorf("Stop of %s was called at %s, when its GracefulStop had returned", srv.Name, r.since(stops[0].In))
		case len(stops) == 0 && srv.Last && gs.How != Returned:
			return fmt.Errorf("Stop of %s was not called, although its GracefulStop has not returned", srv.Name)
		case len(stops) == 0 && !srv.Last && r.expired && !returned && !tie:
			return fmt.Errorf("Stop of %s was not called, although its GracefulStop had not returned at the timer", srv.Name)
		}
	}
	return nil
}

// LeavesLast is G3: a server that stops last has no part in the drain, and is told to go
// when all others have.
func LeavesLast(r *Run) error {
	for _, s := range r.servers(true) {
		for _, o := range []op{opGracefulStop, opStop} {
			if call := r.first(o, s.Name); call != nil && call.In.Before(r.terminated) {
				return fmt.Errorf("%s of %s was called at %s, before TERMINATED, at %s", o, s.Name, r.since(call.In), r.since(r.terminated))
			}
		}
	}
	if r.terminated.Before(earlier(r.lastEnd(), r.expiry)) {
		return fmt.Errorf("phase close began at %s", r.since(r.terminated))
	}
	return nil
}
