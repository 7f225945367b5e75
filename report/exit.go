package report

import "slices"

// Exit codes of [Report.ExitCode]. If more than one fits, the first in this order
// is taken: ExitNotRun, ExitFailed, ExitAbandoned, ExitInterrupted, ExitStep, ExitOK.
// 2 is not used: it is what the Go runtime exits with after a panic and what
// shells and flag parsers use for wrong usage.
const (
	// ExitOK: drained, or only idle peers were left (OutcomeIdle), and every step fine.
	ExitOK = 0
	// ExitNotRun: the report is not that of a shutdown (the zero Report, a second
	// Run).
	ExitNotRun = 1
	// ExitFailed: a server or worker failed by itself.
	ExitFailed = 3
	// ExitAbandoned: a server or worker had not ended when phase wait was over.
	ExitAbandoned = 4
	// ExitInterrupted: the timer fired before everything had ended, by itself or because
	// the shutdown was forced, and work may be lost; or other code has stopped a server, and
	// work was cut off. A second signal also causes it if it comes before an idle server
	// could tell that it is idle.
	ExitInterrupted = 5
	// ExitStep: as ExitOK, but a step failed, panicked or took longer than it may. A
	// question to a server (InFlight, Notes, IdlePeers, LastArrival) that was not answered
	// in time is in the report, and does not count.
	ExitStep = 6
)

// ExitCode returns the code that the process should exit with: one of the Exit
// constants, by their order of precedence.
func (r Report) ExitCode() int {
	switch {
	case r.NotRun != nil || r.Outcome == 0:
		return ExitNotRun
	case r.Failed:
		return ExitFailed
	case r.Outcome == OutcomeAbandoned:
		return ExitAbandoned
	case r.Outcome != OutcomeDrained && r.Outcome != OutcomeIdle:
		return ExitInterrupted
	case slices.ContainsFunc(r.Steps, Step.Counts):
		return ExitStep
	default:
		return ExitOK
	}
}
