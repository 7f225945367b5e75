package report

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/lastcall-go/lastcall"
)

// String returns a summary of a few lines: outcome, times, path, phases, what
// became of the work, and every failure by name.
func (r Report) String() string {
	var b strings.Builder
	switch {
	case r.Outcome != 0:
		fmt.Fprintf(&b, "%s, exit code %d\n", r.headline(), r.ExitCode())
	case r.isCut():
		fmt.Fprintf(&b, "%s: the record ends here\n", r.headline())
	default:
		return r.headline()
	}
	if len(r.Path) > 0 { // a record may end before the first transition
		fmt.Fprintf(&b, "  path      %s\n", strings.Join(r.pathNames(), " -> "))
	}
	var phases []string
	for _, s := range r.Steps {
		if s.Kind == KindPhase && s.Phase >= lastcall.PhaseAnnounce {
			phases = append(phases, s.Name+" "+Round(s.Duration)+r.lastIn(s))
		}
	}
	fmt.Fprintf(&b, "  phases    %s\n", strings.Join(phases, ", "))
	for _, s := range r.Steps {
		if s.Kind == KindRequest {
			fmt.Fprintf(&b, "  request   %s; in phase %v, at +%s\n", s, s.Phase, Round(s.Elapsed))
		}
	}
	r.writeWork(&b)
	for _, s := range r.Failures() {
		fmt.Fprintf(&b, "  failed    %s; ", s)
		if !s.Start.Before(r.Triggered) {
			fmt.Fprintf(&b, "begun in phase %v, took %s, ", s.Phase, Round(s.Duration))
		}
		if after := s.Start.Add(s.Duration).Sub(r.Triggered); after > 0 {
			fmt.Fprintf(&b, "at +%s", Round(after))
		} else {
			b.WriteString("at the trigger")
		}
		if s.Abandoned {
			b.WriteString(", and has not returned")
		}
		if len(s.Stacks) > 0 {
			fmt.Fprintf(&b, ", at %s", s.Stacks[0].Place())
		}
		b.WriteByte('\n')
	}
	for _, l := range r.Deliveries {
		if l.Missed > 0 || l.Failed > 0 || l.Busy {
			fmt.Fprintf(&b, "  delivery  %s", l)
			subject := Step{Op: l.Op, Name: l.Name}.Subject()
			if i := slices.IndexFunc(r.Stacks, func(s Stack) bool { return l.Busy && s.Of == subject }); i >= 0 {
				fmt.Fprintf(&b, ", at %s", r.Stacks[i].Place())
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// writeWork writes what became of each server's work and which of it still runs,
// and the notes.
func (r Report) writeWork(b *strings.Builder) {
	for work := range r.workByServer() {
		t := Sum(work)
		fmt.Fprintf(b, "  work      %q: %d in flight at the trigger, %d arrived (%d late): %d completed, %d cancelled, %d cut, %d still running\n",
			work[0].Server, t.Before, t.Arrived, t.Late, t.Completed, t.Cancelled, t.Cut, t.Running)
		for _, w := range StillRunning(work) {
			fmt.Fprintf(b, "  running   %s x%d", oneLine(w.Name), w.Running)
			if !w.Oldest.IsZero() {
				fmt.Fprintf(b, ", oldest %s", Round(r.Ended.Sub(w.Oldest)))
			}
			if w.Peer != "" {
				fmt.Fprintf(b, ", peer %s", oneLine(w.Peer))
			}
			if w.Path != "" {
				fmt.Fprintf(b, ", path %s", oneLine(w.Path))
			}
			if at := placesOf(r.Stacks, w); at != "" {
				fmt.Fprintf(b, ", at %s", at)
			}
			b.WriteByte('\n')
		}
	}
	for _, n := range r.Idle {
		fmt.Fprintf(b, "  idle      %q: %s\n", n.Server, oneLine(n.Text))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(b, "  note      %q: %s\n", n.Server, oneLine(n.Text))
	}
}

// workByServer yields the work of one server after the other.
func (r Report) workByServer() iter.Seq[[]lastcall.Work] {
	return func(yield func([]lastcall.Work) bool) {
		for rest := r.Work; len(rest) > 0; {
			n := slices.IndexFunc(rest, func(w lastcall.Work) bool { return w.Server != rest[0].Server })
			if n < 0 {
				n = len(rest)
			}
			if !yield(rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// lost names the work that did not end by itself, for a text of one line: how much of which
// server, and the name of which most still runs or, if none does, was cancelled or cut.
func (r Report) lost() string {
	var b strings.Builder
	for work := range r.workByServer() {
		t := Sum(work)
		var parts []string
		for _, p := range []struct {
			n    int
			what string
		}{{t.Cancelled, "cancelled"}, {t.Cut, "cut"}, {t.Running, "still running"}} {
			if p.n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
			}
		}
		if len(parts) == 0 {
			continue
		}
		fmt.Fprintf(&b, "; %q: %s", work[0].Server, strings.Join(parts, ", "))
		most := slices.MaxFunc(work, func(a, b lastcall.Work) int {
			ofA, ofB := Sum([]lastcall.Work{a}), Sum([]lastcall.Work{b})
			return cmp.Or(cmp.Compare(ofA.Running, ofB.Running), cmp.Compare(ofA.Cancelled+ofA.Cut, ofB.Cancelled+ofB.Cut))
		})
		fmt.Fprintf(&b, ", such as %s", oneLine(most.Name))
		if at := placesOf(r.Stacks, most); at != "" && most.Running > 0 {
			fmt.Fprintf(&b, " at %s", at)
		}
	}
	return b.String()
}

// lastIn says why phase settle ended, and names the server or worker for which phase
// drain or wait was waiting when it ended, if it ended because that came back.
func (r Report) lastIn(phase Step) string {
	if phase.Phase == lastcall.PhaseSettle && r.Settle != "" {
		return " (" + string(r.Settle) + ")"
	}
	ended := phase.Phase == lastcall.PhaseDrain && r.Outcome == OutcomeDrained || phase.Phase == lastcall.PhaseWait && r.Outcome != OutcomeAbandoned
	if !ended || phase.Duration == 0 {
		return ""
	}
	last := Step{}
	for _, s := range r.Steps {
		if s.Kind != KindCall || s.Abandoned || s.Op != OpWork && s.Op != OpServe && s.Op != OpGracefulStop {
			continue
		}
		end, phaseEnd := s.Start.Add(s.Duration), phase.Start.Add(phase.Duration)
		if !end.Before(phase.Start) && !end.After(phaseEnd) && (last.Kind == 0 || end.After(last.Start.Add(last.Duration))) {
			last = s
		}
	}
	if last.Kind == 0 {
		return ""
	}
	return " (last: " + last.Subject() + ")"
}

// isCut reports whether this is what a record has of a shutdown that was not over.
func (r Report) isCut() bool { return r.NotRun == nil && r.Outcome == 0 && !r.Triggered.IsZero() }

// headline is the report in one line.
func (r Report) headline() string {
	switch {
	case r.NotRun != nil:
		return r.NotRun.Error()
	case r.Outcome == 0 && !r.isCut():
		return "report: no shutdown"
	}
	outcome := "no outcome yet"
	if r.Outcome != 0 {
		outcome = r.Outcome.String()
	}
	forced := ""
	if r.Forced {
		forced = ", forced"
	}
	suspended := ""
	if r.Suspended > 0 {
		suspended = ", suspended for " + Round(r.Suspended)
	}
	return fmt.Sprintf("shutdown: %s%s in %s of %v%s (%s)", outcome, forced, Round(r.Took()), r.Budget.Total, suspended, oneLine(r.CauseText))
}

func (r Report) pathNames() []string {
	var names []string
	for _, s := range r.Path {
		names = append(names, s.String())
	}
	return names
}
