package grpcadapter

import (
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// leaving is the status of RPCs that the shutdown ends or refuses. Clients take
// Unavailable as a reason to try another server.
func leaving() *status.Status { return status.New(codes.Unavailable, "the server is shutting down") }

// pushbackKey is the trailer with which a server tells clients that have a retry
// policy when to try again, in milliseconds; a negative number tells them not to
// (gRPC proposal A6).
const pushbackKey = "grpc-retry-pushback-ms"

// maxPushback is more than any rollout takes.
const maxPushback = 24 * time.Hour

// WithRetryPushback adds a trailer to every status that the adapter causes: clients
// with a retry policy then try again after d, instead of after their own backoff. A
// negative d tells them not to try again. More than a day is an error from
// controller.New. The trailer is grpc-retry-pushback-ms. A handler that sets it, too,
// does that best when it knows its answer: an RPC which the shutdown ends afterwards
// has two values, and grpc-go takes those as "do not try again".
func WithRetryPushback(d time.Duration) Option {
	return func(s *Server) {
		s.checkUnit("WithRetryPushback", d)
		switch {
		case d > maxPushback:
			s.fail("WithRetryPushback was given %v; the longest pushback is %v", d, maxPushback)
		case d < 0:
			s.pushback = "-1"
		default:
			s.pushback = strconv.FormatInt(d.Milliseconds(), 10)
		}
	}
}

// trailer is what goes with the statuses that the adapter causes; nil for nothing.
func (s *Server) trailer() metadata.MD {
	if s.pushback == "" {
		return nil
	}
	return metadata.Pairs(pushbackKey, s.pushback)
}

// hasTold notes that the status of an RPC is written.
func (s *Server) hasTold(r *rpc) {
	if s.pushback == "" {
		return
	}
	s.telling.L.Lock()
	defer s.telling.L.Unlock()
	r.State.Or(told)
	s.telling.Broadcast()
}

// awaitTold blocks until the status of an RPC that the shutdown has ended is written: what
// the interceptor returns could go out before it, without the trailer. Without one there
// is nothing to wait for. Writing passes the user's stats handlers, as the status does that
// grpc writes when the interceptor has returned.
func (s *Server) awaitTold(r *rpc) {
	if s.pushback == "" {
		return
	}
	s.telling.L.Lock()
	defer s.telling.L.Unlock()
	for r.State.Load()&told == 0 {
		s.telling.Wait()
	}
}
