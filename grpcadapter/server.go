// Package grpcadapter makes a gRPC server what package controller wants: an
// object that serves, takes its health down when the shutdown is announced, tells
// handlers when the drain begins, and treats the ends that grpc means as clean.
//
//	g := grpcadapter.New(lis)
//	srv := g.NewServer()
//	pb.RegisterOrdersServer(srv, orders)
//	ctl, err := controller.New(budget, controller.WithServer("grpc", g))
//
// A server that somebody else built goes in with [Use]. A *grpc.Server is also a
// lastcall.Server as it is: it is then drained and stopped, and nothing more.
package grpcadapter

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"

	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// GRPCServer is what the adapter needs of a gRPC server. *grpc.Server and
// *xds.GRPCServer have it.
type GRPCServer interface {
	grpc.ServiceRegistrar
	Serve(net.Listener) error
	GracefulStop()
	Stop()
	GetServiceInfo() map[string]grpc.ServiceInfo
}

// Server is a gRPC server as package controller wants it: a lastcall.Server,
// Acceptor, Attacher, Announcer, Canceler, Cutter, Checker, Inspector, Noter and
// Arrivals, whose methods the controller calls. A user calls New and NewServer (or
// Use, or ServerOptions and Adopt) and perhaps Health. All methods may be called by
// any number of goroutines.
type Server struct {
	lastcall.Unimplemented
	settings
	listener *Listener // nil: somebody else serves
	tracker  *tracker
	streams  endlessStreams
	telling  telling
	foreign  foreign.Calls
	life     atomic.Pointer[lastcall.Life]
	scope    atomic.Pointer[scope] // what handlers' contexts carry of ours
	http     atomic.Pointer[scope] // the same for RPCs that came over HTTP, with WithGoAwayFirst
	sawHTTP  atomic.Bool           // an RPC came through ServeHTTP of the gRPC server itself
	door     door                  // where RPCs come in over HTTP

	told     chan struct{} // closed when handlers are told of the drain; with WithGoAwayFirst only
	begun    chan struct{} // closed right before grpc's GracefulStop is called
	stopped  chan struct{} // closed when GracefulStop has returned
	forced   chan struct{} // closed by Cancel and Stop
	force    sync.Once
	stopping chan struct{} // closed by Stop
	halt     sync.Once

	mu           sync.Mutex // guards what is below; never held while grpc serves or stops
	grpc         GRPCServer
	health       healthState
	foreignBuilt bool // by somebody else, without our interceptors
	tracked      bool // ServerOptions was called
	served       bool
	draining     bool
	complained   bool          // Announce has returned errOverHTTP
	lateness     time.Duration // from the last RPC's end to that of GracefulStop
	errs         []error
}

// settings are what options set; not changed afterwards.
type settings struct {
	endless     []string // the methods whose streams the drain ends
	userEndless []string // those that WithEndlessStreams gave
	spread      time.Duration
	pushback    string
	ownContexts bool
	goAwayFirst time.Duration
	overHTTP    bool
}

// Option says more about a [Server].
type Option func(*Server)

func newServer() *Server {
	s := &Server{
		settings: settings{endless: EndlessStreams()},
		told:     make(chan struct{}),
		begun:    make(chan struct{}),
		stopped:  make(chan struct{}),
		forced:   make(chan struct{}),
		stopping: make(chan struct{}),
	}
	s.tracker = newTracker(s)
	return s
}

// New returns a Server that serves on the listener, through [WrapListener], and
// closes it. Call [Server.NewServer] next. To set what WrapListener can, give its
// result to New. A nil listener is an error from controller.New.
func New(lis net.Listener, opts ...Option) *Server {
	s := newServer()
	s.apply(opts)
	if !foreign.IsNil(lis) || !s.overHTTP {
		WithListener(lis)(s)
	}
	return s
}

// Use returns a Server for one that somebody else built. Unless [WithListener]
// gives it a listener, somebody else also serves it, and the controller learns of
// its end only through GracefulStop. It is drained and stopped within the deadline
// like any other. Without the interceptors of [Server.ServerOptions] there is no
// lastcall.Draining for its handlers, no status for RPCs that are cancelled, no
// end of endless streams before the timer, no number of RPCs in the report, and no
// lastcall.Budget.Quiet. A nil server is an error from controller.New.
func Use(srv GRPCServer, opts ...Option) *Server {
	s := newServer()
	s.foreignBuilt = true
	if foreign.IsNil(srv) {
		s.fail("Use was given a nil server")
	} else {
		s.grpc = srv
	}
	s.apply(opts)
	return s
}

var errZero = errors.New("grpcadapter: a Server that was not made by New or Use")

// isZero says whether the Server was not made by New or Use. Its methods then do
// nothing.
func (s *Server) isZero() bool { return s.tracker == nil }

// Accepting returns a channel that is closed once Accept was called on the listener. A
// server over HTTP accepts when its http.Server does. For a server from Use without a
// listener it is nil.
func (s *Server) Accepting() <-chan struct{} {
	switch {
	case s.isZero():
		return nil
	case s.listener != nil:
		return s.listener.inner.Accepting()
	case s.overHTTP:
		return closedChannel()
	default:
		return nil
	}
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

// fail notes an error for Check.
func (s *Server) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, fmt.Errorf("grpcadapter: "+format, args...))
}

