package grpcadapter

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// BenchmarkUnaryInterceptor is the interceptor alone, around a handler that does
// nothing.
func BenchmarkUnaryInterceptor(b *testing.B) {
	for name, opts := range map[string][]Option{"default": nil, "WithUnaryContexts": {WithUnaryContexts()}} {
		b.Run(name, func(b *testing.B) {
			s := New(mempipe.Listen(1), opts...)
			testgrpc.RegisterTestServiceServer(s.NewServer(), testgrpc.UnimplementedTestServiceServer{})
			info := &grpc.UnaryServerInfo{FullMethod: testgrpc.TestService_UnaryCall_FullMethodName}
			handler := func(context.Context, any) (any, error) { return nil, nil }
			ctx := b.Context()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, _ = s.unary(ctx, nil, info, handler)
				}
			})
		})
	}
}
