// Package report tells what happened in a shutdown: as values, as text, as JSON, and as
// an exit code.
//
// Observers are given a [Step] for each thing as it happens. A [Report] holds those of
// one shutdown, why it began, what ended the work in flight, and what did not return:
//
//	got := ctl.Run(ctx)
//	fmt.Print(got)             // a summary of a few lines, for people
//	json.NewEncoder(w).Encode(got)
//	os.Exit(got.ExitCode())
//
// Everything here is a value: nothing blocks, and nothing calls user code.
package report

import (
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"

	"github.com/lastcall-go/lastcall/fsm"
)

// Report says how a shutdown went. It is a value: changing one that Run or Wait
// has returned changes no other. Its methods call no user code: the texts of errors were
// taken while the shutdown ran. The zero Report says that nothing was shut down.
type Report struct {
	Cause     error   // the cause of the first trigger, for errors.Is and errors.As
	CauseText string  // Cause in words
	Outcome   Outcome // how the work in flight ended
	Forced    bool    // a second signal, or Force
	// Suspended is not 0 if the process did not run for a while after the trigger
	// (SIGSTOP, a frozen virtual machine): by how much it woke later than its timer. Time
	// in which the machine's monotonic clock stood still, as in a suspend of Linux, does
	// not count.
	Suspended  time.Duration
	Settle     SettleEnd   // why phase settle ended, or was left out
	Path       []fsm.State // the states taken, the first one included
	Steps      []Step      // everything that happened, in the order in which it began
	Deliveries []Delivery  // what each observer, the logger included, was told

	// Work is what InFlight of each server returned when all had ended, in the order of
	// registration, and after that what the servers that stop last returned when they
	// had ended. A server whose InFlight failed or took too long has none; that call is
	// among the Failures.
	Work []lastcall.Work
	// Stacks is where goroutines stood, as far as that is known: of calls that timed out, of
	// work that was cancelled, cut or abandoned, and of observers that are busy. Of each
	// name it has what was seen last.
	Stacks []Stack
	Notes  []Note // what Notes of each server returned, in the same order
	Idle   []Note // the connections of idle peers that the timer found, of each server that had only those

	Budget    lastcall.Budget
	Begun     time.Time // when Run was called
	Triggered time.Time // the instant from which the budget counts
	Timer     time.Time // when the timer fired, or would have; a force has brought it forward
	Deadline  time.Time // when Run had to return; a force has brought it forward, a suspension may have put it off
	Ended     time.Time // when the report was made, right before Run returned

	Failed bool  // a server or worker failed by itself, or Fail began the shutdown
	NotRun error // why this is not the report of a shutdown; nil if it is one
}

// Note is what an operator should know of a server's end that is not a failure.
type Note struct {
	Server string `json:"server"` // the name with which the server was registered
	Text   string `json:"text"`
}

// Clone returns a copy that shares nothing that can be changed.
func (r Report) Clone() Report {
	r.Path, r.Steps, r.Deliveries = slices.Clone(r.Path), slices.Clone(r.Steps), slices.Clone(r.Deliveries)
	r.Work, r.Notes, r.Idle, r.Stacks = slices.Clone(r.Work), slices.Clone(r.Notes), slices.Clone(r.Idle), slices.Clone(r.Stacks)
	return r
}

// Took returns how long after the trigger Run returned.
func (r Report) Took() time.Duration { return r.Ended.Sub(r.Triggered) }

// Failures returns the calls that did not end well, in the order in which they
// began.
func (r Report) Failures() []Step {
	return choose(r.Steps, Step.Failed)
}

// Abandoned returns the calls that had not returned when Run did. Each of them
// holds one goroutine. Observers and the logger are in Deliveries: those that are
// Busy hold one as well.
func (r Report) Abandoned() []Step {
	return choose(r.Steps, func(s Step) bool { return s.Abandoned })
}

func choose(steps []Step, wanted func(Step) bool) (chosen []Step) {
	for _, s := range steps {
		if wanted(s) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// Err returns nil if and only if ExitCode is ExitOK. Otherwise it returns an error that says in
// one line what went wrong: the outcome, what became of the work that was lost, and each failed
// step. The error wraps the errors of all failed steps, and the cause if
// that is a failure. If Run did not shut anything down, Err returns NotRun: controller.ErrRan
// for a second Run.
func (r Report) Err() error {
	if r.NotRun != nil {
		return r.NotRun
	}
	if r.ExitCode() == ExitOK {
		return nil
	}
	e := &reportError{text: r.headline() + r.lost()}
	if r.Failed {
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

// reportError is a report as an error; its text calls no user code.
type reportError struct {
	text    string
	wrapped []error
}

func (e *reportError) Error() string   { return e.text }
func (e *reportError) Unwrap() []error { return e.wrapped }
