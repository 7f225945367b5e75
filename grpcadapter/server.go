// Package grpcadapter makes a gRPC server a [lastcall.FullServer]: an object that serves,
// takes its health down when the shutdown is announced, tells handlers when the drain
// begins, gives RPCs that the timer interrupts a status, and counts them by method.
//
//	g := grpcadapter.New(lis)
//	srv := g.NewServer()
//	pb.RegisterOrdersServer(srv, orders)
//	ctl, err := controller.New(budget, controller.WithServer("grpc", g))
//
// A server with a constructor of its own is built with [Server.ServerOptions] and given to
// [Server.Adopt]. One that was built without them goes in with [Use]. A *grpc.Server is
// also a lastcall.Server as it is: it is then drained and stopped, and nothing more.
package grpcadapter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/inflight"
	"github.com/lastcall-go/lastcall/internal/stacks"
)

// GRPCServer is what the adapter needs of a gRPC server. *grpc.Server and *xds.GRPCServer
// implement it.
type GRPCServer interface {
	grpc.ServiceRegistrar
	Serve(net.Listener) error
	GracefulStop()
	Stop()
	GetServiceInfo() map[string]grpc.ServiceInfo
}

// Server is a gRPC server as a [lastcall.FullServer], whose methods the controller calls.
// A user calls New and NewServer (or ServerOptions and Adopt, or Use) and perhaps Health.
// All methods may be called concurrently.
type Server struct {
	lastcall.Unimplemented
	settings
	mistakes
	listener *Listener // nil: another goroutine serves, or an http.Server does
	tracker  *inflight.Tracker[*rpc]
	methods  atomic.Pointer[map[string]*method] // see freeze
	other    *method                            // stands for methods that the server does not have
	telling  sync.Cond                          // see awaitTold
	foreign  *foreign.Calls                     // the listener's, if there is one
	sawHTTP  atomic.Bool                        // an RPC came through ServeHTTP of the gRPC server itself
	door     door                               // where RPCs come in over HTTP
	fronts   sync.Map                           // the http.Servers that followFront knows
	built    atomic.Pointer[built]              // nil: there is no gRPC server yet

	unknownHealth atomic.Bool   // see findHealth
	complained    atomic.Bool   // Announce has returned errOverHTTP
	draining      atomic.Bool   // GracefulStop was called
	skipped       atomic.Bool   // see skipGoAways
	lateness      atomic.Int64  // from the last RPC's end to that of GracefulStop, in nanoseconds
	begun         chan struct{} // closed right before grpc's GracefulStop is called
	stopped       chan struct{} // closed when GracefulStop has returned
	forced        chan struct{} // closed by Cancel and Stop
	force         sync.Once
	shut          sync.Once     // Shutdown of the health service
	stopping      chan struct{} // closed by Stop
	halt          sync.Once
	halted        chan struct{} // closed when grpc's Stop has returned
	haltedOnce    sync.Once
	left          sync.Once // see leaveRoom

	tracked atomic.Bool // ServerOptions was called: the gRPC server has the adapter's interceptors
	served  atomic.Bool
	ending  sync.Mutex // see endlessStream; never held while user code runs
}

// New returns a Server that serves on the listener, through [WrapListener], and closes it. Call
// [Server.NewServer], or ServerOptions and Adopt, before controller.New. To set options of the
// listener, give New what WrapListener returned. A nil listener without [OverHTTP] and a wrong
// option are errors from controller.New. New starts nothing.
func New(lis net.Listener, opts ...Option) *Server {
	s := newServer(opts)
	if !foreign.IsNil(lis) || !s.overHTTP {
		WithListener(lis)(s)
	} else if s.ready == nil { // its http.Server accepts
		ready := make(chan struct{})
		close(ready)
		s.ready = ready
	}
	return s
}

