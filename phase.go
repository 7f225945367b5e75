package lastcall

import "fmt"

// Phase is a part of a state: what the controller is doing. Phases come in the
// order of their values; those that have nothing to do are left out. The zero
// Phase is not a phase.
type Phase uint8

const (
	_ Phase = iota
	// PhaseStart: servers and workers start. Not ready yet.
	PhaseStart
	// PhaseServe: ready.
	PhaseServe
	// PhaseAnnounce: readiness goes down, and workers are told to claim no new
	// work. At most a tenth of Total - Reserve.
	PhaseAnnounce
	// PhaseSettle: still serving, while the network learns that this server
	// leaves. Left out if Settle is 0, if the shutdown was forced or asked for
	// with Ctrl-C at a terminal, if the server was never ready, or if no server
	// serves any more.
	PhaseSettle
	// PhaseDrain: new work is refused, work in flight finishes.
	PhaseDrain
	// PhaseCancel: the work that still runs is cancelled, with a cause.
	PhaseCancel
	// PhaseStop: Stop runs on every server whose GracefulStop has not returned.
	PhaseStop
	// PhaseCut: connections that survived Stop are closed.
	PhaseCut
	// PhaseWait: for the handlers and workers that were cancelled.
	PhaseWait
	// PhaseClose: dependencies are closed, the last registered first.
	PhaseClose
	// PhaseFlush: the last log line is written, then the flushers run.
	PhaseFlush
)

// String returns the name as logs and reports show it, for example "drain"; for
// a value that is not a phase it returns "Phase(n)".
func (p Phase) String() string {
	if p == 0 || p > PhaseFlush {
		return fmt.Sprintf("Phase(%d)", uint8(p))
	}
	return [...]string{
		PhaseStart: "start", PhaseServe: "serve", PhaseAnnounce: "announce", PhaseSettle: "settle", PhaseDrain: "drain",
		PhaseCancel: "cancel", PhaseStop: "stop", PhaseCut: "cut", PhaseWait: "wait",
		PhaseClose: "close", PhaseFlush: "flush",
	}[p]
}

// MarshalText writes the name that String returns.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText wrote. Another text is an error that quotes it, and
// leaves p unchanged.
func (p *Phase) UnmarshalText(text []byte) error {
	for known := PhaseStart; known <= PhaseFlush; known++ {
		if known.String() == string(text) {
			*p = known
			return nil
		}
	}
	return fmt.Errorf("lastcall: %q is not a phase", text)
}
