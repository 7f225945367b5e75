package report

import (
	"errors"
	"fmt"
	"os"
)

// Causes of a shutdown, in [Report.Cause].
var (
	// ErrShutdown is the cause of a shutdown that was asked for with Shutdown(nil).
	ErrShutdown = errors.New("Shutdown was called, without a cause") //nolint:staticcheck // it begins with the name of a function
	// ErrForced is the cause of a shutdown that began with Force.
	ErrForced = errors.New("Force was called") //nolint:staticcheck // the same
)

// SignalError is the cause of a shutdown that began with a signal.
type SignalError struct{ Signal os.Signal }

func (e *SignalError) Error() string {
	if e.Signal == nil {
		return "signal: nil"
	}
	return "signal: " + e.Signal.String()
}

// ContextError is the cause of a shutdown that began because the context that Run
// was given had ended. Err is the cause of that.
type ContextError struct{ Err error }

func (e *ContextError) Error() string { return fmt.Sprintf("the context of Run ended: %v", e.Err) }

// Unwrap returns Err.
func (e *ContextError) Unwrap() error { return e.Err }

// EndedError is the cause of a shutdown that began because a server's Serve or
// Attach, or a worker, ended by itself. Op tells which.
type EndedError struct {
	Op     Op
	Name   string
	Result Result
	Err    error  // what it returned, or the panic's value if that is an error
	Text   string // Err in words, or the value of the panic
}

func (e *EndedError) Error() string {
	text := fmt.Sprintf("%s %q ended by itself", e.Op, e.Name)
	if e.Result != ResultOK && e.Result != ResultFailed {
		text += ": " + e.Result.String()
	}
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Unwrap returns Err.
func (e *EndedError) Unwrap() error { return e.Err }
