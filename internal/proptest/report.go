package proptest

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// CalledOnce is G8: each step is called, once and before the deadline, whatever the others
// do.
func CalledOnce(r *Run) error {
	check := func(o op, name string) error {
		calls := r.named(o, name)
		if len(calls) != 1 {
			return fmt.Errorf("%s %s was called %d times", o, name, len(calls))
		}
		if !calls[0].In.Before(r.deadline(r.Ended)) && !r.rushed() {
			return fmt.Errorf("%s %s was called only at the deadline", o, name)
		}
		return nil
	}
	for o, deps := range map[op][]Dep{opAnnouncer: r.Setup.Announcers, opClose: slices.Concat(r.Setup.Closers...), opFlush: r.Setup.Flushers} {
		for _, d := range deps {
			if err := check(o, d.Name); err != nil {
				return err
			}
		}
	}
	for _, s := range r.Setup.Servers {
		if err := check(opGracefulStop, s.Name); err != nil {
			return err
		}
		for _, o := range []op{opAttach, opServe, opAnnounce, opCancel, opStop, opCut} {
			if n := len(r.named(o, s.Name)); n > 1 || o == opAnnounce && n == 0 && !s.Bare {
				return fmt.Errorf("%s of %s was called %d times", o, s.Name, n)
			}
		}
	}
	return nil
}

// calls are the kinds of calls of which each is a step in the report.
func calls() []op {
	return []op{opAttach, opServe, opWork, opAnnounce, opAnnouncer, opGracefulStop, opCancel, opStop, opCut, opClose, opFlush}
}

// ToldToEnd is G8: what hangs is told to end before Run returns, and when its own time is
// over.
func ToldToEnd(r *Run) error {
	for o, deps := range map[op][]Dep{opAnnouncer: r.Setup.Announcers, opClose: slices.Concat(r.Setup.Closers...), opFlush: r.Setup.Flushers} {
		for _, d := range deps {
			s := r.first(o, d.Name)
			if s == nil || d.Timeout == 0 {
				continue
			}
			if end := s.In.Add(d.Timeout); r.over(s).After(earlier(end, r.Ended)) {
				return fmt.Errorf("%s %s was told to end at %s, and its time was over at %s", o, d.Name, r.since(s.Told), r.since(end))
			}
		}
	}
	for _, s := range r.all(opWork, opAnnounce, opAnnouncer, opCancel, opClose, opFlush) {
		if r.out(s).After(r.Ended) && s.Told.IsZero() {
			return fmt.Errorf("%s %s hangs, and its context has not ended", s.Op, s.Name)
		}
	}
	return nil
}

// ResultsAreTrue is G8: the report tells of each call how it came back.
func ResultsAreTrue(r *Run) error {
	for _, s := range r.all(calls()...) {
		var steps []Step
		for _, step := range r.Report.Steps {
			if step.Op == s.Op && step.Name == s.Name {
				steps = append(steps, step)
			}
		}
		if s.Value == elsewhere {
			continue
		}
		if len(steps) != 1 || !steps[0].Start.Equal(s.In) {
			return fmt.Errorf("%s %s, called at %s, is in the report as %v", s.Op, s.Name, r.since(s.In), steps)
		}
		step := steps[0]
		if want := r.results(s); !slices.Contains(want, step.Result) {
			return fmt.Errorf("%s %s %v and is reported as %v after %v, want one of %v", s.Op, s.Name, s.How, step, step.Duration, want)
		}
		switch {
		case step.Result == report.ResultPanicked && (step.Stack == "" || step.Text != "as drawn"):
			return fmt.Errorf("the panic of %s %s is reported without its stack or value: %v", s.Op, s.Name, step)
		case step.Result != report.ResultTimedOut && !step.Start.Add(step.Duration).Equal(s.Out):
			return fmt.Errorf("%s %s took %v, and is reported with %v", s.Op, s.Name, s.Out.Sub(s.In), step.Duration)
		}
	}
	return nil
}

