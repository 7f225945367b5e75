package controller

import (
	"context"
	"errors"
	"fmt"
	"github.com/lastcall-go/lastcall/report"
	"os"
	"slices"
	"syscall"
)

// Causes and sentinels.
var (
	// ErrShutdown is the cause of a shutdown that was asked for with
	// Shutdown(nil).
	ErrShutdown = errors.New("Shutdown was called, without a cause")
	// ErrClaim is the cause with which a worker's claim context ends.
	ErrClaim = errors.New("controller: shutting down, claim no new work")
	// ErrForced is the cause of a shutdown that began with Force.
	ErrForced = errors.New("Force was called")
	// ErrTimer is the cause with which work ends that still ran when the timer
	// fired.
	ErrTimer = errors.New("controller: the shutdown timer fired")
	// ErrStepTime is the cause with which the context of an announcer, closer or
	// flusher ends when its share of the time is over.
	ErrStepTime = errors.New("controller: the step's share of the time is over")
	// ErrRan is the answer to a second Run, and to an Add after the first.
	ErrRan = errors.New("controller: Run was called before, and a Controller runs once")
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
	Op     report.Op
	Name   string
	Result report.Result
	Err    error  // what it returned, or the panic's value if that is an error
	Text   string // Err in words, or the value of the panic
}

func (e *EndedError) Error() string {
	text := fmt.Sprintf("%s %q ended by itself", e.Op, e.Name)
	if e.Result != report.ResultOK && e.Result != report.ResultFailed {
		text += ": " + e.Result.String()
	}
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Unwrap returns Err.
func (e *EndedError) Unwrap() error { return e.Err }

// ownText returns the text of a cause if no foreign method has to be called for
// it.
func ownText(cause error) (text string, own bool) {
	switch cause := cause.(type) { //nolint:errorlint // what is wrapped would not do: the wrapper's method is foreign
	case *ContextError:
		if cause != nil && (cause.Err == context.Canceled || cause.Err == context.DeadlineExceeded) { //nolint:errorlint // the same
			return cause.Error(), true
		}
	case *EndedError:
		if cause != nil {
			return cause.Error(), true
		}
	case *SignalError:
		if cause != nil {
			if _, own := cause.Signal.(syscall.Signal); own {
				return cause.Error(), true
			}
		}
	}
	if slices.Contains([]error{ErrShutdown, ErrForced}, cause) {
		return cause.Error(), true
	}
	return "", false
}

// describeCause turns the cause into text and tells it. For a cause that is not
// the controller's own that calls a foreign method, for which nothing waits.
func (r *run) describeCause() {
	cause := r.trigger.Load().cause
	if text, own := ownText(cause); own {
		r.tellCause(text)
		return
	}
	r.record.causeText = "(its Error method has not returned)"
	c := r.begin(report.OpText, "cause", func() error { return cause }, func(res result) { r.tellCause(res.text) })
	c.quiet = true
}

// tellCause logs why the server shuts down.
func (r *run) tellCause(text string) {
	r.record.causeText = text
	t, budget, timer := *r.trigger.Load(), r.config.budget, r.timerAt
	r.record.say(func(l *logger) { l.cause(t.cause, t.failed, text, budget, timer) })
}
