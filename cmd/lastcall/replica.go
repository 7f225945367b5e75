package main

import (
	"context"
	"fmt"
	"net"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lastcall-go/lastcall/grpcadapter"
)

// The two servers of the demo: replica a is shut down by the controller, replica b
// stays, as the other pods of a deployment do.
const (
	replicaA = "a"
	replicaB = "b"
)

// replica is a gRPC server on a free loopback port.
type replica struct {
	name   string
	lis    net.Listener
	ledger *ledger
}

func newReplica(name string, l *ledger) (*replica, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("replica %s found no port to listen on: %w", name, err)
	}
	return &replica{name: name, lis: lis, ledger: l}, nil
}

func (r *replica) addr() string { return r.lis.Addr().String() }

// adapted returns the replica's server for a controller, which serves it.
func (r *replica) adapted(s *service) *grpcadapter.Server {
	g := grpcadapter.New(r.lis)
	g.NewServer(r.options()...).RegisterService(s.desc(), s)
	return g
}

// serve serves without a controller, until stop is called.
func (r *replica) serve(s *service) (stop func()) {
	srv := grpc.NewServer(r.options()...)
	srv.RegisterService(s.desc(), s)
	h := health.NewServer()
	h.SetServingStatus(serviceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(srv, h)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(r.lis) // if it cannot, the clients do not find it, and the demo says so
	}()
	return func() {
		srv.Stop()
		<-served
	}
}

// options makes the server write into the ledger what is in flight.
func (r *replica) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			defer r.counted(info.FullMethod)()
			return handler(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, st grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			defer r.counted(info.FullMethod)()
			return handler(srv, st)
		}),
	}
}

// counted counts an RPC until the function that it returns is called. Health
// checks do not count.
func (r *replica) counted(fullMethod string) func() {
	method, ok := strings.CutPrefix(fullMethod, path(""))
	if !ok {
		return func() {}
	}
	p := place{replica: r.name, method: method}
	r.ledger.enter(p)
	return func() { r.ledger.leave(p) }
}
