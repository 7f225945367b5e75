package connectadapter_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/connectadapter"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/shutdowntest"
)

const eventsPath, somePath = "/test/Events", "/test/Some"

// TestShutdown shuts a connect-go service down in random ways: no rule is broken.
func TestShutdown(t *testing.T) {
	shutdowntest.Check(t, func(e *shutdowntest.Env) *controller.Controller {
		return e.Must(controller.New(e.Budget(),
			controller.WithServer("connect", httpadapter.New(e.Listen("connect"), &http.Server{Handler: service()}))))
	}, shutdowntest.HTTP("connect", unary), shutdowntest.HTTP("connect", events), shutdowntest.HTTP("connect", some))
}

// service has one unary RPC and a stream that watches the drain.
func service() http.Handler {
	mux := http.NewServeMux()
	with := connect.WithInterceptors(connectadapter.Interceptor())
	mux.Handle(unaryPath, connect.NewUnaryHandler(unaryPath, func(ctx context.Context, _ *connect.Request[testgrpc.SimpleRequest]) (*connect.Response[testgrpc.SimpleResponse], error) {
		select {
		case <-time.After(300 * time.Millisecond):
			return connect.NewResponse(&testgrpc.SimpleResponse{Username: "you"}), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}, with))
	mux.Handle(eventsPath, connect.NewServerStreamHandler(eventsPath, func(ctx context.Context, _ *connect.Request[testgrpc.SimpleRequest], s *connect.ServerStream[testgrpc.SimpleResponse]) error {
		for {
			if err := s.Send(&testgrpc.SimpleResponse{}); err != nil {
				return err
			}
			select {
			case <-time.After(time.Second):
			case <-lastcall.Draining(ctx):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}, with))
	mux.Handle(somePath, connect.NewServerStreamHandler(somePath, func(ctx context.Context, _ *connect.Request[testgrpc.SimpleRequest], s *connect.ServerStream[testgrpc.SimpleResponse]) error {
		for range 5 {
			if err := s.Send(&testgrpc.SimpleResponse{}); err != nil {
				return err
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}, with))
	return mux
}

func unary(ctx context.Context, c *http.Client) error {
	client := connect.NewClient[testgrpc.SimpleRequest, testgrpc.SimpleResponse](c, "http://connect"+unaryPath)
	_, err := client.CallUnary(ctx, connect.NewRequest(&testgrpc.SimpleRequest{}))
	return err
}

func events(ctx context.Context, c *http.Client) error { return stream(ctx, c, eventsPath) }

// some reads a stream that ends by itself. Its error is in an answer of status 200: the kit
// is told which one clients retry.
func some(ctx context.Context, c *http.Client) error {
	err := stream(ctx, c, somePath)
	if connect.CodeOf(err) == connect.CodeUnavailable {
		err = status.Error(codes.Unavailable, err.Error())
	}
	return err
}

func stream(ctx context.Context, c *http.Client, path string) error {
	client := connect.NewClient[testgrpc.SimpleRequest, testgrpc.SimpleResponse](c, "http://connect"+path)
	stream, err := client.CallServerStream(ctx, connect.NewRequest(&testgrpc.SimpleRequest{}))
	if err != nil {
		return err
	}
	for stream.Receive() {
	}
	_ = stream.Close()
	return stream.Err()
}
