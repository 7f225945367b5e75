package fsm

import "fmt"

// State is one of the four states of a server's shutdown, as the gRPC guide on
// graceful shutdown names them. The zero State is not a state.
type State uint8

const (
	_ State = iota
	// Serving: the server takes new work.
	Serving
	// GracefulShutdown: new work is refused, work in flight finishes.
	GracefulShutdown
	// TimerExpired: what has not finished in time is ended by force.
	TimerExpired
	// Terminated: no server serves. It is the only terminal state.
	Terminated
)

// String returns the name as diagrams, logs and reports show it, for example
// "GRACEFUL_SHUTDOWN"; for a value that is not a state it returns "State(n)".
func (s State) String() string {
	if !s.valid() {
		return fmt.Sprintf("State(%d)", uint8(s))
	}
	return [...]string{Serving: "SERVING", GracefulShutdown: "GRACEFUL_SHUTDOWN", TimerExpired: "TIMER_EXPIRED", Terminated: "TERMINATED"}[s]
}

// Terminal reports whether a machine that has come here stays here.
func (s State) Terminal() bool { return s == Terminated }

// valid reports whether s is one of the named states.
func (s State) valid() bool { return s >= Serving && s <= Terminated }

// MarshalText writes the name that String returns. A value that is not a state is
// an error.
func (s State) MarshalText() ([]byte, error) {
	if !s.valid() {
		return nil, fmt.Errorf("fsm: %v is not a state", s)
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads what MarshalText wrote. Another text is an error that
// quotes it, and leaves s unchanged.
func (s *State) UnmarshalText(text []byte) error {
	for known := Serving; known.valid(); known++ {
		if known.String() == string(text) {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("fsm: %q is not a state", text)
}
