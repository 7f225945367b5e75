package proptest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/report"
)

// StartedFirst is G2: Run is ready when everything was started; after a trigger nothing
// is started any more.
func StartedFirst(r *Run) error {
	early := slices.ContainsFunc(r.asks, func(a Ask) bool { return a.triggers() && !a.signal() && a.At.Before(r.Begun) })
	for _, s := range r.all(opAttach, opServe, opWork) {
		if s.In.After(r.trigger) || early {
			return fmt.Errorf("%s of %s began at %s, after the trigger", s.Op, s.Name, r.since(s.In))
		}
	}
	for _, s := range r.Samples {
		if !s.Ready {
			continue
		}
		for _, srv := range r.Setup.Servers {
			if serve := r.first(opServe, srv.Name); (srv.Serve != nil || !srv.Bare) && (serve == nil || serve.In.After(s.At)) {
				return fmt.Errorf("ready at %s, but Serve of %s had not been called", r.since(s.At), srv.Name)
			}
		}
		return nil
	}
	return nil
}

// AnnouncedFirst is G2: the drain begins when all have been told, or their time is over.
func AnnouncedFirst(r *Run) error {
	for _, gs := range r.all(opGracefulStop) {
		if at := r.announced(); gs.In.Before(at) {
			return fmt.Errorf("GracefulStop of %s began at %s, when announce was over only at %s", gs.Name, r.since(gs.In), r.since(at))
		}
	}
	return nil
}

// ForcedInOrder is G2: Cancel, then Stop, then Cut.
func ForcedInOrder(r *Run) error {
	var last time.Time
	for _, o := range []op{opCancel, opStop, opCut} {
		for _, s := range r.all(o) {
			if !r.server(s.Name).Last && s.In.Before(last) {
				return fmt.Errorf("%s of %s began at %s, before what comes before that", o, s.Name, r.since(s.In))
			}
		}
		for _, s := range r.all(o) {
			if !r.server(s.Name).Last {
				last = later(last, s.In)
			}
		}
	}
	return nil
}

// NothingClosedUnderWork is G2: what runs while dependencies are closed is work that was
// given up, after it has been given time, and the report says so.
func NothingClosedUnderWork(r *Run) error {
	ends := r.all(opClose, opFlush)
	if len(ends) == 0 {
		return nil
	}
	first := ends[0]
	if first.In.Before(r.lastEnd()) && !r.expired {
		return fmt.Errorf("%s began at %s, when not all had ended, and the timer had not fired", first.Name, r.since(first.In))
	}
	for _, s := range r.all(opGracefulStop, opServe, opWork, opHandler, opTask) {
		if s.in > first.in || s.How != Running && s.out < first.in || s.Value == elsewhere || s.Op != opWork && s.Op != opHandler && s.Op != opTask && r.server(s.Name).Last {
			continue
		}
		if r.Report.Outcome != report.OutcomeAbandoned && r.out(s).After(first.In) {
			return fmt.Errorf("%s began at %s, when %s %s still ran, and the outcome is %v", first.Name, r.since(first.In), s.Op, s.Name, r.Report.Outcome)
		}
		if s.Op == opHandler || s.Op == opTask { // they are numbers in the report: see WorkAddsUp
			continue
		}
		if step, ok := r.step(s); r.out(s).After(first.In.Add(moment)) && (!ok || step.Result < report.ResultPanicked) {
			return fmt.Errorf("%s %s still ran when %s began, and is reported as %v", s.Op, s.Name, first.Name, step)
		}
	}
	if r.Report.Outcome == report.OutcomeAbandoned && !first.In.After(r.expiry) && !r.rushed() {
		return errors.New("what was told to end at the timer was given up in the same instant")
	}
	return nil
}

// step returns the report's step of a call, if there is one.
func (r *Run) step(s *Span) (Step, bool) {
	for _, step := range r.Report.Steps {
		if step.Op == s.Op && step.Name == s.Name {
			return step, true
		}
	}
	return Step{}, false
}

// ClosedInOrder is G2: closers in their order, each when the one before it has come back
// or was told to end, or as soon as one was told to end; then flushers, all at once, when
// all closers are over; then the servers that stop last.
func ClosedInOrder(r *Run) error {
	var queue [][]*Span
	for _, group := range r.Setup.Closers {
		var calls []*Span
		for _, d := range group {
			calls = append(calls, r.named(opClose, d.Name)...)
		}
		queue = append(queue, calls)
	}
	lasts := slices.DeleteFunc(r.all(opGracefulStop), func(s *Span) bool { return !r.server(s.Name).Last })
	queue = append(queue, r.all(opFlush), lasts)
	before, who := r.drained, "the drain"
	var overrun []time.Time // when closers were told to end
	for _, group := range queue {
		next := before
		for _, s := range group { // CalledOnce tells of those that are missing
			behind := s.Op == opClose && slices.ContainsFunc(overrun, s.In.Equal) // these are begun in order, but a goroutine may lose the processor before its call
			if s.In.Before(before) && !behind {
				return fmt.Errorf("%s %s began at %s, and %s was over at %s", s.Op, s.Name, r.since(s.In), who, r.since(before))
			}
			if !s.In.Equal(group[0].In) {
				return fmt.Errorf("%s %s and %s did not begin together", s.Op, s.Name, group[0].Name)
			}
			next = later(next, r.over(s))
			if !s.Told.IsZero() {
				overrun = append(overrun, s.Told)
			}
		}
		if len(group) > 0 {
			before, who = next, group[0].Name
		}
	}
	return nil
}

// NotStarved is G8: a closer that was told to end as its share was over has had half of an
// equal share, whatever those before it did. A quarter of the time is not theirs.
func NotStarved(r *Run) error {
	for _, group := range r.Setup.Closers {
		for _, d := range group {
			s := r.first(opClose, d.Name)
			if s == nil || s.Told.IsZero() || d.Timeout > 0 || r.forced(s.Told) || !r.deadline(s.Told).Equal(r.deadline(r.terminated)) {
				continue
			}
			least := r.deadline(s.Told).Sub(r.terminated) * 3 / 4 / time.Duration(2*len(r.Setup.Closers))
			if had := s.Told.Sub(s.In); had < least-time.Microsecond {
				return fmt.Errorf("closer %s was told to end after %v, and its share is at least %v", d.Name, had, least)
			}
		}
	}
	return nil
}
