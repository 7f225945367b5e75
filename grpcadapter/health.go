package grpcadapter

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// Health is what the adapter needs of a health service. *health.Server has it.
type Health interface {
	// Shutdown sets every service to NOT_SERVING, for good.
	Shutdown()
}

// WithHealth makes the adapter take down this health service, which the user
// registers, instead of one of its own.
func WithHealth(h Health) Option {
	return func(s *Server) {
		if foreign.IsNil(h) {
			s.errs = append(s.errs, errors.New("grpcadapter: WithHealth was given nil; WithoutHealth() means no health service"))
			return
		}
		s.health = healthState{given: h}
	}
}

// WithoutHealth makes the adapter leave health alone: it registers none and takes
// none down.
func WithoutHealth() Option { return func(s *Server) { s.health = healthState{none: true} } }

// Health returns the health service that NewServer has registered. When the
// controller calls Serve, every service that the gRPC server has then, and "", is
// SERVING, unless SetServingStatus was called for it. It is nil before NewServer,
// with [WithHealth] and [WithoutHealth], and for a server from [Use].
func (s *Server) Health() *health.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health.own
}

// healthState is the health service that goes down with the server.
type healthState struct {
	none  bool
	given Health
	own   *health.Server // set by register, before anything is served
}

var errForeignHealth = errors.New("grpcadapter: the gRPC server has a health service that the adapter does not know and so cannot take down: give it to WithHealth, or say WithoutHealth()")

// register gives a new server a health service, unless the user has another one or
// wants none.
func (h *healthState) register(srv grpc.ServiceRegistrar) {
	if !h.none && h.given == nil {
		h.own = health.NewServer()
		healthpb.RegisterHealthServer(srv, h.own)
	}
}

// up sets every service of a server that is going to be served to SERVING.
func (h *healthState) up(srv GRPCServer) error {
	if h.own == nil {
		return h.known(srv)
	}
	for name := range srv.GetServiceInfo() {
		if _, err := h.own.Check(context.Background(), &healthpb.HealthCheckRequest{Service: name}); status.Code(err) == codes.NotFound {
			h.own.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
		}
	}
	return nil
}

// known is an error if the server has a health service that would go on saying
// SERVING.
func (h *healthState) known(srv GRPCServer) error {
	if h.none || h.given != nil || srv == nil {
		return nil
	}
	if _, registered := srv.GetServiceInfo()[healthpb.Health_ServiceDesc.ServiceName]; registered {
		return errForeignHealth
	}
	return nil
}

// down takes the health service down.
func (h *healthState) down(srv GRPCServer) error {
	switch {
	case h.own != nil:
		h.own.Shutdown()
	case h.given != nil:
		h.given.Shutdown()
	}
	if h.own != nil {
		return nil
	}
	return h.known(srv)
}
