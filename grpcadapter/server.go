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
// controller.Server as it is: it is then drained and stopped, and nothing more.
package grpcadapter

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall/controller"
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

// Server is a gRPC server as package controller wants it: a controller.Server,
// Acceptor, Attacher, Announcer and Checker, whose methods the controller calls.
// A user calls New and NewServer, or Use, and perhaps Health. All methods may be
// called by any number of goroutines.
type Server struct {
	listener net.Listener // nil: somebody else serves
	life     atomic.Pointer[controller.Life]

	mu     sync.Mutex // guards what is below; never held while grpc serves or stops
	grpc   GRPCServer
	health healthState
	served bool
	errs   []error
}

// Option says more about a [Server].
type Option func(*Server)

// New returns a Server that serves on the listener, and closes it. Call
// [Server.NewServer] next. A nil listener is an error from controller.New.
func New(lis net.Listener, opts ...Option) *Server {
	s := &Server{}
	WithListener(lis)(s)
	s.apply(opts)
	return s
}

// Use returns a Server for one that somebody else built. Unless [WithListener]
// gives it a listener, somebody else also serves it, and the controller learns of
// its end only through GracefulStop. Handlers of such a server get no
// controller.Draining. A nil server is an error from controller.New.
func Use(srv GRPCServer, opts ...Option) *Server {
	s := &Server{}
	if isNil(srv) {
		s.errs = append(s.errs, errors.New("grpcadapter: Use was given a nil server"))
	} else {
		s.grpc = srv
	}
	s.apply(opts)
	return s
}

// WithListener makes a Server from [Use] serve on the listener.
func WithListener(lis net.Listener) Option {
	return func(s *Server) {
		if isNil(lis) {
			s.errs = append(s.errs, errors.New("grpcadapter: the listener is nil"))
			return
		}
		if s.listener != nil {
			s.errs = append(s.errs, errors.New("grpcadapter: there are two listeners; a Server serves on one"))
			return
		}
		s.listener = &onceListener{Listener: lis}
	}
}

func (s *Server) apply(opts []Option) {
	for _, opt := range opts {
		if opt == nil {
			s.errs = append(s.errs, errors.New("grpcadapter: an option is nil"))
			continue
		}
		opt(s)
	}
}

// NewServer returns a grpc.Server with the options and, in front of the user's
// chained interceptors, those that give handlers controller.Draining and
// controller.TimerAt. It has a health service; see [WithHealth] for a health
// service of one's own, as registering two ends the process. Register services on
// it, and leave Serve to the controller. NewServer is called once; calling it
// again, or after Use, is an error from controller.New, or from Serve if that was
// before.
func (s *Server) NewServer(opts ...grpc.ServerOption) *grpc.Server {
	srv := grpc.NewServer(append([]grpc.ServerOption{
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
	}, opts...)...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grpc != nil {
		s.errs = append(s.errs, errors.New("grpcadapter: NewServer was called for a Server that has its gRPC server already"))
	} else {
		s.grpc = srv
		s.health.register(srv)
	}
	return srv
}

// Check returns what is wrong with the way in which the Server was made, or nil.
func (s *Server) Check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

// Attach is called by the controller before Serve.
func (s *Server) Attach(l controller.Life) { s.life.Store(&l) }

// Serve serves until GracefulStop or Stop is called, and returns nil then, also if
// they were called first. It is called by the controller, once: a second call is
// an error.
func (s *Server) Serve() error {
	if s.listener == nil {
		return controller.ErrServedElsewhere
	}
	srv, err := s.begin()
	if errors.Is(err, errServed) {
		return err
	}
	if err == nil {
		h := s.healthNow()
		err = h.up(srv)
	}
	if err != nil {
		_ = s.listener.Close() // the error says why nothing is served
		return err
	}
	if err := srv.Serve(s.listener); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
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
	if s.grpc == nil && len(s.errs) == 0 {
		return nil, errors.New("grpcadapter: NewServer was not called, so there is nothing to serve")
	}
	return s.grpc, errors.Join(s.errs...)
}

// Announce sets every service of the health service to NOT_SERVING, for good. It
// is called by the controller.
func (s *Server) Announce(context.Context) error {
	h := s.healthNow()
	return h.down(s.server())
}

// GracefulStop blocks until the connections are closed and the handlers have
// returned, which grpc does not bound. It is called by the controller.
func (s *Server) GracefulStop() {
	if srv := s.server(); srv != nil {
		srv.GracefulStop()
	}
	s.closeListener()
}

// Stop closes the connections and ends the contexts of the handlers. grpc does
// not bound it. It is called by the controller.
func (s *Server) Stop() {
	if srv := s.server(); srv != nil {
		srv.Stop()
	}
	s.closeListener()
}

// closeListener closes a listener that grpc may never have been given.
func (s *Server) closeListener() {
	if s.listener != nil {
		_ = s.listener.Close() // grpc, too, drops this error: nothing depends on it any more
	}
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