// NewServer returns a grpc.Server with [Server.ServerOptions] of the options, for
// which the Server is made. It has a health service; see [WithHealth] for a health
// service of one's own, as registering two ends the process. Register services on
// it, and leave Serve to the controller. NewServer is called once; calling it
// again, or after Use or Adopt, is an error from controller.New, or from Serve if
// that was before.
func (s *Server) NewServer(opts ...grpc.ServerOption) *grpc.Server {
	srv := grpc.NewServer(s.ServerOptions(opts...)...)
	s.take("NewServer", srv)
	return srv
}

// ServerOptions returns the options with the adapter's interceptors in front of the
// chained ones. It is for servers with a constructor of their own, which are then
// given to [Server.Adopt]:
//
//	srv, err := xds.NewGRPCServer(g.ServerOptions(creds)...)
//	...
//	g.Adopt(srv)
//
// Interceptors, taps and stats handlers among the options work as without it. But
// what comes with grpc.UnaryInterceptor or grpc.StreamInterceptor runs in front of
// every chained interceptor, and so of the adapter's: while an RPC waits there it is
// in no number, is given no status at the timer, and its context carries no
// lastcall.Draining. With grpc.ChainUnaryInterceptor and grpc.ChainStreamInterceptor
// it is and does.
func (s *Server) ServerOptions(opts ...grpc.ServerOption) []grpc.ServerOption {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isZero() {
		return opts // Check says what is wrong
	}
	s.tracked = true
	return append([]grpc.ServerOption{
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
	}, opts...)
}

// Adopt takes a server that was built with [Server.ServerOptions], and gives it a
// health service as NewServer does. It comes before Serve. A nil server, or one too
// many, is an error from controller.New, or from Serve if that was before.
func (s *Server) Adopt(srv GRPCServer) {
	if foreign.IsNil(srv) {
		s.fail("Adopt was given a nil server")
		return
	}
	s.take("Adopt", srv)
}

func (s *Server) take(how string, srv GRPCServer) {
	s.mu.Lock()
	taken := false
	switch {
	case s.isZero(): // Check says what is wrong
	case s.grpc != nil:
		s.errs = append(s.errs, fmt.Errorf("grpcadapter: %s was called for a Server that has its gRPC server already", how))
	case !s.tracked:
		s.errs = append(s.errs, fmt.Errorf("grpcadapter: %s was given a server that was built without ServerOptions; Use is for those", how))
	default:
		s.grpc, taken = srv, true
	}
	h := s.health
	s.mu.Unlock()
	if !taken {
		return
	}
	h.register(srv) // a method of the user's, perhaps
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health = h
}

// Check returns what is wrong with the way in which the Server was made, or nil.
func (s *Server) Check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.problems()...)
}

// problems returns what is wrong with the options. The mutex is held.
func (s *Server) problems() []error {
	if s.isZero() {
		return []error{errZero}
	}
	all := slices.Clone(s.errs)
	if s.listener != nil {
		all = append(all, s.listener.problems())
	} else if s.goAwayFirst > 0 {
		all = append(all, errors.New("grpcadapter: WithGoAwayFirst needs the listener, to see when clients have been told to go"))
	}
	if s.foreignBuilt {
		for _, name := range s.intercepting() {
			all = append(all, fmt.Errorf("grpcadapter: %s needs the adapter's interceptors, which a server given to Use does not have: build it with ServerOptions, and give it to Adopt", name))
		}
	}
	return all
}

// intercepting returns the options given that need the interceptors.
func (s *settings) intercepting() []string {
	var names []string
	for name, set := range map[string]bool{
		"WithEndlessStreams": len(s.userEndless) > 0, "WithSpread": s.spread > 0, "WithRetryPushback": s.pushback != "",
		"WithUnaryContexts": s.ownContexts, "WithGoAwayFirst": s.goAwayFirst > 0,
	} {
		if set {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Serve serves until GracefulStop or Stop is called, and returns nil then, also if
// they were called first. It is called by the controller, once: a second call is
// an error.
func (s *Server) Serve() error {
	if s.isZero() {
		return errZero
	}
	if s.listener == nil {
		return lastcall.ErrServedElsewhere
	}
	srv, err := s.begin()
	if errors.Is(err, errServed) {
		return err
	}
	if err == nil {
		err = s.prepare(srv)
	}
	if err != nil {
		_ = s.listener.Close() // the error says why nothing is served
		return err
	}
	err = srv.Serve(s.listener)
	_ = s.listener.Close() // xds.GRPCServer may leave it open
	if errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, net.ErrClosed) && s.isDraining() {
		return nil
	}
	return err
}

var errServed = errors.New("grpcadapter: Serve was called before: a Server belongs to one controller")

// begin returns the server if it can be served now.
func (s *Server) begin() (GRPCServer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.served {
		return nil, errServed
	}
	s.served = true
	problems := errors.Join(s.problems()...)
	if s.grpc == nil && problems == nil {
		return nil, errors.New("grpcadapter: neither NewServer nor Adopt was called, so there is nothing to serve")
	}
	return s.grpc, problems
}

// prepare looks at what was registered, to which nothing can be added from now on.
func (s *Server) prepare(srv GRPCServer) error {
	if err := s.checkEndless(s.tracker.freeze(s, srv.GetServiceInfo())); err != nil {
		return err
	}
	h := s.healthNow()
	return h.up(srv)
}

// healthNow returns a copy, whose methods call a health service without the mutex.
func (s *Server) healthNow() healthState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health
}

func (s *Server) server() GRPCServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grpc
}
