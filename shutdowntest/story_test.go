package shutdowntest_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/shutdowntest"
)

// The service of docs/testing.md: it has one unary RPC and one stream.
type service struct {
	testgrpc.UnimplementedTestServiceServer
	drains bool
}

func (service) UnaryCall(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	time.Sleep(100 * time.Millisecond)
	return &testgrpc.SimpleResponse{}, nil
}

func (s service) StreamingOutputCall(_ *testgrpc.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	if s.drains {
		return s.events(stream)
	}
	for {
		if err := stream.Send(&testgrpc.StreamingOutputCallResponse{}); err != nil {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (service) events(stream testgrpc.TestService_StreamingOutputCallServer) error {
	for {
		if err := stream.Send(&testgrpc.StreamingOutputCallResponse{}); err != nil {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-lastcall.Draining(stream.Context()):
			return nil
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// one is a unary call, and events a stream that is read until it ends.
func one(ctx context.Context, cc *grpc.ClientConn) error {
	_, err := testgrpc.NewTestServiceClient(cc).UnaryCall(ctx, &testgrpc.SimpleRequest{})
	return err
}

func events(ctx context.Context, cc *grpc.ClientConn) error {
	stream, err := testgrpc.NewTestServiceClient(cc).StreamingOutputCall(ctx, &testgrpc.StreamingOutputCallRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	return shutdowntest.Ended(err) // nil for io.EOF
}

// newService is what main calls, with listeners of its own.
func newService(budget lastcall.Budget, lis net.Listener, s service) (*controller.Controller, error) {
	g := grpcadapter.New(lis)
	testgrpc.RegisterTestServiceServer(g.NewServer(), s)
	return controller.New(budget, controller.WithServer("grpc", g))
}

func testBefore(t *testing.T) {
	shutdowntest.CheckServer(t, func(e *shutdowntest.Env) (stop func(context.Context)) {
		srv, lis := grpc.NewServer(), e.Listen("grpc")
		testgrpc.RegisterTestServiceServer(srv, service{})
		go srv.Serve(lis)                                   //nolint:errcheck // it ends with the stop
		return func(context.Context) { srv.GracefulStop() } // what main does at SIGTERM
	}, shutdowntest.GRPC("grpc", one))
}

func testFirst(t *testing.T) {
	shutdowntest.Check(t, func(e *shutdowntest.Env) *controller.Controller {
		return e.Must(newService(e.Budget(), e.Listen("grpc"), service{}))
	},
		shutdowntest.GRPC("grpc", one),
		shutdowntest.GRPC("grpc", events),
	)
}

// TestShutdown is the test of docs/testing.md, when its service is right.
func TestShutdown(t *testing.T) {
	shutdowntest.Check(t, func(e *shutdowntest.Env) *controller.Controller {
		return e.Must(newService(e.Budget(), e.Listen("grpc"), service{drains: true}))
	}, shutdowntest.GRPC("grpc", one), shutdowntest.GRPC("grpc", events))
}

// TestStory: the tests of docs/testing.md that should be red are red, in a process of
// their own, for the reason that the page gives, and with all that it says they print.
func TestStory(t *testing.T) {
	reds := map[string]struct {
		test func(*testing.T)
		want []string
	}{
		"before": {testBefore, []string{`rule "bounded"`, "and no more", "To reproduce, specify"}},
		"first":  {testFirst, []string{`rule "drained"`, "what was asked:", "what happened:", "fails: rpc error: code = Unavailable", "sequenceDiagram", "To reproduce, specify"}},
	}
	const env = "SHUTDOWNTEST_STORY"
	if red, ok := reds[os.Getenv(env)]; ok {
		red.test(t)
		return
	}
	for name, red := range reds {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStory$", "-rapid.nofailfile", "-rapid.checks=1000")
		cmd.Env = append(os.Environ(), env+"="+name)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s is green", name)
		}
		for _, want := range red.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s does not print %q:\n%s", name, want, out)
			}
		}
	}
}
