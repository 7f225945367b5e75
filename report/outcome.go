package report

import "fmt"

// Outcome says how the work in flight ended. The failures of steps are in the report's Steps.
// The zero Outcome says that nothing was shut down.
type Outcome uint8

const (
	_ Outcome = iota
	// OutcomeDrained: every server and worker ended before the timer, and nothing was cut off.
	OutcomeDrained
	// OutcomeCancelled: the rest ended after the timer, because it was cancelled or by
	// itself, and every GracefulStop had returned when Stop was called. Stop is called all
	// the same where G5 says so; it ended nothing.
	OutcomeCancelled
	// OutcomeStopped: a GracefulStop returned only after Stop was called, and no
	// connection was cut; or other code stopped a server before the timer, and some of the
	// server's work was cut off.
	OutcomeStopped
	// OutcomeCut: a Cut has closed connections.
	OutcomeCut
	// OutcomeAbandoned: some of the work had not ended when phase wait was over.
	OutcomeAbandoned
	// OutcomeIdle: the timer found only connections of idle peers that were slow to close,
	// and nothing was lost. Every server that was still up counts its work and says so
	// (lastcall.FullServer's IdlePeers), every worker had ended, and nothing forced the
	// shutdown before TERMINATED. The path is that of the timer: Stop was called.
	OutcomeIdle
)

// String returns the outcome in words, for example "drained"; for a value that
// is not an outcome it returns "Outcome(n)".
func (o Outcome) String() string {
	if o == 0 || o > OutcomeIdle {
		return fmt.Sprintf("Outcome(%d)", uint8(o))
	}
	return [...]string{
		OutcomeDrained: "drained", OutcomeCancelled: "cancelled", OutcomeStopped: "stopped", OutcomeCut: "cut",
		OutcomeAbandoned: "abandoned", OutcomeIdle: "expired: idle peers",
	}[o]
}

// MarshalText writes the name that String returns.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }
