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
// controller.New.
func WithRetryPushback(d time.Duration) Option {
	return func(s *Server) {
		switch {
		case d > maxPushback:
			s.fail("WithRetryPushback was given %v; more than %v is no pushback", d, maxPushback)
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
