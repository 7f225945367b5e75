package grpcadapter_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

var budget = lastcall.Budget{Total: 10 * time.Second, Settle: 2 * time.Second, Reserve: 4 * time.Second}

// service runs a function as its unary handler.
type service struct {
	testgrpc.UnimplementedTestServiceServer
	unary func(context.Context) error
}

func (s service) UnaryCall(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{}, s.unary(ctx)
}

func (s service) StreamingOutputCall(_ *testgrpc.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	return s.unary(stream.Context())
}

// dial returns a client of what listens on lis.
func dial(t *testing.T, lis *mempipe.Listener) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///bufconn",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// serving is closed: another goroutine serves the server.
func serving() <-chan struct{} {
	ready := make(chan struct{})
	close(ready)
	return ready
}

func mustNew(t *testing.T, opts ...controller.Option) *controller.Controller {
	t.Helper()
	c, err := controller.New(budget, append(opts, controller.WithSignals())...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bubble runs a test in virtual time; what hangs is let go when it ends.
func bubble(t *testing.T, f func(t *testing.T, lis *mempipe.Listener, over <-chan struct{})) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		t.Cleanup(func() { // runs before the clients are closed: cleanups run last in, first out
			close(over)
			time.Sleep(time.Hour)
		})
		f(t, mempipe.Listen(1<<16), over)
	})
}

// shutdownAfter asks for the shutdown after a minute and returns the report.
func shutdownAfter(c *controller.Controller) report.Report {
	time.AfterFunc(time.Minute, func() { c.Shutdown(errors.New("asked for")) })
	return c.Run(context.Background())
}

// Handlers learn of the drain and of the timer through their contexts.
func TestHandlersHearOfTheDrain(t *testing.T) {
	for _, kind := range []string{"unary", "stream"} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
				var heard time.Time
				g := grpcadapter.New(lis)
				testgrpc.RegisterTestServiceServer(g.NewServer(), service{unary: func(ctx context.Context) error {
					if _, ok := lastcall.TimerAt(ctx); ok {
						t.Error("the timer is known before the trigger")
					}
					<-lastcall.Draining(ctx)
					heard = time.Now()
					if at, ok := lastcall.TimerAt(ctx); !ok || !at.Equal(heard.Add(4*time.Second)) {
						t.Errorf("TimerAt says %v, %v", at, ok)
					}
					time.Sleep(time.Second)
					return nil
				}})
				client := testgrpc.NewTestServiceClient(dial(t, lis))
				var err error
				time.AfterFunc(time.Second, func() {
					if kind == "unary" {
						_, err = client.UnaryCall(t.Context(), &testgrpc.SimpleRequest{})
						return
					}
					stream, serr := client.StreamingOutputCall(t.Context(), &testgrpc.StreamingOutputCallRequest{})
					if serr != nil {
						t.Error(serr)
						return
					}
					_, err = stream.Recv()
				})
				start := time.Now()
				r := shutdownAfter(mustNew(t, controller.WithServer("grpc", g)))
				synctest.Wait()
				if got := heard.Sub(start); got != time.Minute+2*time.Second {
					t.Errorf("the handler heard of the drain after %v", got)
				}
				if r.Took() != 3*time.Second || r.ExitCode() != report.ExitOK {
					t.Errorf("%v", r)
				}
				if err != nil && err.Error() != "EOF" {
					t.Errorf("the client got %v", err)
				}
			})
		})
	}
}

