package lastcall

import (
	"context"
	"errors"
	"net"
	"time"
)

// Server is what can be stopped: a *grpc.Server and an *xds.GRPCServer are Servers as
// they are. The controller calls each method at most once, on a goroutine of its own,
// and Stop only after the goroutine that calls GracefulStop has come to the call. Both
// may block for as long as they like. A GracefulStop that panics or calls
// runtime.Goexit counts as not returned: what the server does then is unknown, and the
// drain waits for the timer.
//
// A Server that takes part in more than that is a [FullServer].
type Server interface {
	// GracefulStop refuses new work, and returns when the work in flight has finished.
	// It is called as the drain begins, or, if the server is registered After others,
	// when those have ended. If it panics, the timer ends the drain.
	GracefulStop()
	// Stop ends the work in flight. It is called after the timer, if GracefulStop has
	// not returned by then. If it does not return either, the report names it, and the
	// shutdown goes on.
	Stop()
}

// FullServer is a Server that takes part in every phase of a shutdown. Embed
// [Unimplemented] to get a method that does nothing for each phase that does not
// concern the server; a type that wraps a FullServer embeds that, and loses nothing.
//
// Unless a method says otherwise, the controller calls it at most once, on a goroutine
// of its own that nothing waits for without a bound, so it may block, panic or call
// runtime.Goexit; the report then names it. Methods may run at the same time.
type FullServer interface {
	Server

	// Check returns what is wrong with the server, or nil. New and Add call it on their
	// caller's goroutine, before anything else, and return its error. It must return at
	// once.
	Check() error

	// StopsLast reports whether the server outlives the others, as an admin server
	// does: it takes no part in settle, drain and force, and GracefulStop is called on
	// it when the flushers have run. New and Add call it on their caller's goroutine. It
	// must return at once.
	StopsLast() bool

	// Accepting returns a channel that is closed once the server accepts work. The
	// process is not ready before that. Nil says that the server cannot know, because
	// another goroutine serves it: then New asks for controller.ServedElsewhere. New and Add
	// call it on their caller's goroutine. It must return at once.
	Accepting() <-chan struct{}

	// Listeners returns the listeners that the server accepts from, as it was given them. New
	// and Add refuse two servers with the same one. They call it on their caller's goroutine.
	// It must return at once.
	Listeners() []net.Listener

	// Attach hands over the controller, in phase start. Serve is called only when Attach has
	// returned. If Attach panics or calls runtime.Goexit, that triggers the shutdown and fails
	// it. If the shutdown was triggered before Run, neither of the two is called. A server that
	// another goroutine serves may already have work in flight.
	Attach(Host)

	// Serve serves, and returns when the server has stopped. It is called in phase
	// start, unless the shutdown begins before that. If it returns before GracefulStop
	// is called, that triggers the shutdown, and an error fails it (exit code 3). What
	// it returns later is the end that was asked for. [ErrServedElsewhere] says that
	// another goroutine serves.
	Serve() error

	// Announce takes readiness down, and keeps serving. It is called in phase
	// announce. ctx ends with the time of the phase: at most a tenth of Total - Reserve.
	// An error is a failed step (exit code 6).
	Announce(ctx context.Context) error

	// Cancel gives the work that still runs a status, and then ends its context with
	// the cause. It is called in phase cancel, after the timer, and returns when those
	// statuses, and the answers that were given before, are on the wire; with nothing
	// in flight it returns at once. Stop follows. ctx ends when GracefulStop has returned, so
	// a Cancel that waits for ctx alone is never ahead of it. It also ends with the share of
	// the phase, a sixth of the time from the timer to the deadline: to give up then is not a
	// failure. ctx carries the Life and the values of Run's context.
	Cancel(ctx context.Context, cause error)

	// Cut closes the connections that survived Stop, and returns how many there were,
	// when they are closed. It is called in phase cut.
	Cut() (connections int)

	// InFlight returns the work in flight and what became of the rest. It is called when the
	// drain begins, every few seconds until the server has ended, when the timer fires and when
	// phase close begins; a call may begin while one before it still runs. The shutdown waits
	// at most 10 ms for an answer, and half a second for the last one, while closers run: the
	// report has what that call returned. If the end of this server's GracefulStop ends the
	// drain, the last call follows at once, on the same goroutine. A server that stops last is
	// asked once, when it has ended. Controller.InFlight asks at any time, for metrics.
	InFlight() []Work

	// Notes returns what an operator should know of the server's end that is not a
	// failure, in short sentences. It is called with the last InFlight.
	Notes() []string

	// IdlePeers looks at the connections that keep GracefulStop from returning. It returns true
	// if nothing is lost when they are closed: the server counts its work, none is in flight,
	// and since Announce none of these connections had any, complete or not. False says that
	// something may be lost, or that the server cannot tell. The texts name connections and
	// peers for report and log, some of them if there are many; with false there may be none.
	// It is called when the timer fires, before Cancel, unless the shutdown was forced or
	// GracefulStop has returned. The shutdown waits at most 10 ms for an answer; without one,
	// something may be lost.
	IdlePeers() (connections []string, idle bool)

	// LastArrival returns when work last came; probes and the like do not count.
	// Without any it is the instant in which the server was made. The zero time says that
	// the server cannot tell: then New refuses a budget with [Budget.Quiet]. It is called
	// by New, on the caller's goroutine, and in phase settle, each time it might have
	// been quiet for long enough; if it fails then, the phase lasts as long as without
	// Quiet.
	LastArrival() time.Time
}

// ErrServedElsewhere is what Serve of a [FullServer] returns if another goroutine
// serves the underlying server. The controller then waits for its GracefulStop alone.
var ErrServedElsewhere = errors.New("lastcall: another goroutine serves this server")

// Unimplemented has the methods of a [FullServer] that a server can do without; each
// does nothing. Embed it by value. It lacks GracefulStop, Stop, Serve and Accepting: what
// starts must be able to stop, and to tell when it has started.
type Unimplemented struct{}

// Check returns nil: nothing is wrong.
func (Unimplemented) Check() error { return nil }

// StopsLast returns false: the server takes part in the drain.
func (Unimplemented) StopsLast() bool { return false }

// Listeners knows of none.
func (Unimplemented) Listeners() []net.Listener { return nil }

// Attach ignores the controller.
func (Unimplemented) Attach(Host) {}

// Announce has nothing to take down.
func (Unimplemented) Announce(context.Context) error { return nil }

// Cancel has nothing to cancel.
func (Unimplemented) Cancel(context.Context, error) {}

// Cut has no connection to close.
func (Unimplemented) Cut() int { return 0 }

// InFlight knows of no work.
func (Unimplemented) InFlight() []Work { return nil }

// Notes returns none.
func (Unimplemented) Notes() []string { return nil }

// IdlePeers cannot tell.
func (Unimplemented) IdlePeers() ([]string, bool) { return nil, false }

// LastArrival returns the zero time: the server cannot tell.
func (Unimplemented) LastArrival() time.Time { return time.Time{} }

// Last returns a server that is s, and stops last.
func Last(s FullServer) FullServer {
	if l, ok := s.(last); ok {
		return l
	}
	return last{s}
}

type last struct{ FullServer }

// StopsLast returns true.
func (last) StopsLast() bool { return true }

// Unwrap returns the server inside: New recognises a server that is given twice.
func (l last) Unwrap() FullServer { return l.FullServer }
