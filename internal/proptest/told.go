package proptest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
)

// OneReport is G6: everybody who waits gets the same report, of the first trigger.
func OneReport(r *Run) error {
	for _, w := range r.Waited {
		if !reflect.DeepEqual(w, r.Report) { //nolint:govet // the same error values are what G6 promises
			return fmt.Errorf("from Wait came another report:\n%v\n%v", w, r.Report)
		}
	}
	if !r.Report.Triggered.Equal(r.trigger) {
		return fmt.Errorf("the report's trigger is at %s", r.since(r.Report.Triggered))
	}
	if at := r.Report.Deadline; !at.Equal(r.deadline(r.Ended)) && !r.tie(r.Ended) {
		return fmt.Errorf("the report's deadline is at %s, want %s", r.since(at), r.since(r.deadline(r.Ended)))
	}
	if r.Report.Forced == r.force.IsZero() && !r.force.Equal(r.Ended) {
		return fmt.Errorf("the report says forced: %v", r.Report.Forced)
	}
	return nil
}

// FirstCause is G6: the cause is that of the first trigger.
func FirstCause(r *Run) error {
	if len(r.causes) > 1 { // any of them may have been the first
		return nil
	}
	first, got := r.causes[0], r.Report.Cause
	ok := false
	switch signal, ended, hostile := (*report.SignalError)(nil), (*report.EndedError)(nil), (*hostileError)(nil); first.what {
	case "signal":
		ok = errors.As(got, &signal)
	case "shutdown", "fail":
		ok = errors.Is(got, errAsked)
	case "hostile":
		ok = errors.As(got, &hostile)
	case "force":
		ok = errors.Is(got, report.ErrForced)
	case "context":
		ok = errors.Is(got, context.Canceled)
	case "end":
		ok = errors.As(got, &ended) && ended.Op == first.span.Op && ended.Name == first.span.Name
	}
	if !ok {
		return fmt.Errorf("the cause is %w, and the first trigger was %s %v", got, first.what, first.span)
	}
	return nil
}

// Legal is G7, and G2 for phases: the path runs along the rows of the table, and phases
// come in their order.
func Legal(r *Run) error {
	table := transitions.Shutdown()
	state, last := table.Initial(), Step{}
	path := []fsm.State{state}
	for _, s := range r.Report.Steps {
		if s.Start.Before(last.Start) {
			return fmt.Errorf("%v stands behind a step that began after it", s)
		}
		switch s.Kind {
		case report.KindTransition:
			row, ok := table.Next(state, s.Transition.Event)
			if !ok || row != s.Transition || s.State != row.To {
				return fmt.Errorf("%v was taken from %v", s, state)
			}
			state = row.To
			path = append(path, state)
		case report.KindPhase:
			if s.Phase <= last.Phase || s.State != state || report.StateOf(s.Phase) != state {
				return fmt.Errorf("phase %v in state %v, after phase %v, the machine being in %v", s.Phase, s.State, last.Phase, state)
			}
			last = s
		}
	}
	if !state.Terminal() || !slices.Equal(path, r.Report.Path) {
		return fmt.Errorf("the path is %v, and the report has %v", path, r.Report.Path)
	}
	return nil
}

// Monotone is G7: what readers see never goes backwards.
func Monotone(r *Run) error {
	var last Sample
	wasReady := false
	for _, s := range r.Samples {
		switch {
		case last.State != 0 && s.State < last.State || s.Phase < last.Phase || report.StateOf(s.Phase) < s.State: // the state was read first, and may have moved on
			return fmt.Errorf("a reader saw %v, %v after %v, %v", s.State, s.Phase, last.State, last.Phase)
		case !s.Ready && wasReady && s.At.Before(r.trigger):
			return fmt.Errorf("a reader saw ready go away at %s", r.since(s.At))
		}
		wasReady = wasReady || s.Ready
		last = s
	}
	return nil
}

// ReadyIsTrue is G12: the process is ready only if every server accepts work and no
// trigger has come; and if all of them do, it is.
func ReadyIsTrue(r *Run) error {
	for _, s := range r.Samples {
		switch {
		case s.Ready && s.Refuses != "":
			return fmt.Errorf("ready at %s, but %s did not accept work", r.since(s.At), s.Refuses)
		case s.Ready && s.At.After(r.trigger):
			return fmt.Errorf("ready at %s, after the trigger", r.since(s.At))
		}
	}
	if served := r.heardOf(lastcall.PhaseServe); served && r.refuses() != "" {
		return fmt.Errorf("the process was ready, and %s has never accepted work", r.refuses())
	}
	return nil
}

