package grpcadapter

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

// Two kinds of clients ask for health. Probes and balancers call Check, and are to go
// elsewhere as early as possible: they hear NOT_SERVING from the announcement on. Clients
// with health checking hold a Watch on the one connection that they have, and do not use it
// once that says NOT_SERVING: they are told right after the GOAWAY, with which they get
// another connection. C-core's, told before it, fail their calls until they read on, which
// may take seconds (ADR 61). A health.Server has one map for both, so the interceptor
// answers Check, and the map changes in the drain.

// WithHealth makes the adapter take down this health service, which the user registers, instead
// of one of its own. A *health.Server is one. Its Shutdown sets every service to NOT_SERVING,
// for good. The adapter calls Shutdown as the drain begins; if clients Watch, right after the
// GOAWAYs. Before that, from the announcement on, the adapter's interceptor turns SERVING into
// NOT_SERVING in what Check and List return. On a server from [Use], which has no such
// interceptor, Shutdown is called in phase announce. A nil h is an error from controller.New.
func WithHealth(h interface{ Shutdown() }) Option {
	return func(s *Server) {
		if foreign.IsNil(h) {
			s.fail("WithHealth was given nil; WithoutHealth() means no health service")
			return
		}
		if s.health != nil {
			s.fail("WithHealth was given twice; a gRPC server has one health service")
		}
		s.health = h
	}
}

// WithoutHealth makes the adapter leave health alone: it registers no health service, and
// takes none down. It is for servers that must not have one, and for those that announce
// their end in another way.
func WithoutHealth() Option { return func(s *Server) { s.noHealth = true } }

// Health returns the health service that Serve registers if the gRPC server has none by then.
// In it every service of the gRPC server, and "", becomes SERVING, unless SetServingStatus was
// called for it. Health returns nil before NewServer and Adopt, with [WithHealth] or
// [WithoutHealth], and for a server from [Use].
func (s *Server) Health() *health.Server {
	if s.isZero() {
		return nil
	}
	if b := s.built.Load(); b != nil {
		return b.health
	}
	return nil
}

// setUp sets every service of a server that is going to be served to SERVING.
func setUp(h *health.Server, services map[string]grpc.ServiceInfo) {
	for name := range services {
		if _, err := h.Check(context.Background(), &healthpb.HealthCheckRequest{Service: name}); status.Code(err) == codes.NotFound {
			h.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
		}
	}
}

// hasHealth reports whether a health service is among those of a server.
func hasHealth(services map[string]grpc.ServiceInfo) bool {
	_, has := services[healthService]
	return has
}

// findHealth notes if the server has a health service that the adapter cannot take down.
func (s *Server) findHealth() {
	b := s.built.Load()
	if b == nil || s.noHealth || s.health != nil || b.room.registered.Load() {
		return
	}
	if hasHealth(b.services()) {
		s.unknownHealth.Store(true)
	}
}

// takesDown returns the health service that the adapter takes down, or nil.
func (s *Server) takesDown() interface{ Shutdown() } {
	if b := s.built.Load(); b != nil && b.health != nil && b.room.registered.Load() {
		return b.health
	}
	return s.health
}

// isWatched reports whether a Watch of the health service is in flight on a connection that
// will get a GOAWAY, so that its client can be told after it. On a server from Use the
// Watches were told in phase announce.
func (s *Server) isWatched() bool {
	return !s.used && !s.usedHTTP() && s.takesDown() != nil &&
		slices.ContainsFunc(s.endlessInFlight(), func(e *endlessStream) bool { return e.rpc.method.watch })
}

// endWatches takes the health service down, and ends the streams of those that watch it.
func (s *Server) endWatches() {
	s.shutHealth()
	s.endEndless(true)
}

// shutHealth takes the health service down for those that watch it, and blocks until each
// of them has been sent that, for watchTime at most.
func (s *Server) shutHealth() {
	h := s.takesDown()
	if h == nil {
		return
	}
	limit := time.NewTimer(watchTime)
	defer limit.Stop()
	select {
	case <-s.foreign.Run("health.Shutdown", func() { s.shut.Do(h.Shutdown) }):
	case <-s.forced:
		return
	case <-limit.C:
		return
	}
	for _, e := range s.endlessInFlight() {
		if !e.rpc.method.watch {
			continue
		}
		select {
		case <-e.wentDown():
		case <-e.rpc.own.Done(): // it has ended
		case <-s.forced:
			return
		case <-limit.C:
			return
		}
	}
}

// awaitDown blocks until a health Watch has been sent that the service goes down, for
// watchTime at most: a shutdown that is forced before the drain cancels it in that
// instant, and its message would be lost (hazard 32).
func (s *Server) awaitDown(r *rpc) {
	if s.takesDown() != nil {
		foreign.Either(r.own.endless.wentDown(), r.own.Done(), watchTime)
	}
}

// probesReady reports whether the policy of the controller has probes pass, although the
// shutdown was announced. In the drain they do not.
func (s *Server) probesReady() bool {
	h := s.tracker.Host()
	return h != nil && s.tracker.Stage() < inflight.Draining && h.ProbesReady()
}

// probed returns what a probe hears in the place of an answer of the health service.
func (s *Server) probed(resp any) any {
	if s.tracker.Stage() == inflight.Serving || s.takesDown() == nil || s.probesReady() {
		return resp
	}
	switch m := resp.(type) {
	case *healthpb.HealthCheckResponse:
		if m.GetStatus() == healthpb.HealthCheckResponse_SERVING {
			return notServing()
		}
	case *healthpb.HealthListResponse:
		all := &healthpb.HealthListResponse{Statuses: map[string]*healthpb.HealthCheckResponse{}}
		for name, one := range m.GetStatuses() {
			if all.Statuses[name] = one; one.GetStatus() == healthpb.HealthCheckResponse_SERVING {
				all.Statuses[name] = notServing()
			}
		}
		return all
	}
	return resp
}

func notServing() *healthpb.HealthCheckResponse {
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}
}

// awaitGoAways blocks until grpc's GracefulStop has written a GOAWAY to every connection
// with a stream, and for moment more if there are connections of which that cannot be known.
// It gives up when GracefulStop has returned, when the drain is forced, and when handshakes
// have had their time. A peer that does not read holds its GOAWAY back, and after moment no
// longer what the others are told.
func (s *Server) awaitGoAways(returned <-chan struct{}) {
	known := true
	if l := s.listener; l != nil {
		limit := time.NewTimer(l.handshakeTime + moment)
		defer limit.Stop()
		tick := time.NewTicker(moment)
		defer tick.Stop()
		written := make(chan struct{}, 1)
		l.written.Store(&written)
		defer l.written.Store(nil)
		for left := l.conns(); len(left) > 0; {
			if away, knows := left[0].streams.wentAway(); away || !knows {
				left, known = left[1:], known && knows
				continue
			}
			select {
			case <-written:
			case <-tick.C:
				left = slices.DeleteFunc(left, func(c *conn) bool { return c.writing.Load() > 0 })
			case <-returned:
				return
			case <-s.forced:
				return
			case <-limit.C:
				return
			}
		}
	}
	if !known || s.listener == nil {
		foreign.Either(returned, s.forced, moment)
	}
}

// tellWritten tells awaitGoAways, if it waits, that something was written.
func (l *Listener) tellWritten() {
	if written := l.written.Load(); written != nil {
		select {
		case *written <- struct{}{}:
		default:
		}
	}
}