// Use returns a Server for a gRPC server that was built without [Server.ServerOptions]. With
// [WithListener] the controller serves it. Without, another goroutine does: then [WithReady] or
// controller.ServedElsewhere has to tell the controller when it accepts work, and the
// controller learns of its end only through GracefulStop.
//
// The gRPC server is drained and stopped within the deadline like any other, but without the
// adapter's interceptors. So its handlers have no lastcall.Draining, RPCs that are cancelled
// get no status, endless streams do not end before the timer, the report has no number of RPCs,
// and lastcall.Budget.Quiet cannot be used. Check and Watch of a health service given with
// [WithHealth] say NOT_SERVING at the same time, from the announcement on: clients with health
// checking that have no other connection lose the settle. A nil server, and options that need
// the interceptors, are errors from controller.New.
func Use(srv GRPCServer, opts ...Option) *Server {
	s := newServer(nil)
	if foreign.IsNil(srv) {
		s.fail("Use was given a nil server")
	} else {
		s.built.Store(&built{GRPCServer: srv, room: enterRoom(srv)})
	}
	s.apply(opts)
	s.used = true
	return s
}

func newServer(opts []Option) *Server {
	s := &Server{
		settings: settings{endless: endlessMethods()},
		tracker:  inflight.New((*rpc).label),
		door:     door{Tracker: inflight.New(func(*visit) inflight.Label { return inflight.Label{} })},
		telling:  sync.Cond{L: new(sync.Mutex)},
		foreign:  new(foreign.Calls),
		begun:    make(chan struct{}),
		stopped:  make(chan struct{}),
		forced:   make(chan struct{}),
		stopping: make(chan struct{}),
		halted:   make(chan struct{}),
	}
	s.other = &method{server: s, label: inflight.Label{Name: otherMethods, Kind: lastcall.WorkBidiStream}, marks: stacks.Of(context.Background(), otherMethods)}
	s.apply(opts)
	return s
}

func (s *Server) apply(opts []Option) {
	for _, opt := range opts {
		if opt == nil {
			s.fail("an option is nil")
			continue
		}
		opt(s)
	}
}

var errZero = errors.New("grpcadapter: a Server that was not made by New or Use")

// isZero reports whether the Server was not made by New or Use. Its methods then do
// nothing.
func (s *Server) isZero() bool { return s == nil || s.tracker == nil }

// Check returns an error if the Server was made in a wrong way, or if a controller has run with
// it already. It returns at once.
func (s *Server) Check() error {
	switch {
	case s.isZero():
		return errZero
	case s.tracker.Host() != nil:
		return errServed
	default:
		return s.check()
	}
}

func (s *Server) check() error {
	all := []error{s.err()}
	if s.listener != nil {
		all = append(all, s.listener.problems())
	}
	if s.health != nil && s.noHealth {
		all = append(all, errors.New("grpcadapter: both WithHealth and WithoutHealth were given"))
	}
	if s.used {
		for _, name := range s.intercepting() {
			all = append(all, fmt.Errorf("grpcadapter: %s needs the adapter's interceptors, which a server given to Use does not have: build it with ServerOptions, and give it to Adopt", name))
		}
	}
	if s.built.Load() == nil && errors.Join(all...) == nil {
		all = append(all, errors.New("grpcadapter: neither NewServer nor Adopt was called, so there is nothing to serve"))
	}
	return errors.Join(all...)
}

// Accepting returns a channel that is closed once the server accepts work: the channel of
// [WithReady], or one that is closed when Accept is called on the listener. A server over HTTP
// accepts work when its http.Server does. For a server from [Use] without a listener the
// channel is nil, unless WithReady was given.
func (s *Server) Accepting() <-chan struct{} {
	switch {
	case s.isZero():
		return nil
	case s.ready != nil:
		return s.ready
	case s.listener != nil:
		return s.listener.set.Accepting()
	default:
		return nil
	}
}

// Listeners returns the listener that the server was given, if there is one.
func (s *Server) Listeners() []net.Listener {
	if s.isZero() || s.listener == nil || s.listener.isZero() {
		return nil
	}
	return s.listener.set.Listeners()
}

// server returns the gRPC server, or nil.
func (s *Server) server() GRPCServer {
	if b := s.built.Load(); b != nil {
		return b.GRPCServer
	}
	return nil
}

var _ lastcall.FullServer = (*Server)(nil)
