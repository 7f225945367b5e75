package grpcadapter

import (
	"context"
	"runtime/pprof"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/internal/inflight"
	"github.com/lastcall-go/lastcall/internal/stacks"
)

// rpc is one RPC in flight: a record of the tracker, and the context that its handler
// gets. It is one allocation of 64 bytes, because every unary RPC needs one.
//
// Exactly one caller moves its State out of running; that caller picks what the client
// sees.
type rpc struct {
	context.Context // what grpc gave
	inflight.Item[*rpc]

	method *method
	own    *ownContext // nil for most unary RPCs
}

// The states of an rpc.
const (
	running   uint32 = iota
	returned         // its handler has given the answer
	cancelled        // Cancel ends it with a status
	concluded        // it never ends by itself, and the drain ends it with a status

	told uint32 = 1 << 8 // set in addition: that status is written
)

// ownContext is a context that belongs to one RPC, for contexts derived from it to
// end with the cause as well.
type ownContext struct {
	context.Context
	cancel  context.CancelCauseFunc
	endless *endlessStream // nil: the stream ends by itself
}

func newOwnContext(parent context.Context) *ownContext {
	ctx, cancel := context.WithCancelCause(parent)
	return &ownContext{Context: ctx, cancel: cancel}
}

func (r *rpc) label() inflight.Label { return r.method.label }

// Value adds the Life to what grpc's context carries.
func (r *rpc) Value(key any) any {
	if v := r.method.server.tracker.Value(r, key); v != nil {
		return v
	}
	if v := r.Context.Value(key); v != nil || r.method.marks == nil {
		return v
	}
	return r.method.marks.Value(key)
}

// mark labels the goroutine with the method, for the report to find the line of code where
// it stands. Labels of the user's in the context stay; then it costs a context.
func (r *rpc) mark() {
	m := r.method
	if m.marks == nil {
		return
	}
	labels := m.marks
	pprof.ForLabels(r.Context, func(string, string) bool {
		r.Context = stacks.Of(r.Context, m.label.Name)
		labels = r.Context
		return false
	})
	pprof.SetGoroutineLabels(labels)
}

// handlerContext returns what the handler gets.
func (r *rpc) handlerContext() context.Context {
	if r.own != nil {
		return r.own
	}
	return r
}

// statusWriter is what the stream that grpc keeps in a handler's context can do.
// Its type is internal to grpc; TestHazard25 fails if it changes.
type statusWriter interface {
	WriteStatus(*status.Status) error
}

// leave takes the RPC out of running, and reports whether this call did.
func (r *rpc) leave(to uint32) bool { return r.State.CompareAndSwap(running, to) }

// is reports whether the RPC is in a state.
func (r *rpc) is(state uint32) bool { return r.State.Load()&^told == state }

// tell ends an RPC for its client, with a status and with the end of its context, whose
// cause says why. What its handler returns afterwards is dropped. The caller has taken it
// out of running. It calls the user's stats handlers, which may block.
func (r *rpc) tell(st *status.Status, cause error) {
	s := r.method.server
	defer s.hasTold(r)
	stream := grpc.ServerTransportStreamFromContext(r.Context)
	if trailer := s.trailer(); trailer != nil && stream != nil {
		_ = stream.SetTrailer(trailer) // fails if the stream is over
	}
	if r.own != nil {
		r.own.cancel(cause) // before grpc ends its parent, without a cause
	}
	if w, ok := stream.(statusWriter); ok {
		_ = w.WriteStatus(st) // fails if the connection is gone
	}
}

// peerAddr returns whom the RPC serves, or "".
func (r *rpc) peerAddr() string {
	if p, ok := peer.FromContext(r.Context); ok && p.Addr != nil {
		return p.Addr.String()
	}
	return ""
}

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
// controller.New. The trailer is grpc-retry-pushback-ms. A handler that sets it as well
// should do so only when it knows its answer: if the shutdown ends the RPC after that,
// the trailer has two values, which grpc-go takes as "do not try again".
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
