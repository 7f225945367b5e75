package lastcall

import "time"

// Host is the controller as its servers see it. Its methods do not block and may be called by
// any number of goroutines, at any time. A *controller.Controller is one.
type Host interface {
	// Life returns what the server may pass on to its handlers.
	Life() Life
	// Ready reports whether traffic should come: every server accepts work, and no
	// trigger has come.
	Ready() bool
	// ProbesReady reports whether readiness probes should pass. It returns what Ready does,
	// unless controller.WithReadyUntilDrain lets probes pass for longer. It is false by the
	// time GracefulStop is called on any server.
	ProbesReady() bool
	// Phase returns what the controller is doing.
	Phase() Phase
	// Deadline returns the instant by which Run returns. It is known, and the second
	// result true, once the shutdown was triggered. A force, or a grace period that is
	// shortened, moves it to an earlier one.
	Deadline() (time.Time, bool)
	// Shutdown triggers the shutdown. The cause is kept if this is the first trigger.
	Shutdown(cause error)
}