// A handler that ignores its end: GracefulStop never returns, Stop does, and with
// WaitForHandlers not even that (HAZARDS 2 and 4). Run returns by the deadline.
func TestStopIsBounded(t *testing.T) {
	for _, waits := range []bool{false, true} {
		bubble(t, func(t *testing.T, lis *mempipe.Listener, over <-chan struct{}) {
			g := grpcadapter.New(lis)
			srv := g.NewServer(grpc.WaitForHandlers(waits))
			testgrpc.RegisterTestServiceServer(srv, service{unary: func(context.Context) error { <-over; return nil }})
			client := testgrpc.NewTestServiceClient(dial(t, lis))
			time.AfterFunc(time.Second, func() {
				if _, err := client.UnaryCall(t.Context(), &testgrpc.SimpleRequest{}); status.Code(err) != codes.Unavailable {
					t.Errorf("the client got %v, want Unavailable", err)
				}
			})
			r := shutdownAfter(mustNew(t, controller.WithServer("grpc", g), controller.WithCloser("c", func() {})))
			if r.Took() >= budget.Total || r.Outcome != report.OutcomeAbandoned || r.ExitCode() != report.ExitAbandoned {
				t.Errorf("WaitForHandlers(%v): %v", waits, r)
			}
			stop := false
			for _, s := range r.Failures() {
				stop = stop || s.Op == report.OpStop
			}
			if stop != waits {
				t.Errorf("WaitForHandlers(%v): Stop is reported as late: %v\n%v", waits, stop, r)
			}
		})
	}
}

// A plain *grpc.Server, with its Serve in a closure or called by somebody else.
func TestPlainServer(t *testing.T) {
	t.Run("Serving", func(t *testing.T) {
		bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
			srv := grpc.NewServer()
			r := shutdownAfter(mustNew(t, controller.WithServer("grpc", srv, controller.On(lis))))
			if r.ExitCode() != report.ExitOK || r.Took() != budget.Settle {
				t.Error(r)
			}
		})
	})
	for name, server := range map[string]func(*grpc.Server) lastcall.Server{
		"served elsewhere": func(s *grpc.Server) lastcall.Server { return s },
		"Use":              func(s *grpc.Server) lastcall.Server { return grpcadapter.Use(s) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
				srv := grpc.NewServer()
				served := make(chan error, 1)
				go func() { served <- srv.Serve(lis) }()
				r := shutdownAfter(mustNew(t, controller.WithServer("grpc", server(srv), controller.ServedElsewhere(serving()))))
				if r.ExitCode() != report.ExitOK || r.Took() != budget.Settle {
					t.Error(r)
				}
				if err := <-served; err != nil {
					t.Errorf("Serve returned %v", err)
				}
			})
		})
	}
	t.Run("Use with a listener", func(t *testing.T) {
		bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
			h, srv := health.NewServer(), grpc.NewServer()
			healthpb.RegisterHealthServer(srv, h)
			wantHealthDown(t, grpcadapter.Use(srv, grpcadapter.WithListener(lis), grpcadapter.WithHealth(h)), lis)
		})
	})
}

// A shutdown before Serve, in the middle of its start, and twice: the listener is
// closed, and the end is clean.
func TestShutdownAroundServe(t *testing.T) {
	for _, after := range []time.Duration{-1, 0, 1} {
		for range 100 {
			bubble(t, func(t *testing.T, _ *mempipe.Listener, _ <-chan struct{}) {
				lis := &countingListener{Listener: mempipe.Listen(1)}
				g := grpcadapter.New(lis)
				g.NewServer()
				c := mustNew(t, controller.WithServer("grpc", g))
				if after < 0 {
					c.Shutdown(nil)
				} else {
					time.AfterFunc(after, func() { c.Shutdown(nil) })
				}
				time.AfterFunc(after, func() { c.Shutdown(nil) })
				r := c.Run(context.Background())
				if r.ExitCode() != report.ExitOK {
					t.Error(r)
				}
				if n := lis.closed.Load(); n != 1 {
					t.Errorf("the listener was closed %d times", n)
				}
			})
		}
	}
}

type countingListener struct {
	net.Listener
	closed atomic.Int32
}

func (l *countingListener) Close() error {
	l.closed.Add(1)
	return l.Listener.Close()
}

// A listener that fails while the server serves is a failure of the server.
func TestListenerFails(t *testing.T) {
	bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
		g := grpcadapter.New(lis)
		g.NewServer()
		time.AfterFunc(time.Second, func() { lis.Close() })
		r := mustNew(t, controller.WithServer("grpc", g)).Run(context.Background())
		var ended *report.EndedError
		if r.ExitCode() != report.ExitFailed || !errors.As(r.Cause, &ended) || ended.Name != "grpc" {
			t.Errorf("exit code %d, cause %v", r.ExitCode(), r.Cause)
		}
	})
}

