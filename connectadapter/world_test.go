package connectadapter_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// The service of grpc's interoperability tests, by connect-go: no code is generated.
const (
	unaryPath  = testgrpc.TestService_UnaryCall_FullMethodName
	serverPath = testgrpc.TestService_StreamingOutputCall_FullMethodName
	clientPath = testgrpc.TestService_StreamingInputCall_FullMethodName
	bidiPath   = testgrpc.TestService_FullDuplexCall_FullMethodName
)

type (
	unaryIn   = testgrpc.SimpleRequest
	unaryOut  = testgrpc.SimpleResponse
	serverIn  = testgrpc.StreamingOutputCallRequest
	serverOut = testgrpc.StreamingOutputCallResponse
	clientIn  = testgrpc.StreamingInputCallRequest
	clientOut = testgrpc.StreamingInputCallResponse
)

var errAsked = errors.New("asked for")

// handlers serves every method with a function that ends as it likes; streams send one
// message before, and client streams read until that fails.
func handlers(wait func(context.Context) error, opts ...connect.HandlerOption) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(unaryPath, connect.NewUnaryHandler(unaryPath, func(ctx context.Context, _ *connect.Request[unaryIn]) (*connect.Response[unaryOut], error) {
		return connect.NewResponse(&unaryOut{}), wait(ctx)
	}, opts...))
	mux.Handle(serverPath, connect.NewServerStreamHandler(serverPath, func(ctx context.Context, _ *connect.Request[serverIn], s *connect.ServerStream[serverOut]) error {
		if err := s.Send(&serverOut{}); err != nil {
			return err
		}
		return wait(ctx)
	}, opts...))
	mux.Handle(clientPath, connect.NewClientStreamHandler(clientPath, func(_ context.Context, s *connect.ClientStream[clientIn]) (*connect.Response[clientOut], error) {
		for s.Receive() {
		}
		return connect.NewResponse(&clientOut{}), s.Err()
	}, opts...))
	mux.Handle(bidiPath, connect.NewBidiStreamHandler(bidiPath, func(ctx context.Context, s *connect.BidiStream[serverIn, serverOut]) error {
		if _, err := s.Receive(); err != nil {
			return err
		}
		if err := s.Send(&serverOut{}); err != nil {
			return err
		}
		return wait(ctx)
	}, opts...))
	return mux
}

// serve runs a server until the test has ended, and returns its controller.
func serve(t *testing.T, lis net.Listener, handler http.Handler, budget lastcall.Budget, opts ...httpadapter.Option) *controller.Controller {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	h := httpadapter.New(lis, &http.Server{Handler: handler, Protocols: protocols}, opts...)
	ctl, err := controller.New(budget, controller.WithSignals(), controller.WithServer("http", h))
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { defer close(over); ctl.Run(context.Background()) }()
	t.Cleanup(func() { ctl.Force(); <-over })
	<-ctl.Serving()
	return ctl
}

// budget is one without a settle: the timer fires 10 s after the trigger.
func budget() lastcall.Budget {
	return lastcall.Budget{Total: 16 * time.Second, Reserve: 6 * time.Second}
}
