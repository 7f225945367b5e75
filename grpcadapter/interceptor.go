package grpcadapter

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

// unary and stream track each RPC and give its handler a context that carries the
// Life.

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	r := s.newRPC(ctx, info.FullMethod)
	if s.ownContexts {
		r.own = newOwnContext(r)
		defer r.own.cancel(nil)
	}
	if !s.tracker.begin(r) {
		return nil, s.refuse(ctx)
	}
	defer s.tracker.end(r) // also if the handler panics
	resp, err := handler(r.handlerContext(), req)
	if !r.end() {
		return nil, s.dropped(r)
	}
	return resp, err
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx := ss.Context()
	r := s.newRPC(ctx, info.FullMethod)
	r.own = newOwnContext(r)
	defer r.own.cancel(nil)
	wrapped := &stream{ServerStream: ss, rpc: r}
	var handed grpc.ServerStream = wrapped
	if r.method.endless {
		e := newEndlessStream(wrapped, info.IsClientStream)
		s.streams.add(e)
		defer s.streams.remove(e)
		handed = e
	}
	if !s.tracker.begin(r) {
		if r.end() {
			return s.refuse(ctx)
		}
		return s.dropped(r)
	}
	defer s.tracker.end(r)
	err := handler(srv, handed)
	if !r.end() {
		return s.dropped(r)
	}
	return err
}

func (s *Server) newRPC(ctx context.Context, method string) *rpc {
	r := &rpc{Context: ctx, method: s.method(ctx, method), began: time.Since(s.tracker.made)}
	if s.goAwayFirst > 0 {
		r.http = cameOverHTTP(ctx)
	}
	return r
}

// dropped returns what counts in the place of an answer that came when the shutdown had
// ended the RPC: the status that is on its way.
func (s *Server) dropped(r *rpc) error {
	s.telling.await(r)
	return leaving().Err()
}

// refuse answers an RPC that came too late.
func (s *Server) refuse(ctx context.Context) error {
	if trailer := s.trailer(); trailer != nil {
		_ = grpc.SetTrailer(ctx, trailer) // without it the status still says enough
	}
	return leaving().Err()
}

// method returns what is known of the method of an RPC. With the first RPC of each
// method it looks whether that came through ServeHTTP of the gRPC server itself.
func (s *Server) method(ctx context.Context, name string) *method {
	if s.tracker.methods.Load() == nil {
		if srv := s.server(); srv != nil {
			s.tracker.freeze(s, srv.GetServiceInfo())
		}
	}
	m := s.tracker.method(name)
	if !m.seen.Load() && !m.seen.Swap(true) && pastUs(ctx) {
		s.sawHTTP.Store(true)
	}
	return m
}

// stream is a stream whose context carries the Life.
type stream struct {
	grpc.ServerStream
	rpc *rpc
}

func (s *stream) Context() context.Context { return s.rpc.handlerContext() }
