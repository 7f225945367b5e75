package grpcadapter

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall"
)

// Attach takes in the Life that handlers get. The controller calls it before Serve.
func (s *Server) Attach(h lastcall.Host) {
	if s.isZero() {
		return
	}
	l := h.Life()
	scope := lastcall.NewContext(context.Background(), l)
	s.life.Store(&l)
	s.host.Store(&h)
	s.scope.Store(&scope)
}

var errUsed = errors.New("grpcadapter: the gRPC server was stopped before it served: make a new one")

var errServed = errors.New("grpcadapter: Serve was called before: a Server belongs to one controller")

// Serve registers a health service, if the gRPC server has none, and serves until
// GracefulStop or Stop is called. It returns nil then, also if they were called first.
// GracefulStop or Stop of the gRPC server, called by other code, triggers the shutdown. The
// controller calls Serve, once: a second call is an error, and so is a gRPC server that was
// stopped before, which serves nothing. Without a listener it returns
// lastcall.ErrServedElsewhere.
func (s *Server) Serve() error {
	if s.isZero() {
		return errZero
	}
	if s.listener == nil {
		return lastcall.ErrServedElsewhere
	}
	s.mu.Lock()
	again := s.served
	s.served = true
	s.mu.Unlock()
	if again {
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
