package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
)

// UnmarshalJSON reads what MarshalJSON wrote; a report without a version is one of
// version 1. Errors become their texts, and the rows of transitions have no label, call
// and reason, which JSON does not carry. Keys that it does not know it leaves aside. A
// newer version, and a word that is none of the report's, are errors that quote it; then
// r stays as it was.
func (r *Report) UnmarshalJSON(text []byte) error {
	var in jsonReport
	if err := json.Unmarshal(text, &in); err != nil {
		return fmt.Errorf("report: %w", where(text, err))
	}
	if err := checkVersion(in.Version); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	out, err := in.report()
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for i, j := range in.Steps {
		s, err := j.step()
		if err != nil {
			return fmt.Errorf("report: step %d: %w", i+1, err)
		}
		out.Steps = append(out.Steps, s)
	}
	rows(out.Steps)
	*r = out
	return nil
}

// checkVersion returns an error for a version that is not to be read.
func checkVersion(version int) error {
	switch {
	case version > Version:
		return fmt.Errorf("version %d is not one that this release reads, which is %d: a newer release wrote it", version, Version)
	case version < 0:
		return fmt.Errorf("version %d is not a version", version)
	default:
		return nil
	}
}

// where returns an error of json.Unmarshal with the number of the step that has it, as far as
// it is one of a step.
func where(text []byte, err error) error {
	var parts struct{ Steps []json.RawMessage }
	_ = json.Unmarshal(text, &parts)
	for i, part := range parts.Steps {
		if wrong := json.Unmarshal(part, new(jsonStep)); wrong != nil {
			return fmt.Errorf("step %d: %w", i+1, wrong)
		}
	}
	return err
}

// report returns the report without its steps.
func (in jsonReport) report() (Report, error) {
	out := Report{
		CauseText: in.Cause, Forced: in.Forced, Suspended: seconds(in.Suspended), Settle: in.Settle, Path: in.Path,
		Budget: lastcall.Budget{Total: seconds(in.Budget.Total), Settle: seconds(in.Budget.Settle), Quiet: seconds(in.Budget.Quiet), MinSettle: seconds(in.Budget.Least), Reserve: seconds(in.Budget.Reserve)},
		Begun:  in.Begun, Triggered: in.Triggered, Timer: in.Timer, Deadline: in.Deadline, Ended: in.Ended,
		Failed: in.ExitCode == ExitFailed,
	}
	if in.Cause != "" {
		out.Cause = errors.New(in.Cause)
	}
	if in.Outcome != "none" {
		o, ok := named(in.Outcome, Outcome.String)
		if !ok {
			return out, fmt.Errorf("%q is not an outcome", in.Outcome)
		}
		out.Outcome = o
	}
	if in.ExitCode == ExitNotRun && out.Outcome == 0 && in.Error != (Report{}).headline() && in.Error != out.headline() {
		out.NotRun = errors.New(in.Error)
	}
	if in.Timer.IsZero() && !in.Deadline.IsZero() { // a report of before there was this key
		out.Timer = in.Deadline.Add(-out.Budget.Reserve)
	}
	for _, w := range in.Work {
		out.Work = append(out.Work, w.work())
	}
	out.Notes, out.Idle, out.Stacks, out.Deliveries = in.Notes, in.Idle, in.Stacks, in.Deliveries
	return out, nil
}

func (w jsonWork) work() lastcall.Work {
	out := lastcall.Work{
		Server: w.Server, Name: w.Name, Kind: w.Kind, Running: w.Running, Peer: w.Peer, Path: w.Path,
		Served: w.Served, Before: w.Before, Arrived: w.Arrived, Late: w.Late, Completed: w.Completed, Cancelled: w.Cancelled, Cut: w.Cut,
	}
	if at, err := time.Parse(time.RFC3339Nano, w.Oldest); err == nil { // one that a server made up may not be RFC 3339
		out.Oldest = at
	}
	n := 0
	for _, e := range w.Slowest {
		began, err := time.Parse(time.RFC3339Nano, e.Began)
		ended, err2 := time.Parse(time.RFC3339Nano, e.Ended)
		if n < len(out.Slowest) && err == nil && err2 == nil {
			out.Slowest[n] = lastcall.EndedWork{Began: began, Ended: ended, Fate: e.Fate}
			n++
		}
	}
	return out
}

func (j jsonStep) step() (Step, error) {
	s := Step{
		Kind: j.Kind, Name: j.Name, Op: j.Op, State: j.State, Phase: j.Phase, Start: j.Start,
		Elapsed: seconds(j.Elapsed), Remaining: seconds(j.Remaining), Duration: seconds(j.Duration),
		Text: j.Error + j.Text, Stack: j.Stack, Abandoned: j.Abandoned, Stacks: j.Stacks,
	}
	if j.Error != "" {
		s.Err = errors.New(j.Error)
	}
	if j.Event != nil {
		s.Transition = fsm.Transition{Event: *j.Event, To: j.State}
	}
	if j.Result != "" && j.Result != Result(0).String() {
		res, ok := named(j.Result, Result.String)
		if !ok {
			return s, fmt.Errorf("%q is not a result", j.Result)
		}
		s.Result = res
	}
	return s, nil
}

// rows gives transitions the state that they led out of.
func rows(steps []Step) {
	from := fsm.Serving
	for i := range steps {
		if s := &steps[i]; s.Kind == KindTransition {
			s.Transition.From, from = from, s.State
		}
	}
}

// seconds returns a duration that is a number of seconds, to the nanosecond. What is too
// long for a Duration becomes the longest.
func seconds(f float64) time.Duration {
	ns := math.Round(f * float64(time.Second))
	switch {
	case ns >= math.MaxInt64:
		return math.MaxInt64
	case ns <= math.MinInt64:
		return math.MinInt64
	}
	return time.Duration(ns)
}

// named returns the value that has this name, by the method that gives the names.
func named[T ~uint8](name string, names func(T) string) (T, bool) {
	for v := T(1); !strings.HasSuffix(names(v), fmt.Sprintf("(%d)", uint8(v))); v++ {
		if names(v) == name {
			return v, true
		}
	}
	return 0, false
}

// UnmarshalText reads what MarshalText wrote. Another text is an error that quotes it, and
// leaves k unchanged.
func (k *Kind) UnmarshalText(text []byte) error {
	v, ok := named(string(text), Kind.String)
	if !ok {
		return fmt.Errorf("%q is not a kind of step", text)
	}
	*k = v
	return nil
}