// A gRPC server that was stopped before is a mistake: it serves nothing.
func TestStoppedBefore(t *testing.T) {
	for _, stop := range []func(*grpc.Server){(*grpc.Server).Stop, (*grpc.Server).GracefulStop} {
		for _, use := range []bool{false, true} {
			bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
				g := grpcadapter.New(lis)
				if use {
					srv := grpc.NewServer()
					stop(srv)
					g = grpcadapter.Use(srv, grpcadapter.WithListener(lis))
				} else {
					stop(g.NewServer())
				}
				r := mustNew(t, controller.WithServer("grpc", g), controller.WithoutStderr()).Run(t.Context())
				if r.ExitCode() != report.ExitFailed || !strings.Contains(r.String(), "was stopped before it served") {
					t.Error(r)
				}
			})
		}
	}
}

// The user's interceptors run inside ours, whichever option they came with.
func TestUsersInterceptors(t *testing.T) {
	bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
		calls := 0
		count := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			calls++
			return h(ctx, req)
		}
		chained := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			if lastcall.Draining(ctx) == nil {
				t.Error("a chained interceptor does not hear of the drain")
			}
			return h(ctx, req)
		}
		g := grpcadapter.New(lis)
		srv := g.NewServer(grpc.UnaryInterceptor(count), grpc.ChainUnaryInterceptor(count, chained))
		testgrpc.RegisterTestServiceServer(srv, service{unary: func(context.Context) error { return nil }})
		client := testgrpc.NewTestServiceClient(dial(t, lis))
		time.AfterFunc(time.Second, func() {
			if _, err := client.UnaryCall(t.Context(), &testgrpc.SimpleRequest{}); err != nil {
				t.Error(err)
			}
		})
		shutdownAfter(mustNew(t, controller.WithServer("grpc", g)))
		if calls != 2 {
			t.Errorf("the user's interceptors ran %d times, want 2", calls)
		}
	})
}

// A user who serves our server himself has two accept loops, and no harm done; one
// adapter in two controllers is told apart.
func TestServedTwice(t *testing.T) {
	bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
		h := health.NewServer()
		g := grpcadapter.New(lis, grpcadapter.WithHealth(h))
		srv := g.NewServer()
		healthpb.RegisterHealthServer(srv, h)
		other := mempipe.Listen(1 << 16)
		go func() { _ = srv.Serve(other) }()
		synctest.Wait()
		wantHealthDown(t, g, lis)
	})
	bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
		g := grpcadapter.New(lis)
		g.NewServer()
		first := mustNew(t, controller.WithServer("grpc", g))
		time.AfterFunc(time.Minute, func() {
			if err := g.Serve(); err == nil || !strings.Contains(err.Error(), "belongs to one controller") {
				t.Errorf("a second Serve: %v", err)
			}
			if _, err := controller.New(lastcall.DefaultBudget(), controller.WithServer("grpc", g)); err == nil || !strings.Contains(err.Error(), "belongs to one controller") {
				t.Errorf("New of a second controller: %v", err)
			}
			if first.Phase() != lastcall.PhaseServe {
				t.Errorf("the first one is in phase %v after a second Serve", first.Phase())
			}
			first.Shutdown(nil)
		})
		if r := first.Run(context.Background()); r.ExitCode() != report.ExitOK {
			t.Error(r)
		}
	})
}

// All methods may be called at the same time; the race detector watches.
func TestConcurrentCalls(t *testing.T) {
	for range 100 {
		g := grpcadapter.New(mempipe.Listen(1))
		var wg sync.WaitGroup
		wg.Go(func() { g.NewServer() })
		wg.Go(func() { _ = g.Announce(t.Context()) })
		wg.Go(func() { _ = g.Health() })
		wg.Go(func() { _ = g.Check() })
		wg.Go(g.GracefulStop)
		wg.Go(g.Stop)
		wg.Wait()
	}
}

