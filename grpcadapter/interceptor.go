package grpcadapter

import (
	"context"

	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

// unary tracks an RPC and gives its handler a context that carries the Life.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	r := &rpc{Context: ctx, method: s.method(ctx, info.FullMethod)}
	r.mark()
	if s.ownContexts {
		r.own = newOwnContext(r)
		defer r.own.cancel(nil)
	}
	if !s.begin(r) {
		return nil, s.refuse(ctx)
	}
	defer s.end(r) // also if the handler panics
	resp, err := handler(r.handlerContext(), req)
	if r.method.health {
		resp = s.probed(resp)
	}
	if !r.leave(returned) {
		return nil, s.dropped(r)
	}
	return resp, err
}

// stream does the same for a stream.
func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx := ss.Context()
	r := &rpc{Context: ctx, method: s.method(ctx, info.FullMethod)}
	r.mark()
	r.own = newOwnContext(r)
	defer r.own.cancel(nil)
	wrapped := &stream{ServerStream: ss, rpc: r}
	var handed grpc.ServerStream = wrapped
	if r.method.endless {
		handed = newEndlessStream(wrapped, info.IsClientStream)
	}
	if r.method.watch {
		s.followFront(ctx)
	}
	if !s.begin(r) {
		return s.refuse(ctx)
	}
	defer s.end(r)
	err := handler(srv, handed)
	if !r.leave(returned) {
		return s.dropped(r)
	}
	return err
}

// begin takes in an RPC, and reports whether it may run. One that may not is counted.
func (s *Server) begin(r *rpc) bool {
	m := r.method
	if s.tracker.Begin(r, s.refusesFrom(m), m.label.Kind != lastcall.WorkInfra) {
		if !m.endless || !s.comesLate(r) {
			return true
		}
		s.tracker.End(r, inflight.Completed) // it may have come too late for endEndless
		return false
	}
	fate := inflight.Cancelled
	if m.endless && s.tracker.Stage() < inflight.Refusing {
		fate = inflight.Completed // as those that the drain has ended
	}
	s.tracker.Refuse(r, fate)
	return false
}

// end takes in that the handler of an RPC has returned.
func (s *Server) end(r *rpc) {
	fate := inflight.ByStage
	switch {
	case r.is(cancelled):
		fate = inflight.Cancelled
	case s.isCut(r):
		fate = inflight.Cut
	}
	s.tracker.End(r, fate)
}

// dropped returns what counts in the place of an answer that came when the shutdown had
// ended the RPC: the status that is on its way.
func (s *Server) dropped(r *rpc) error {
	s.awaitTold(r)
	return leaving().Err()
}

// refuse answers an RPC that came too late.
func (s *Server) refuse(ctx context.Context) error {
	if trailer := s.trailer(); trailer != nil {
		_ = grpc.SetTrailer(ctx, trailer) // without it the status still says enough
	}
	return leaving().Err()
}

// stream is a stream whose context carries the Life.
type stream struct {
	grpc.ServerStream
	rpc *rpc
}

func (s *stream) Context() context.Context { return s.rpc.handlerContext() }
