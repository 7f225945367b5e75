package grpcadapter

import (
	"errors"
	"net"

	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

// Attach hands over the Life that handlers get. The controller calls it before Serve.
func (s *Server) Attach(h lastcall.Host) {
	if !s.isZero() {
		s.tracker.Attach(h)
	}
}

var errUsed = errors.New("grpcadapter: the gRPC server was stopped before it served: make a new one")

var errServed = errors.New("grpcadapter: Serve was called before: a Server belongs to one controller")

// Serve registers a health service, if the gRPC server has none, and serves until GracefulStop
// or Stop is called. Then it returns nil, even if they were called first. If other code calls
// GracefulStop or Stop of the gRPC server, that triggers the shutdown. The controller calls
// Serve, once. A second call is an error, and so is a gRPC server that was stopped before,
// which serves nothing. Without a listener Serve returns lastcall.ErrServedElsewhere.
func (s *Server) Serve() error {
	if s.isZero() {
		return errZero
	}
	if s.listener == nil {
		return lastcall.ErrServedElsewhere
	}
	if s.served.Swap(true) {
		return errServed
	}
	defer s.closeListener() // xds.GRPCServer may leave it open
	if err := s.check(); err != nil {
		return err
	}
	b := s.built.Load()
	defer s.leaveRoom()
	b.prepare()
	if err := s.checkEndless(s.freeze(b.servedServices())); err != nil {
		return err
	}
	s.findHealth()
	err := b.Serve(&servedListener{Listener: s.listener, server: s})
	switch {
	case errors.Is(err, grpc.ErrServerStopped) && !s.ends():
		return errUsed
	case errors.Is(err, grpc.ErrServerStopped):
		return nil
	case errors.Is(err, net.ErrClosed) && s.draining.Load():
		// It heard of the listener first. Otherwise it would have waited for the same, and
		// which of the two it hears of first is the scheduler's choice.
		select {
		case <-s.stopped:
		case <-s.halted:
		}
		return nil
	default:
		return err
	}
}

// leaveRoom notes that the adapter has ended.
func (s *Server) leaveRoom() {
	if b := s.built.Load(); b != nil {
		s.left.Do(func() { b.room.leave(b.GRPCServer) })
	}
}

var errElsewhere = errors.New("grpcadapter: other code called GracefulStop or Stop of the gRPC server")

// servedListener is the Listener as grpc gets it. It tells when GracefulStop or Stop is called
// by other code: that closes it first, and Serve returns much later, when all RPCs have ended.
// Until then the process would be ready, and would accept no connection.
type servedListener struct {
	*Listener
	server *Server
}

// Close is that of the listener inside. If the end was not asked for, it triggers the shutdown
// before: Serve may return right after.
func (l *servedListener) Close() error {
	accepts := foreign.IsClosed(l.set.Accepting()) && !l.set.Closed() // otherwise the gRPC server was stopped before Serve
	if accepts && !l.set.Failed() && !l.server.ends() {               // for a failed Accept grpc closes it, too
		l.elsewhere.Store(true)
		l.server.tracker.Enter(inflight.Announced) // what is in flight counts
		if h := l.server.tracker.Host(); h != nil {
			h.Shutdown(errElsewhere)
		}
	}
	return l.Listener.Close()
}

// isCut reports whether an RPC that ends now was cut off by a Stop of other code.
func (s *Server) isCut(r *rpc) bool {
	return s.listener != nil && s.listener.severed.Load() && r.Err() != nil
}

// ends reports whether the end of the server was asked for, of it or of another adapter of the
// gRPC server.
func (s *Server) ends() bool {
	_, triggered := s.tracker.Life().TimerAt()
	return triggered || s.draining.Load() || foreign.IsClosed(s.stopping)
}
