package controller

import (
	"context"
	"errors"
	"github.com/lastcall-go/lastcall"
)

// Server is what can be stopped: a *grpc.Server and an *xds.GRPCServer are
// Servers as they are. The controller calls each method at most once, on a
// goroutine of its own, and Stop only after it has called GracefulStop. Both may
// block for as long as they like. A GracefulStop that panics or calls
// runtime.Goexit has not returned: what the server does then is unknown, and the
// drain waits for the timer.
//
// What a server can do beyond that it says by implementing one of the interfaces
// below, or with a [ServerOption].
type Server interface {
	// GracefulStop refuses new work, and returns when the work in flight has
	// finished.
	GracefulStop()
	// Stop ends the work in flight.
	Stop()
}

// Acceptor is a Server that is started by the controller: Serve is
// called in phase start and returns when the server has stopped. If it returns
// before GracefulStop was called, that is a trigger, and with an error it is a
// failure of the server. What it returns afterwards is the end that was asked
// for. [ErrServedElsewhere] says that somebody else serves.
type Acceptor interface{ Serve() error }

// ErrServedElsewhere is for an [Acceptor] that has nothing to serve because
// somebody else called the underlying server's Serve. The controller then treats
// it as a server that has no Serve.
var ErrServedElsewhere = errors.New("controller: somebody else serves this server")

// Checker is a Server that is asked by [WithServer] whether it can work. An
// error becomes one of New or Add. Check must return at once.
type Checker interface{ Check() error }

// Attacher is a Server that is given the Life of the controller in phase
// start, before Serve is called.
type Attacher interface{ Attach(lastcall.Life) }

// Announcer is a Server that is told in phase announce that it is going
// to leave. It takes its readiness down and goes on serving. The context ends
// with the time of the phase.
type Announcer interface{ Announce(context.Context) error }

// Canceler is a Server that is told in phase cancel to end the work that
// still runs: to give it a status, and then to end its context with the cause.
// Cancel returns when those statuses, and the answers that were given before, have
// gone out, which may be long before the work has ended; or when ctx ends, which it
// does with the phase's share of the time. To give up then is no failure. The
// context carries the [Life] and the values of Run's context. The phase is over when every
// Cancel has returned, or with its share; one that has not returned when phase
// close begins has taken too long.
type Canceler interface {
	Cancel(ctx context.Context, cause error)
}

// Cutter is a Server that is told in phase cut to close the connections that
// survived Stop. Cut returns when they are closed, and how many there were.
type Cutter interface{ Cut() (connections int) }

// ServerOption says more about a server that is given to [WithServer].
type ServerOption func(*serverConfig)

// serverConfig is a server as it was registered.
type serverConfig struct {
	name    string
	server  lastcall.Server
	serve   func() error
	behind  []string
	last    bool
	noQuiet string // why Budget.Quiet cannot work with it; "": it can
	errs    []error
}

// Serving says how the server is started, where that is a closure:
//
//	controller.WithServer("grpc", srv, controller.Serving(func() error { return srv.Serve(lis) }))
//
// The function has the contract of [Acceptor], and takes precedence over it.
func Serving(serve func() error) ServerOption {
	return func(s *serverConfig) {
		if serve == nil {
			s.errs = append(s.errs, errors.New("Serving was given a nil function"))
			return
		}
		s.serve = serve
	}
}

// Behind says that other servers send work to this one: its GracefulStop is
// called only when they have ended (or when the timer fires). A gateway in front
// of the gRPC server that it calls is the usual case:
//
//	controller.WithServer("gateway", gateway),
//	controller.WithServer("grpc", srv, controller.Behind("gateway")),
//
// The names must be those of servers given to the same or to an earlier call of
// New and Add.
func Behind(names ...string) ServerOption {
	return func(s *serverConfig) {
		if len(names) == 0 {
			s.errs = append(s.errs, errors.New("Behind was given no name"))
		}
		s.behind = append(s.behind, names...)
	}
}

// Last says that a server outlives the others: an admin server with probes,
// metrics and profiles, which is wanted while the rest shuts down. It starts with
// them and has no part in settle, drain and force. When the flushers have run,
// GracefulStop is called on it, and Stop after 100 ms (or half of the time that is
// left, if that is less). A second after that Run waits for neither, so that a request
// that does not end does not hold the exit up. It cannot be Behind another server,
// nor another one Behind it.
func Last() ServerOption { return func(s *serverConfig) { s.last = true } }
