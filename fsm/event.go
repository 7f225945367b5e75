package fsm

import "fmt"

// Event is what can happen to a server that shuts down. The zero Event is not
// an event.
type Event uint8

const (
	_ Event = iota
	// GracefulShutdownCalled: the shutdown begins, and its timer runs.
	GracefulShutdownCalled
	// Drained: everything in flight finished before the timer.
	Drained
	// Timeout: the timer fired first.
	Timeout
	// Stopped: the forceful stop is over.
	Stopped
)

// String returns the name as logs and reports show it, for example
// "graceful_shutdown"; for a value that is not an event it returns "Event(n)".
func (e Event) String() string {
	if !e.valid() {
		return fmt.Sprintf("Event(%d)", uint8(e))
	}
	return [...]string{GracefulShutdownCalled: "graceful_shutdown", Drained: "drained", Timeout: "timeout", Stopped: "stopped"}[e]
}

// valid reports whether e is one of the named events.
func (e Event) valid() bool { return e >= GracefulShutdownCalled && e <= Stopped }

// MarshalText writes the name that String returns. A value that is not an event is
// an error.
func (e Event) MarshalText() ([]byte, error) {
	if !e.valid() {
		return nil, fmt.Errorf("fsm: %v is not an event", e)
	}
	return []byte(e.String()), nil
}

// UnmarshalText reads what MarshalText wrote. Another text is an error that
// quotes it, and leaves e unchanged.
func (e *Event) UnmarshalText(text []byte) error {
	for known := GracefulShutdownCalled; known.valid(); known++ {
		if known.String() == string(text) {
			*e = known
			return nil
		}
	}
	return fmt.Errorf("fsm: %q is not an event", text)
}
