package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lastcall-go/lastcall"
)

// serviceName is the demo's gRPC service. It is described by hand, with messages
// that protobuf brings along, so that nothing has to be generated.
const serviceName = "lastcall.demo.Service"

// The methods. The unary ones are given the time to take, and all answer with the
// name of the replica.
const (
	methodCall    = "Call"    // unary, short
	methodSlow    = "Slow"    // unary, lasts into the drain
	methodStuck   = "Stuck"   // unary, ignores its context
	methodWatch   = "Watch"   // stream, ends when the client closes it, or early because of the drain
	methodEndless = "Endless" // stream, ends when the client closes it
)

// tickEvery is how often a stream carries a message.
const tickEvery = 100 * time.Millisecond

// service is what one replica serves.
type service struct {
	replica string
	store   *store
	release <-chan struct{} // closed when the demo is over
}

func (s *service) desc() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: serviceName,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			s.unary(methodCall, s.work),
			s.unary(methodSlow, s.work),
			s.unary(methodStuck, s.stuck),
		},
		Streams: []grpc.StreamDesc{
			stream(methodWatch, func(st grpc.ServerStream) error { return s.watch(st, lastcall.Draining(st.Context())) }),
			stream(methodEndless, func(st grpc.ServerStream) error { return s.watch(st, nil) }),
		},
	}
}

// path is the full name of a method.
func path(method string) string { return "/" + serviceName + "/" + method }

// work is busy for the given time, unless its context ends.
func (s *service) work(ctx context.Context, d time.Duration) error {
	if err := s.useStore(); err != nil {
		return err
	}
	select {
	case <-time.After(d):
		return s.useStore()
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// useStore is an error that the clients see if the store has been closed.
func (s *service) useStore() error {
	if !s.store.open() {
		return status.Error(codes.Internal, "the store was closed under a running handler")
	}
	return nil
}

// stuck is a handler as there are many: it does not look at its context.
func (s *service) stuck(context.Context, time.Duration) error {
	<-s.release
	return status.Error(codes.Aborted, "the demo is over")
}

// watch sends messages until the client closes its side or the context ends. Once
// draining is closed it sends a last one, and the client looks for another replica.
func (s *service) watch(st grpc.ServerStream, draining <-chan struct{}) error {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = st.RecvMsg(new(wrapperspb.StringValue)) // the client sends nothing: this is its end
	}()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		if err := s.useStore(); err != nil {
			return err
		}
		if err := st.SendMsg(wrapperspb.String(s.replica)); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-draining:
			return st.SendMsg(wrapperspb.String(s.replica + " is leaving: go to another replica"))
		case <-closed:
			return nil
		case <-st.Context().Done():
			return status.FromContextError(st.Context().Err()).Err()
		}
	}
}

// unary describes a method that takes a duration and answers with the name of the
// replica, as generated code would.
func (s *service) unary(name string, handle func(context.Context, time.Duration) error) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		in := new(durationpb.Duration)
		if err := decode(in); err != nil {
			return nil, err
		}
		handler := func(ctx context.Context, _ any) (any, error) {
			if err := handle(ctx, in.AsDuration()); err != nil {
				return nil, err
			}
			return wrapperspb.String(s.replica), nil
		}
		if interceptor == nil {
			return handler(ctx, in)
		}
		return interceptor(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: path(name)}, handler)
	}}
}

// stream describes a method with messages in both directions.
func stream(name string, handle func(grpc.ServerStream) error) grpc.StreamDesc {
	return grpc.StreamDesc{StreamName: name, ServerStreams: true, ClientStreams: true, Handler: func(_ any, st grpc.ServerStream) error { return handle(st) }}
}