func TestMadeWrong(t *testing.T) {
	lis := mempipe.Listen(1)
	var nilListener *mempipe.Listener
	var nilServer *grpc.Server
	twice := grpcadapter.New(lis)
	twice.NewServer()
	twice.NewServer()
	used := grpcadapter.Use(grpc.NewServer())
	used.NewServer()
	optional := grpcadapter.New(lis)
	optional.NewServer(grpc.MaxRecvMsgSize(1), nil)
	ready := grpcadapter.WithReady(make(chan struct{}))
	for name, tt := range map[string]struct {
		g    *grpcadapter.Server
		want string
	}{
		"nil listener":          {grpcadapter.New(nil), "the listener is nil"},
		"nil pointer":           {grpcadapter.New(nilListener), "the listener is nil"},
		"nil option":            {grpcadapter.New(lis, nil), "an option is nil"},
		"nil health":            {grpcadapter.New(lis, grpcadapter.WithHealth(nil)), "WithHealth was given nil"},
		"nil server":            {grpcadapter.Use(nil), "Use was given a nil server"},
		"nil server pointer":    {grpcadapter.Use(nilServer), "Use was given a nil server"},
		"NewServer twice":       {twice, "has its gRPC server already"},
		"NewServer after Use":   {used, "has its gRPC server already"},
		"Adopt nil":             {adopting(nilServer), "Adopt was given a nil server"},
		"Adopt with no options": {adopting(grpc.NewServer()), "built without ServerOptions; Use is for those"},
		"no method":             {grpcadapter.New(lis, grpcadapter.WithEndlessStreams("Watch")), `given "Watch", which is not a method: write "/package.Service/Method"`},
		"negative spread":       {grpcadapter.New(lis, grpcadapter.WithSpread(-time.Second)), "WithSpread was given -1s"},
		"long pushback":         {grpcadapter.New(lis, grpcadapter.WithRetryPushback(25*time.Hour)), "WithRetryPushback was given 25h0m0s"},
		"nil server option":     {optional, "option 2 of the gRPC server is nil"},
		"no endless method":     {grpcadapter.New(lis, grpcadapter.WithEndlessStreams()), "WithEndlessStreams was given no method"},
		"health and none":       {grpcadapter.New(lis, grpcadapter.WithoutHealth(), grpcadapter.WithHealth(health.NewServer())), "both WithHealth and WithoutHealth were given"},
		"health twice":          {grpcadapter.New(lis, grpcadapter.WithHealth(health.NewServer()), grpcadapter.WithHealth(health.NewServer())), "WithHealth was given twice"},
		"ready twice":           {grpcadapter.New(lis, ready, ready), "WithReady was given twice"},
		"spread, no unit":       {grpcadapter.New(lis, grpcadapter.WithSpread(5)), "WithSpread is 5ns: a number without a unit counts nanoseconds; write 5*time.Second"},
		"pushback, no unit":     {grpcadapter.New(lis, grpcadapter.WithRetryPushback(5)), "WithRetryPushback is 5ns: a number without a unit"},
		"handshake, no unit":    {grpcadapter.New(grpcadapter.WrapListener(lis, grpcadapter.HandshakeTime(5))), "HandshakeTime is 5ns: a number without a unit"},
		"user timeout, no unit": {grpcadapter.New(grpcadapter.WrapListener(lis, grpcadapter.UserTimeout(5))), "UserTimeout is 5ns: a number without a unit"},
		"nil ready":             {grpcadapter.New(lis, grpcadapter.WithReady(nil)), "WithReady was given a nil channel"},
		"no NewServer":          {grpcadapter.New(lis), "neither NewServer nor Adopt was called"},
		"no NewServer, HTTP":    {grpcadapter.New(nil, grpcadapter.OverHTTP()), "neither NewServer nor Adopt was called"},
		"no handshake":          {grpcadapter.New(grpcadapter.WrapListener(lis, grpcadapter.HandshakeTime(0))), "HandshakeTime is 0s"},
		"no interceptors":       {grpcadapter.Use(grpc.NewServer(), grpcadapter.WithSpread(1)), "WithSpread needs the adapter's interceptors"},
		"zero":                  {&grpcadapter.Server{}, "a Server that was not made by New or Use"},
		"nil":                   {nil, "is nil"},
		"zero listener":         {grpcadapter.New(&grpcadapter.Listener{}), "a Listener that was not made by WrapListener"},
		"two listeners":         {grpcadapter.New(lis, grpcadapter.WithListener(lis)), "there are two listeners"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := controller.New(budget, controller.WithServer("grpc", tt.g))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("controller.New says %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("no such method", func(t *testing.T) {
		for method, want := range map[string]string{"/a.B/C": "has no such method", testgrpc.TestService_UnaryCall_FullMethodName: "is a unary method"} {
			bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
				g := grpcadapter.New(lis, grpcadapter.WithEndlessStreams(method))
				testgrpc.RegisterTestServiceServer(g.NewServer(), testgrpc.UnimplementedTestServiceServer{})
				r := mustNew(t, controller.WithServer("grpc", g)).Run(context.Background())
				if r.ExitCode() != report.ExitFailed || !strings.Contains(r.CauseText, want) {
					t.Errorf("exit code %d, cause %q", r.ExitCode(), r.CauseText)
				}
			})
		}
	})
}

