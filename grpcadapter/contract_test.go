package grpcadapter_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/contracttest"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// jobs is a service whose handlers run the functions that they are given.
type jobs struct {
	testgrpc.UnimplementedTestServiceServer
	handle chan func(context.Context)
}

func (s jobs) UnaryCall(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	(<-s.handle)(ctx)
	return &testgrpc.SimpleResponse{}, nil
}

func (s jobs) StreamingOutputCall(_ *testgrpc.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	(<-s.handle)(stream.Context())
	return nil
}

// door is one of the ways in which a server comes to the adapter.
type door struct {
	build  func(*testing.T, *mempipe.Listener, jobs) *grpcadapter.Server
	silent bool // it has connections of its own, which may be silent
	unseen bool
}

func doors() map[string]door {
	return map[string]door{
		"NewServer": {silent: true, build: func(_ *testing.T, lis *mempipe.Listener, s jobs) *grpcadapter.Server {
			g := grpcadapter.New(lis, grpcadapter.WithUnaryContexts())
			testgrpc.RegisterTestServiceServer(g.NewServer(), s)
			return g
		}},
		"Adopt": {silent: true, build: func(_ *testing.T, lis *mempipe.Listener, s jobs) *grpcadapter.Server {
			g := grpcadapter.New(lis, grpcadapter.WithUnaryContexts())
			srv := grpc.NewServer(g.ServerOptions()...)
			testgrpc.RegisterTestServiceServer(srv, s)
			g.Adopt(srv)
			return g
		}},
		"Use": {silent: true, unseen: true, build: func(_ *testing.T, lis *mempipe.Listener, s jobs) *grpcadapter.Server {
			srv := grpc.NewServer()
			testgrpc.RegisterTestServiceServer(srv, s)
			return grpcadapter.Use(srv, grpcadapter.WithListener(lis))
		}},
		"OverHTTP": {build: func(t *testing.T, lis *mempipe.Listener, s jobs) *grpcadapter.Server {
			g := grpcadapter.New(nil, grpcadapter.OverHTTP(), grpcadapter.WithUnaryContexts())
			testgrpc.RegisterTestServiceServer(g.NewServer(), s)
			front := &http.Server{Handler: g, Protocols: &http.Protocols{}, ReadHeaderTimeout: time.Minute}
			front.Protocols.SetUnencryptedHTTP2(true)
			go func() { _ = front.Serve(lis) }()
			t.Cleanup(func() { front.Close() })
			return g
		}},
	}
}

// TestContract: the adapter keeps the contract of its kind, with unary RPCs and with
// streams, through each of its doors. A server from Use has no interceptors, so it does not
// see its RPCs. Over HTTP an http.Server serves, and Serve returns lastcall.ErrServedElsewhere.
func TestContract(t *testing.T) {
	for name, door := range doors() {
		for kind, call := range map[string]func(testgrpc.TestServiceClient) error{"unary": callUnary, "stream": callStream} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				contracttest.TestContract(t, contracttest.Subject{
					Zero:   &grpcadapter.Server{},
					Unseen: door.unseen,
					New: func(t *testing.T) contracttest.Instance {
						lis := mempipe.Listen(1 << 16)
						s := jobs{handle: make(chan func(context.Context), 10)}
						i := contracttest.Instance{Server: door.build(t, lis, s), Begin: begin(t, s, lis.DialContext, call)}
						if door.silent {
							i.Idle = func() {
								if c, err := lis.Dial(); err == nil {
									t.Cleanup(func() { c.Close() })
								}
							}
						}
						return i
					},
				})
			})
		}
	}
}

// A second call of GracefulStop blocks as the first one does.
func TestSecondGracefulStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis, s := mempipe.Listen(1<<16), jobs{handle: make(chan func(context.Context), 1)}
		g := doors()["NewServer"].build(t, lis, s)
		served := make(chan error, 1)
		go func() { served <- g.Serve() }()
		<-g.Accepting()
		release := make(chan struct{})
		result := begin(t, s, lis.DialContext, callUnary)(func(context.Context) { <-release })
		synctest.Wait()
		returned := make(chan struct{}, 2)
		for range cap(returned) {
			go func() {
				g.GracefulStop()
				returned <- struct{}{}
			}()
		}
		time.Sleep(time.Minute)
		if n := len(returned); n > 0 {
			t.Errorf("%d calls have returned while an RPC was in flight", n)
		}
		close(release)
		for range cap(returned) {
			<-returned
		}
		if err := errors.Join(<-result, <-served); err != nil {
			t.Error(err)
		}
	})
}

// begin returns Begin of a contracttest.Instance, with a client of its own.
func begin(t *testing.T, s jobs, dial func(context.Context) (net.Conn, error), call func(testgrpc.TestServiceClient) error) func(func(context.Context)) <-chan error {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		time.Sleep(time.Hour) // for what grpc leaves to its timers
	})
	client := testgrpc.NewTestServiceClient(conn)
	return func(handle func(context.Context)) <-chan error {
		s.handle <- handle
		result := make(chan error, 1)
		go func() { result <- call(client) }()
		return result
	}
}

func callUnary(client testgrpc.TestServiceClient) error {
	_, err := client.UnaryCall(context.Background(), &testgrpc.SimpleRequest{})
	return err
}

func callStream(client testgrpc.TestServiceClient) error {
	stream, err := client.StreamingOutputCall(context.Background(), &testgrpc.StreamingOutputCallRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
