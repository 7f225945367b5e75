package grpcadapter

import (
	"strconv"
	"sync"
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
// has two values, and those say to grpc-go that it is not to try again.
func WithRetryPushback(d time.Duration) Option {
	return func(s *Server) {
		s.telling.enabled = true
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

// telling knows to which RPCs a status with a trailer is being written. What an
// interceptor returns at that time could go out before it, without the trailer; so
// the interceptor waits. Without [WithRetryPushback] nobody does.
type telling struct {
	enabled bool // not changed once RPCs come

	mu   sync.Mutex // never held while a status is written
	rpcs map[*rpc]*tellers
}

// tellers are those who write a status to one RPC: the drain, phase cancel, or both.
type tellers struct {
	n    int
	gone chan struct{}
}

// begin comes before the RPC is taken out of running, and end when its status, if
// it was given one, is out.
func (t *telling) begin(r *rpc) {
	if !t.enabled {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rpcs == nil {
		t.rpcs = map[*rpc]*tellers{}
	}
	if t.rpcs[r] == nil {
		t.rpcs[r] = &tellers{gone: make(chan struct{})}
	}
	t.rpcs[r].n++
}

func (t *telling) end(r *rpc) {
	if !t.enabled {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.rpcs[r]
	if w.n--; w.n == 0 {
		close(w.gone)
		delete(t.rpcs, r)
	}
}

// await blocks until nobody writes a status to the RPC. Writing passes the user's
// stats handlers, as the status does that grpc writes when the interceptor has
// returned.
func (t *telling) await(r *rpc) {
	if !t.enabled {
		return
	}
	t.mu.Lock()
	w := t.rpcs[r]
	t.mu.Unlock()
	if w != nil {
		<-w.gone
	}
}