// What was not made by its constructor does no harm, whatever is called.
func TestZeroValues(t *testing.T) {
	var g grpcadapter.Server
	testgrpc.RegisterTestServiceServer(g.NewServer(), answers{})
	g.Adopt(grpc.NewServer(g.ServerOptions()...))
	g.Attach(new(controller.Controller))
	if err := g.Serve(); err == nil || !strings.Contains(err.Error(), "not made by New or Use") {
		t.Errorf("Serve returned %v", err)
	}
	if err := g.Announce(t.Context()); err == nil {
		t.Error("Announce returned nil")
	}
	g.GracefulStop()
	g.Cancel(t.Context(), errors.New("cause"))
	g.Stop()
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody))
	if n := g.Cut(); n != 0 || w.Code != http.StatusNotImplemented || g.InFlight() != nil || g.Notes() != nil || !g.LastArrival().IsZero() || g.Health() != nil {
		t.Errorf("Cut %d, ServeHTTP %d, InFlight %v, Notes %v, LastArrival %v, Health %v", n, w.Code, g.InFlight(), g.Notes(), g.LastArrival(), g.Health())
	}
	var l grpcadapter.Listener
	if c, err := l.Accept(); c != nil || err == nil || !strings.Contains(err.Error(), "not made by WrapListener") {
		t.Errorf("Accept returned %v, %v", c, err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close returned %v", err)
	}
	if l.Addr() == nil {
		t.Error("Addr is nil")
	}
	if _, err := l.SyscallConn(); err == nil {
		t.Error("SyscallConn returned no error")
	}
}

func adopting(srv *grpc.Server) *grpcadapter.Server {
	g := grpcadapter.New(mempipe.Listen(1))
	g.Adopt(srv)
	return g
}

// A Serve that fails closes the listener, also without a controller.
func TestFailingServeClosesListener(t *testing.T) {
	lis := &countingListener{Listener: mempipe.Listen(1)}
	g := grpcadapter.New(lis, grpcadapter.WithEndlessStreams("/a.B/C"))
	g.NewServer()
	if err := g.Serve(); err == nil {
		t.Error("Serve returned nil")
	}
	for limit := time.Now().Add(10 * time.Second); lis.closed.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the listener is open")
		}
	}
}

// A server that an http.Server serves as well accepts work when its own listener does.
func TestOverHTTPWithListener(t *testing.T) {
	g := grpcadapter.New(mempipe.Listen(1), grpcadapter.OverHTTP())
	if foreign.IsClosed(g.Accepting()) {
		t.Error("it accepts work, and was not served")
	}
}
