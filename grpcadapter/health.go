package grpcadapter

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// Health is what the adapter needs of a health service. *health.Server has it.
type Health interface {
	// Shutdown sets every service to NOT_SERVING, for good.
	Shutdown()
}

// WithHealth makes the adapter take down this health service, instead of one of
// its own. If it implements grpc.health.v1 and is not registered when the
// controller calls Serve, it is registered then.
func WithHealth(h Health) Option {
	return func(s *Server) {
		if isNil(h) {
			s.errs = append(s.errs, errors.New("grpcadapter: WithHealth was given nil; WithoutHealth() means no health service"))
			return
		}
		s.health = healthState{given: h}
	}
}

// WithoutHealth makes the adapter leave health alone: it registers none and takes
// none down.
func WithoutHealth() Option { return func(s *Server) { s.health = healthState{none: true} } }

// Health returns the health service that the adapter registers when the controller
// calls Serve. Every service that the gRPC server has then, and "", is SERVING,
// unless SetServingStatus was called for it. It is nil with [WithHealth] and
// [WithoutHealth], and for a server that somebody else serves.
func (s *Server) Health() *health.Server {
	if s.health.none || s.health.given != nil || s.listener == nil {
		return nil
	}
	return s.health.ownServer()
}

// healthState is the health service that goes down with the server.
type healthState struct {
	none  bool
	given Health
	once  sync.Once
	own   *health.Server
}

func (h *healthState) ownServer() *health.Server {
	h.once.Do(func() { h.own = health.NewServer() })
	return h.own
}

var errForeignHealth = errors.New("grpcadapter: the gRPC server has a health service that the adapter does not know and so cannot take down: give it to WithHealth, or say WithoutHealth()")

// register makes sure that there is a health service, unless the user wants none.
func (h *healthState) register(srv GRPCServer) error {
	if h.none {
		return nil
	}
	_, registered := srv.GetServiceInfo()[healthpb.Health_ServiceDesc.ServiceName]
	switch service, ok := h.given.(healthpb.HealthServer); {
	case h.given == nil && registered:
		return errForeignHealth
	case h.given == nil:
		own := h.ownServer()
		for name := range srv.GetServiceInfo() {
			if _, err := own.Check(context.Background(), &healthpb.HealthCheckRequest{Service: name}); status.Code(err) == codes.NotFound {
				own.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
			}
		}
		healthpb.RegisterHealthServer(srv, own)
	case ok && !registered:
		healthpb.RegisterHealthServer(srv, service)
	}
	return nil
}

// down takes the health service down. Of a server that somebody else serves the
// adapter has none of its own.
func (h *healthState) down(srv GRPCServer, elsewhere bool) error {
	switch {
	case h.none:
	case h.given != nil:
		h.given.Shutdown()
	case !elsewhere:
		h.ownServer().Shutdown()
	case srv != nil:
		if _, registered := srv.GetServiceInfo()[healthpb.Health_ServiceDesc.ServiceName]; registered {
			return errForeignHealth
		}
	}
	return nil
}
