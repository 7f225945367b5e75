package report

import (
	"github.com/lastcall-go/lastcall"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/fsm"
)

// Report says how a shutdown went. It is a value: changing one that Run or Wait
// has returned changes no other. Its methods call no foreign code; texts of
// foreign errors were taken while the shutdown ran. The zero Report is that of no
// shutdown.
type Report struct {
	Cause     error       // the cause of the first trigger, for errors.Is and errors.As
	CauseText string      // Cause in words
	Outcome   Outcome     // how the work in flight ended
	Forced    bool        // a second signal, or Force
	Settle    SettleEnd   // why phase settle ended, or was left out
	Path      []fsm.State // the states taken, the first one included
	Steps     []Step      // everything that happened, in the order in which it began
	Listeners []Delivery  // what each observer, and the logger, was told

	// Work is what each [Inspector] returned in phase close, in the order of
	// registration; behind them those that are [Last], with what they returned when they
	// had ended. A server whose InFlight failed or took too long then has none; that
	// call is among the Failures.
	Work  []lastcall.Work
	Notes []Note // what each [Noter] returned, in the same order

	Budget    lastcall.Budget
	Begun     time.Time // when Run was called
	Triggered time.Time // the instant from which the budget counts
	Deadline  time.Time // when Run had to return; a force has brought it forward
	Ended     time.Time // when the report was made, right before Run returned

	failed bool // a server or worker failed by itself
	err    error
}

// Note is what an operator should know of a server's end and what is no failure.
type Note struct {
	Server string // the name with which the server was registered
	Text   string
}

// report returns the Report as things are now.
func (r *run) report() Report {
	trigger := r.trigger.Load()
	report := Report{
		Cause: trigger.cause, CauseText: r.record.causeText,
		Outcome: r.outcome, Forced: r.forced, Settle: r.settled,
		Path: slices.Clone(r.record.path), Listeners: slices.Clone(r.record.deliveries),
		Budget: r.config.budget, Begun: r.begun, Triggered: r.at, Deadline: r.deadline, Ended: time.Now(),
		failed: r.failed, err: r.broken,
	}
	for _, s := range r.record.steps {
		report.Steps = append(report.Steps, *s)
	}
	for _, s := range slices.Concat(r.servers, r.lasts) {
		report.Work = append(report.Work, s.work...)
		for _, text := range s.notes {
			report.Notes = append(report.Notes, Note{Server: s.name, Text: text})
		}
	}
	return report
}

func (r Report) clone() Report {
	r.Path, r.Steps, r.Listeners = slices.Clone(r.Path), slices.Clone(r.Steps), slices.Clone(r.Listeners)
	r.Work, r.Notes = slices.Clone(r.Work), slices.Clone(r.Notes)
	return r
}

// Took returns how long after the trigger Run returned.
func (r Report) Took() time.Duration { return r.Ended.Sub(r.Triggered) }

// Failures returns the calls that did not end well, in the order in which they
// began.
func (r Report) Failures() []Step {
	return slices.DeleteFunc(slices.Clone(r.Steps), func(s Step) bool { return !s.Failed() })
}

// Abandoned returns the calls that had not returned when Run did. Each of them
// holds one goroutine. Observers and the logger are in Listeners: those that are
// Busy hold one as well.
func (r Report) Abandoned() []Step {
	return slices.DeleteFunc(slices.Clone(r.Steps), func(s Step) bool { return !s.Abandoned })
}

// ExitCode returns the code that the process should exit with: one of the Exit
// constants, by their order of precedence.
func (r Report) ExitCode() int {
	switch {
	case r.err != nil || r.Outcome == 0:
		return ExitNotRun
	case r.failed:
		return ExitFailed
	case r.Outcome == OutcomeAbandoned:
		return ExitAbandoned
	case r.Outcome != OutcomeDrained:
		return ExitForced
	case slices.ContainsFunc(r.Steps, Step.counts):
		return ExitStep
	default:
		return ExitOK
	}
}

// Err returns nil if and only if ExitCode is ExitOK. Otherwise it returns an error
// that says in one line what went wrong and that wraps the errors of all failed
// steps, and the cause if a server or worker failed by itself. For a second Run
// it is [ErrRan].
func (r Report) Err() error {
	if r.err != nil {
		return r.err
	}
	if r.ExitCode() == ExitOK {
		return nil
	}
	e := &reportError{text: r.headline()}
	if r.failed {
		e.wrapped = append(e.wrapped, r.Cause)
	}
	for _, s := range r.Failures() {
		e.text += "; " + s.String()
		if s.Err != nil {
			e.wrapped = append(e.wrapped, s.Err)
		}
	}
	return e
}

// reportError is a report as an error; its text calls no foreign method.
type reportError struct {
	text    string
	wrapped []error
}

func (e *reportError) Error() string   { return e.text }
func (e *reportError) Unwrap() []error { return e.wrapped }
