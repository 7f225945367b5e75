package lastcall

import "errors"

// Causes with which contexts end in a shutdown; [context.Cause] returns them.
var (
	// ErrTimer is the cause with which work ends that still runs when the timer fires.
	ErrTimer = errors.New("lastcall: the shutdown timer fired")
	// ErrDraining is the cause with which work ends as the drain begins because it does not
	// end by itself: streams that go on for ever, long polls.
	ErrDraining = errors.New("lastcall: the server drains, and work of this kind does not end by itself")
	// ErrClaim is the cause with which a worker's claim context ends.
	ErrClaim = errors.New("lastcall: shutting down, claim no new work")
	// ErrStepTime is the cause with which the context of an announcer, closer or
	// flusher ends when its share of the time is over.
	ErrStepTime = errors.New("lastcall: the step's share of the time is over")
)

// Failed marks an error that a worker returns after it was told to end as a failure of the
// worker. Without the mark it counts as the way in which the worker has ended. For a nil
// error it returns nil.
func Failed(err error) error {
	if err == nil {
		return nil
	}
	return &FailedError{Err: err}
}

// FailedError is what [Failed] returns. It may be wrapped.
type FailedError struct{ Err error }

// Error returns the text of Err.
func (e *FailedError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *FailedError) Unwrap() error { return e.Err }