// ToldInTime is G13: an observer that takes no time has been told everything, up to the
// summary, before the first flusher begins.
func ToldInTime(r *Run) error {
	flushers := r.all(opFlush)
	if len(flushers) == 0 || r.rushed() {
		return nil
	}
	for _, h := range r.heard {
		if h.Step.Kind == report.KindSummary {
			if h.seq > flushers[0].in {
				return fmt.Errorf("%s began before the summary was told", flushers[0].Name)
			}
			return nil
		}
	}
	return errors.New("the summary was not told")
}

// CauseFirst is G13: after the trigger observers are told the cause before anything else.
func CauseFirst(r *Run) error {
	for _, h := range r.heard {
		switch {
		case h.Step.Kind == report.KindTrigger:
			return nil
		case h.Step.Now.Remaining != 0:
			return fmt.Errorf("%v was told before the cause", h.Step)
		}
	}
	if r.rushed() {
		return nil
	}
	return errors.New("the cause was not told")
}

// Unblamed is for what the world sees by itself: it has seen nothing wrong.
func Unblamed(r *Run) error {
	if len(r.wrong) > 0 {
		return errors.New(strings.Join(r.wrong, "\n"))
	}
	return nil
}

// marks returns the transitions and phases among steps.
func marks(steps []Step) (all []string) {
	for _, s := range steps {
		if s.Kind == report.KindTransition || s.Kind == report.KindPhase {
			all = append(all, s.String())
		}
	}
	return all
}

// Told is G9: each observer was told of every transition and phase, in order, or what it
// missed is counted.
func Told(r *Run) error {
	told := map[string][]Step{}
	var caused time.Time // until then everything is held back
	for _, s := range r.all(opText) {
		caused = later(caused, earlier(r.out(s), s.In.Add(while)))
	}
	for _, h := range r.heard {
		told[recorder] = append(told[recorder], h.Step)
		if h.Step.Op == "" && h.At.After(later(caused, h.Step.Now.At.Add(moment))) {
			return fmt.Errorf("of %v, at %s, an observer was told at %s", h.Step, r.since(h.Step.Now.At), r.since(h.At))
		}
	}
	for _, s := range r.all(opObserve) {
		step, _ := s.Value.(Step)
		told[s.Name] = append(told[s.Name], step)
	}
	atEnd := 0 // requests that came in the instant in which Run returned
	for _, s := range r.Report.Steps {
		if s.Kind == report.KindRequest && s.Start.Equal(r.Ended) {
			atEnd++
		}
	}
	if r.tie(r.Ended) {
		atEnd++
	}
	all := marks(r.Report.Steps)
	for i, o := range slices.Insert(slices.Clone(r.Setup.Observers), 0, Observer{Name: recorder, Quick: true}) {
		got, d := marks(told[o.Name]), r.Report.Deliveries[i]
		if d.Name != o.Name || d.Op != opObserve {
			return fmt.Errorf("listener %d is %v", i, d)
		}
		if len(got) > len(all) || !slices.Equal(got, all[:len(got)]) {
			return fmt.Errorf("observer %s was told %v, want a beginning of %v", o.Name, got, all)
		}
		seen := d.Told + d.Failed
		if d.Busy {
			seen++
		}
		if seen != len(told[o.Name]) || seen+d.Missed < len(all) {
			return fmt.Errorf("observer %s was told %d steps, %d of them marks, and the report says %+v", o.Name, len(told[o.Name]), len(got), d)
		}
		if o.Quick && r.Ended.Before(r.deadline(r.Ended)) && (d.Busy || d.Missed > atEnd || len(got) != len(all)) {
			return fmt.Errorf("observer %s, which takes no time, was told %d of %d marks: %v", o.Name, len(got), len(all), d)
		}
	}
	return nil
}

// SaidLast is G11: the final log line was handed over before the first flusher began,
// unless the writer was still busy with a line; and no flusher's failure was logged.
func SaidLast(r *Run) error {
	if r.Setup.Writer == nil {
		return nil
	}
	lines, flushers := r.all(opLog), r.all(opFlush)
	said := slices.IndexFunc(lines, func(s *Span) bool { return strings.Contains(s.Text, "shutdown complete") })
	for _, s := range lines {
		if strings.Contains(s.Text, `"op":"flusher"`) {
			return fmt.Errorf("a flusher's failure was logged: %s", s.Text)
		}
	}
	if len(flushers) == 0 || r.rushed() || said >= 0 && lines[said].in < flushers[0].in {
		return nil
	}
	at := flushers[0].In
	busy := func(s *Span) bool { return r.out(s).After(s.In) && !s.In.After(at) && !r.out(s).Before(at) }
	if !slices.ContainsFunc(lines, busy) {
		return fmt.Errorf("%s began at %s, before the last line was handed to a writer that was free", flushers[0].Name, r.since(at))
	}
	return nil
}
