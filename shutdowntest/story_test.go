package shutdowntest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/shutdowntest"
)

// The service of docs/testing.md: it has one answer that takes a moment, and a stream of events.
func orders(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(100 * time.Millisecond) // a query
	fmt.Fprintln(w, `{"order": 1}`)
}

func events(w http.ResponseWriter, r *http.Request) {
	for {
		fmt.Fprint(w, "data: a new order\n\n")
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
			return
		}
	}
}

// eventsDrain is events, and ends with the drain.
func eventsDrain(w http.ResponseWriter, r *http.Request) {
	for {
		fmt.Fprint(w, "data: a new order\n\n")
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-lastcall.Draining(r.Context()):
			return
		case <-r.Context().Done():
			return
		}
	}
}

func handler(events http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/1", orders)
	mux.HandleFunc("GET /events", events)
	return mux
}

// newService is what main calls, with listeners of its own.
func newService(budget lastcall.Budget, lis net.Listener, db io.Closer, h http.Handler) (*controller.Controller, error) {
	return controller.New(budget,
		controller.WithServer("http", httpadapter.New(lis, &http.Server{Handler: h})),
		controller.WithCloser("db", db.Close),
	)
}

func testWith(t *testing.T, h http.Handler) {
	shutdowntest.Check(t, func(e *shutdowntest.Env) *controller.Controller {
		db := e.Watch("db", io.NopCloser(nil)) // the real one goes here
		return e.Must(newService(e.Budget(), e.Listen("http"), db, h))
	},
		shutdowntest.HTTP("http", get("/orders/1")),
		shutdowntest.HTTP("http", get("/events")),
	)
}

// TestShutdown is the test of docs/testing.md, when its service is right.
func TestShutdown(t *testing.T) { testWith(t, handler(eventsDrain)) }

// consume returns a worker: it takes jobs until claim ends, and finishes the one that it has.
// claimed does nothing in main.
func consume(take func(context.Context) (string, error), write func(context.Context, string) error, claimed func(context.Context) (done func())) func(claim, work context.Context) error {
	return func(claim, work context.Context) error {
		for {
			job, err := take(claim)
			if err != nil {
				return nil //nolint:nilerr // claim has ended
			}
			done := claimed(claim)
			err = write(work, job)
			done()
			if err != nil {
				return err
			}
		}
	}
}

// TestWorker is the test of docs/testing.md for a worker.
func TestWorker(t *testing.T) {
	take := func(ctx context.Context) (string, error) { // a queue that always has a job, after a while
		select {
		case <-time.After(300 * time.Millisecond):
			return "an order", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	write := func(context.Context, string) error { time.Sleep(100 * time.Millisecond); return nil }
	shutdowntest.Check(t, func(e *shutdowntest.Env) *controller.Controller {
		db := e.Watch("db", io.NopCloser(nil))
		claimed := func(claim context.Context) func() { return e.Claim(claim, "orders") }
		return e.Must(controller.New(e.Budget(),
			controller.WithWorker("orders", consume(take, write, claimed)),
			controller.WithCloser("db", db.Close),
		))
	})
}

// service is one with gRPC.
type service struct {
	testgrpc.UnimplementedTestServiceServer
}

func (service) UnaryCall(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{}, nil
}

func testGRPC(t *testing.T) {
	shutdowntest.CheckServer(t, func(e *shutdowntest.Env) (stop func(context.Context)) {
		srv, lis := grpc.NewServer(), e.Listen("grpc")
		testgrpc.RegisterTestServiceServer(srv, service{})
		go srv.Serve(lis) //nolint:errcheck // it ends with the stop
		return func(context.Context) { srv.GracefulStop() }
	}, shutdowntest.GRPC("grpc", func(ctx context.Context, cc *grpc.ClientConn) error {
		_, err := testgrpc.NewTestServiceClient(cc).UnaryCall(ctx, &testgrpc.SimpleRequest{})
		return err
	}))
}

// TestStory: the tests of docs/testing.md that should be red are red, in a process of
// their own, for the reason that the page gives, and with all that it says they print.
func TestStory(t *testing.T) {
	reds := map[string]struct {
		test func(*testing.T)
		want []string
	}{
		"before": {testBefore, []string{`rule "drained"`, "what was asked:", "what happened:", "To reproduce, specify"}},
		"first":  {func(t *testing.T) { testWith(t, handler(events)) }, []string{`rule "drained"`, "TIMER_EXPIRED", "sequenceDiagram"}},
		"gRPC":   {testGRPC, []string{`rule "bounded"`, "and no more"}},
	}
	const env = "SHUTDOWNTEST_STORY"
	if red, ok := reds[os.Getenv(env)]; ok {
		red.test(t)
		return
	}
	for name, red := range reds {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStory$", "-rapid.nofailfile", "-rapid.checks=1000", "-rapid.shrinktime=30s")
		cmd.Env = append(os.Environ(), env+"="+name)
		out, err := cmd.CombinedOutput()
		if testing.Verbose() {
			t.Logf("%s", out)
		}
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
