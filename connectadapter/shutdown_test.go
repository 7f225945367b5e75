package connectadapter_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/connectadapter"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/shutdowntest"
)

const eventsPath = "/test/Events"

// TestShutdown shuts a connect-go service down in random ways: no rule is broken.
func TestShutdown(t *testing.T) {
	shutdowntest.Check(t, func(e *shutdowntest.Env) *controller.Controller {
		return e.Must(controller.New(e.Budget(),
			controller.WithServer("connect", httpadapter.New(e.Listen("connect"), &http.Server{Handler: service()}))))
	}, shutdowntest.HTTP("connect", unary), shutdowntest.HTTP("connect", events))
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
	return mux
}

func unary(ctx context.Context, c *http.Client) error {
	client := connect.NewClient[testgrpc.SimpleRequest, testgrpc.SimpleResponse](c, "http://connect"+unaryPath)
	_, err := client.CallUnary(ctx, connect.NewRequest(&testgrpc.SimpleRequest{}))
	return err
}

func events(ctx context.Context, c *http.Client) error {
	client := connect.NewClient[testgrpc.SimpleRequest, testgrpc.SimpleResponse](c, "http://connect"+eventsPath)
	stream, err := client.CallServerStream(ctx, connect.NewRequest(&testgrpc.SimpleRequest{}))
	if err != nil {
		return err
	}
	for stream.Receive() {
	}
	_ = stream.Close()
	return stream.Err()
}