// results returns what the report may say of a call.
func (r *Run) results(s *Span) (all []result) {
	out := r.out(s)
	given := r.terminated // what has not come back is late from then on
	if r.expired {
		given = r.expiry
	}
	told := slices.Contains([]op{opAnnounce, opAnnouncer, opClose, opFlush}, s.Op) && !s.Told.IsZero()
	if told {
		given = s.Told
	}
	tie := out.Equal(r.Ended) || r.tie(out) || out.After(s.In) && out.Sub(s.In)%unit == 0
	if out.After(r.Ended) {
		return []result{report.ResultTimedOut}
	}
	if tie || !out.Before(given) && out.After(s.In) {
		all = append(all, report.ResultTimedOut)
	}
	switch late := told && out.After(given) && (s.Op == opClose || s.Op == opFlush); s.How {
	case Panicked:
		return append(all, report.ResultPanicked)
	case Exited:
		return append(all, report.ResultGoexit)
	case Failed:
		gs := r.graceful(s.Name)
		obeyed, tie := r.obeyed(s)
		if obeyed || tie || s.Op == opServe && !out.Before(gs.In) {
			all = append(all, report.ResultOK)
		}
		if !late && !obeyed && (s.Op != opServe || !out.After(gs.In)) {
			all = append(all, report.ResultFailed)
		}
	default:
		if !late {
			all = append(all, report.ResultOK)
		}
	}
	return all
}

// obeyed reports whether what a call has returned is the end of a worker that was told to
// end: its claim had ended, or Run's context had. In a tie it may be.
func (r *Run) obeyed(s *Span) (yes, tie bool) {
	if s.Op != opWork || s.How != Failed {
		return false, false
	}
	told := []time.Time{s.Claim, s.Told}
	for _, a := range r.asks {
		if a.What == "context" {
			told = append(told, a.At)
		}
	}
	for _, at := range told {
		yes = yes || !at.IsZero() && at.Before(s.Out)
		tie = tie || at.Equal(s.Out)
	}
	return yes, tie && !yes
}

// failed reports whether something has failed that makes the shutdown one of a process
// that failed. In a tie it may or may not have.
func (r *Run) failed() (failed, tie bool) {
	for _, c := range r.causes {
		if c.what == "fail" {
			failed, tie = len(r.causes) == 1, true
		}
	}
	for _, s := range r.all(opAttach, opServe, opWork) {
		obeyed, mayObey := r.obeyed(s)
		if s.How == Running || s.How == Returned || obeyed || s.Value == elsewhere {
			continue
		}
		limit := r.trigger
		switch s.Op {
		case opAttach:
			limit = r.Ended
		case opServe:
			limit = r.graceful(s.Name).In
		case opWork:
			limit = r.claimEnds(s.Name)
		}
		cause := s.Op == opWork && s.Out.Equal(r.trigger) && len(r.causes) == 1
		failed = failed || s.Out.Before(limit) && !mayObey || cause
		tie = tie || s.Out.Equal(limit) || mayObey
	}
	return failed, tie
}

// ExitCodeIsTrue is G8: a failure changes the exit code, and nothing else does.
func ExitCodeIsTrue(r *Run) error {
	want := report.ExitOK
	for _, s := range r.Report.Failures() { // see ResultsAreTrue and AnswersAreTrue
		isQuestion := slices.Contains([]op{opInFlight, opNotes, opIdlePeers, opLastArrival, opText}, s.Op)
		if s.Result != report.ResultTimedOut || !isQuestion {
			want = report.ExitStep
		}
	}
	if r.expired && r.Report.Outcome != report.OutcomeIdle { // see IdleIsTrue
		want = report.ExitInterrupted
	}
	if r.Report.Outcome == report.OutcomeAbandoned { // see OutcomeIsTrue
		want = report.ExitAbandoned
	}
	failed, tie := r.failed()
	if failed {
		want = report.ExitFailed
	}
	if got := r.Report.ExitCode(); got != want && (!tie || got != report.ExitFailed) {
		return fmt.Errorf("exit code %d, want %d", got, want)
	}
	if (r.Report.Err() == nil) != (r.Report.ExitCode() == report.ExitOK) {
		return fmt.Errorf("exit code %d, with the error %q", r.Report.ExitCode(), fmt.Sprint(r.Report.Err()))
	}
	return nil
}

