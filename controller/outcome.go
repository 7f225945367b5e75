package controller

import "fmt"

// Outcome says how the work in flight came to its end. Which failures there were
// beside that is in the report's steps. The zero Outcome is none: nothing was
// shut down.
type Outcome uint8

const (
	_ Outcome = iota
	// OutcomeDrained: every server and worker ended before the timer.
	OutcomeDrained
	// OutcomeCancelled: the rest ended after the timer, when it was cancelled or by
	// itself; no server had to be stopped.
	OutcomeCancelled
	// OutcomeStopped: the rest ended when its server was stopped.
	OutcomeStopped
	// OutcomeCut: the rest ended when its connections were cut.
	OutcomeCut
	// OutcomeAbandoned: some of it had not ended when phase wait was over.
	OutcomeAbandoned
)

// String returns the outcome in words, for example "drained"; for a value that
// is no outcome it returns "Outcome(n)".
func (o Outcome) String() string {
	switch o {
	case OutcomeDrained:
		return "drained"
	case OutcomeCancelled:
		return "cancelled"
	case OutcomeStopped:
		return "stopped"
	case OutcomeCut:
		return "cut"
	case OutcomeAbandoned:
		return "abandoned"
	default:
		return fmt.Sprintf("Outcome(%d)", uint8(o))
	}
}

// MarshalText writes the name that String returns.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Exit codes of [Report.ExitCode]. If more than one fits, the first in this order
// is taken: ExitNotRun, ExitFailed, ExitAbandoned, ExitForced, ExitStep, ExitOK.
// 2 is not used: it is what the Go runtime exits with after a panic and what
// shells and flag parsers use for wrong usage.
const (
	// ExitOK: drained, and every step fine.
	ExitOK = 0
	// ExitNotRun: the report is not that of a shutdown (the zero Report, a second
	// Run).
	ExitNotRun = 1
	// ExitFailed: a server or worker failed by itself.
	ExitFailed = 3
	// ExitAbandoned: a server or worker had not ended when phase wait was over.
	ExitAbandoned = 4
	// ExitForced: the timer fired before everything had ended, by itself or because
	// the shutdown was forced. A second signal that comes before an idle server had
	// the time to say that it is idle gives it, too.
	ExitForced = 5
	// ExitStep: drained, but a step failed, panicked or took longer than it may.
	ExitStep = 6
)
