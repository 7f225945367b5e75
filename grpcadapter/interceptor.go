package grpcadapter

import (
	"context"

	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall/controller"
)

// unary and stream give handlers the Life. Before Attach there is none to give.

func (s *Server) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return handler(s.withLife(ctx), req)
}

func (s *Server) stream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, &lifeStream{ServerStream: stream, ctx: s.withLife(stream.Context())})
}

func (s *Server) withLife(ctx context.Context) context.Context {
	if l := s.life.Load(); l != nil {
		return controller.NewContext(ctx, *l)
	}
	return ctx
}

// lifeStream is a stream whose context carries the Life.
type lifeStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *lifeStream) Context() context.Context { return s.ctx }