// AnswersAreTrue is G8 for questions to servers: one that was not answered is in the
// report; the report's work and notes are the last answer, if that came.
func AnswersAreTrue(r *Run) error {
	for _, s := range r.all(opInFlight, opNotes, opLastArrival) {
		step, found := r.step(s)
		switch bad := s.How != Returned || r.out(s).After(r.Ended); {
		case bad && !found:
			return fmt.Errorf("%s of %s, called at %s, %v, and the report does not say so", s.Op, s.Name, r.since(s.In), s.How)
		case found && (step.Result == report.ResultOK || step.Result == report.ResultFailed):
			return fmt.Errorf("%s of %s is in the report as %v", s.Op, s.Name, step)
		case found && !slices.ContainsFunc(r.named(s.Op, s.Name), func(s *Span) bool { return s.How != Returned || s.Out.After(s.In) || s.Out.Equal(r.Ended) }):
			return fmt.Errorf("%s of %s was always answered at once, and is in the report as %v", s.Op, s.Name, step)
		}
	}
	for _, srv := range r.Setup.Servers {
		var got []work
		for _, w := range r.Report.Work {
			if w.Server == srv.Name {
				got = append(got, w)
			}
		}
		if err := r.answer(opInFlight, srv.Name, len(got) == 0, func(v any) bool {
			given, _ := v.([]work)
			return slices.EqualFunc(given, got, func(a, b work) bool { a.Server = b.Server; return reflect.DeepEqual(a, b) })
		}); err != nil {
			return err
		}
		var notes []string
		for _, n := range r.Report.Notes {
			if n.Server == srv.Name {
				notes = append(notes, n.Text)
			}
		}
		if err := r.answer(opNotes, srv.Name, len(notes) == 0, func(v any) bool {
			given, _ := v.([]string)
			return slices.Equal(given, notes)
		}); err != nil {
			return err
		}
	}
	return nil
}

// answer checks that the report has the last answer of a server.
func (r *Run) answer(o op, name string, none bool, is func(any) bool) error {
	asked := r.named(o, name)
	if len(asked) == 0 {
		if !none {
			return fmt.Errorf("%s of %s was not called, and the report has an answer", o, name)
		}
		return nil
	}
	last := asked[len(asked)-1]
	for _, s := range asked { // those of the same instant may have been answered in any order
		if s.In.Equal(last.In) && s.How == Returned && is(s.Value) {
			return nil
		}
	}
	if late := last.How != Returned || last.Out.After(last.In) || last.Out.Equal(r.Ended); none && late {
		return nil
	}
	return fmt.Errorf("%s of %s was last answered with %+v, which the report does not have", o, name, last.Value)
}

// NothingLeft is G10: goroutines that are left are in user code which has not come back,
// and the report names them.
func NothingLeft(r *Run) error {
	named := len(r.Report.Abandoned())
	for _, d := range r.Report.Deliveries {
		if d.Busy {
			named++
		}
	}
	if len(r.Above) > named {
		return fmt.Errorf("%d goroutines are alive, and the report names %d: %v", len(r.Above), named, r.Report.Abandoned())
	}
	below := 0
	for _, w := range r.Report.Work {
		if w.Kind == lastcall.WorkCall || w.Kind == lastcall.WorkTask {
			below += w.Running
		}
	}
	if len(r.Below) > below {
		return fmt.Errorf("%d goroutines of the packages below are alive, and the report names %d", len(r.Below), below)
	}
	return nil
}

// NamesAreTrue is G10: what the report calls abandoned has not come back, and what has not
// come back it calls so.
func NamesAreTrue(r *Run) error {
	var open []string
	for _, s := range r.all(append(calls(), opInFlight, opNotes, opLastArrival)...) {
		if r.out(s).After(r.Ended) {
			open = append(open, fmt.Sprint(s.Op, " ", s.Name))
		}
	}
	for _, s := range r.Report.Abandoned() {
		who := fmt.Sprint(s.Op, " ", s.Name)
		i := slices.Index(open, who)
		tie := slices.ContainsFunc(r.named(s.Op, s.Name), func(c *Span) bool { return r.out(c).Equal(r.Ended) })
		switch {
		case i >= 0:
			open = slices.Delete(open, i, i+1)
		case !tie && s.Op != opText:
			return fmt.Errorf("%s is called abandoned, and has come back", who)
		}
		if !s.Failed() {
			return fmt.Errorf("%s is called abandoned, and has not failed", who)
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("%q have not come back, and the report does not name them", open)
	}
	return nil
}
