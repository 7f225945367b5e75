package grpcadapter

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// rpc is one RPC in flight: a node of the tracker's lists, and the context that
// its handler gets. It is one allocation, because every unary RPC needs one.
type rpc struct {
	context.Context // what grpc gave

	method     *method
	prev, next *rpc
	own        *ownContext // nil for most unary RPCs
	began      time.Duration
	state      atomic.Uint32
	shard      uint16
	http       bool // it came over HTTP; known only with WithGoAwayFirst
}

// The states of an rpc. It leaves running once: whoever takes it out of it says
// what the client sees.
const (
	running   uint32 = iota
	returned         // its handler has given the answer
	cancelled        // Cancel has given it a status
	concluded        // it never ends by itself, and the drain has given it a status
)

// ownContext is a context that belongs to one RPC, for contexts derived from it to
// end with the cause as well.
type ownContext struct {
	context.Context
	cancel context.CancelCauseFunc
}

func newOwnContext(parent context.Context) *ownContext {
	ctx, cancel := context.WithCancelCause(parent)
	return &ownContext{Context: ctx, cancel: cancel}
}

// Value adds the Life to what grpc's context carries, without an allocation.
func (r *rpc) Value(key any) any {
	s := r.method.server
	if scope := s.scopeOf(r).Load(); scope != nil {
		if v := scope.Value(key); v != nil {
			return v
		}
	}
	return r.Context.Value(key)
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

// conclude ends an RPC for its client: with a status, and with the end of its
// context, whose cause says why. What its handler returns afterwards is dropped.
// An RPC whose handler has returned is left alone: its answer is on the way. It
// calls the user's stats handlers, which may block.
func (r *rpc) conclude(to uint32, st *status.Status, cause error) {
	telling := &r.method.server.telling
	telling.begin(r)
	defer telling.end(r)
	if r.leave(to) {
		r.tell(st, cause)
	}
}

// leave takes the RPC out of running, and says whether nobody has done so before.
func (r *rpc) leave(to uint32) bool { return r.state.CompareAndSwap(running, to) }

// tell is the part of conclude for whoever has taken the RPC out of running.
func (r *rpc) tell(st *status.Status, cause error) {
	stream := grpc.ServerTransportStreamFromContext(r.Context)
	if trailer := r.method.server.trailer(); trailer != nil && stream != nil {
		_ = stream.SetTrailer(trailer) // fails if the stream is over
	}
	if r.own != nil {
		r.own.cancel(cause) // before grpc ends its parent, without a cause
	}
	if w, ok := stream.(statusWriter); ok {
		_ = w.WriteStatus(st) // fails if the connection is gone
	}
}

// end takes in that the handler has returned. It says whether its answer counts.
func (r *rpc) end() bool { return r.leave(returned) }

// peerAddr returns whom the RPC serves, or "".
func (r *rpc) peerAddr() string {
	if p, ok := peer.FromContext(r.Context); ok && p.Addr != nil {
		return p.Addr.String()
	}
	return ""
}
