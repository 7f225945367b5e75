package grpcadapter_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
	"github.com/lastcall-go/lastcall/report"
)

func healthOf(t *testing.T, conn *grpc.ClientConn, name string) healthpb.HealthCheckResponse_ServingStatus {
	t.Helper()
	r, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
	if err != nil {
		t.Errorf("health of %q: %v", name, err)
		return -1
	}
	return r.Status
}

// Health of every service is SERVING until announce, NOT_SERVING in settle, and
// stays so; RPCs are served all the while.
func TestHealthGoesDownFirst(t *testing.T) {
	bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
		g := grpcadapter.New(lis)
		testgrpc.RegisterTestServiceServer(g.NewServer(), service{unary: func(context.Context) error { return nil }})
		g.Health().SetServingStatus("mine", healthpb.HealthCheckResponse_NOT_SERVING)
		conn := dial(t, lis)
		c := mustNew(t, controller.WithServer("grpc", g))
		check := func(at time.Duration, name string, want healthpb.HealthCheckResponse_ServingStatus) {
			time.AfterFunc(at, func() {
				if got := healthOf(t, conn, name); got != want {
					t.Errorf("after %v %q is %v, want %v", at, name, got, want)
				}
			})
		}
		for _, name := range []string{"", testgrpc.TestService_ServiceDesc.ServiceName} {
			check(time.Second, name, healthpb.HealthCheckResponse_SERVING)
			check(time.Minute+time.Second, name, healthpb.HealthCheckResponse_NOT_SERVING)
		}
		check(time.Second, "mine", healthpb.HealthCheckResponse_NOT_SERVING)
		time.AfterFunc(time.Minute+500*time.Millisecond, func() {
			g.Health().SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
		})
		time.AfterFunc(time.Minute+1500*time.Millisecond, func() {
			if _, err := testgrpc.NewTestServiceClient(conn).UnaryCall(t.Context(), &testgrpc.SimpleRequest{}); err != nil {
				t.Errorf("an RPC during settle: %v", err)
			}
		})
		r := shutdownAfter(c)
		if r.ExitCode() != report.ExitOK || r.Took() != budget.Settle {
			t.Errorf("exit code %d after %v\n%v", r.ExitCode(), r.Took(), r)
		}
	})
}

func TestHealthOptions(t *testing.T) {
	t.Run("given and registered", func(t *testing.T) {
		bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
			h := health.NewServer()
			g := grpcadapter.New(lis, grpcadapter.WithHealth(h))
			healthpb.RegisterHealthServer(g.NewServer(), h)
			wantHealthDown(t, g, lis)
		})
	})
	t.Run("none", func(t *testing.T) {
		bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
			g := grpcadapter.New(lis, grpcadapter.WithoutHealth())
			g.NewServer()
			conn := dial(t, lis)
			time.AfterFunc(time.Second, func() {
				_, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
				if status.Code(err) != codes.Unimplemented {
					t.Errorf("a server without health answers %v", err)
				}
			})
			if r := shutdownAfter(mustNew(t, controller.WithServer("grpc", g))); r.ExitCode() != report.ExitOK {
				t.Error(r)
			}
		})
	})
	t.Run("registered, unknown to us", func(t *testing.T) {
		bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
			g := grpcadapter.New(lis)
			healthpb.RegisterHealthServer(g.NewServer(), newOrdersHealth())
			wantUnknownHealth(t, lis, controller.WithServer("grpc", g))
		})
	})
	t.Run("registered, unknown to Use", func(t *testing.T) {
		bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
			srv := grpc.NewServer()
			healthpb.RegisterHealthServer(srv, newOrdersHealth())
			wantUnknownHealth(t, lis, controller.WithServer("grpc", grpcadapter.Use(srv, grpcadapter.WithListener(lis))))
		})
	})
	t.Run("registered, served elsewhere", func(t *testing.T) {
		bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
			srv := grpc.NewServer()
			healthpb.RegisterHealthServer(srv, newOrdersHealth())
			go func() { _ = srv.Serve(lis) }()
			wantUnknownHealth(t, lis, controller.WithServer("grpc", grpcadapter.Use(srv), controller.ServedElsewhere(serving())))
		})
	})
}

// newOrdersHealth returns a health service of the user's own.
func newOrdersHealth() *health.Server {
	h := health.NewServer()
	h.SetServingStatus("orders", healthpb.HealthCheckResponse_SERVING)
	return h
}

// wantUnknownHealth checks that a health service that the adapter was not given is left
// alone, and that the report says what is missing.
func wantUnknownHealth(t *testing.T, lis *mempipe.Listener, server controller.Option) {
	t.Helper()
	conn := dial(t, lis)
	time.AfterFunc(time.Minute+time.Second, func() {
		if got := healthOf(t, conn, "orders"); got != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("in settle: %v", got)
		}
	})
	r := shutdownAfter(mustNew(t, server))
	if r.ExitCode() != report.ExitOK || len(r.Notes) != 1 || !strings.Contains(r.Notes[0].Text, "give it to grpcadapter.WithHealth") {
		t.Errorf("%v\nnotes %v", r, r.Notes)
	}
}

func wantHealthDown(t *testing.T, g *grpcadapter.Server, lis *mempipe.Listener) {
	t.Helper()
	conn := dial(t, lis)
	time.AfterFunc(time.Second, func() {
		if got := healthOf(t, conn, ""); got != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("before the trigger: %v", got)
		}
	})
	time.AfterFunc(time.Minute+time.Second, func() {
		if got := healthOf(t, conn, ""); got != healthpb.HealthCheckResponse_NOT_SERVING {
			t.Errorf("in settle: %v", got)
		}
	})
	if r := shutdownAfter(mustNew(t, controller.WithServer("grpc", g))); r.ExitCode() != report.ExitOK {
		t.Error(r)
	}
}

// nothing is a unary handler that does nothing.
func nothing(context.Context) error { return nil }

// Check and List say NOT_SERVING from the announcement on, of the adapter's own service and
// of one that it was given; a Watch hears that when the drain begins, and one that begins
// in settle is told SERVING. What Check says of an unknown service stays.
func TestProbesAndWatches(t *testing.T) {
	for name, build := range map[string]func(*mempipe.Listener) *grpcadapter.Server{
		"own": func(lis *mempipe.Listener) *grpcadapter.Server {
			g := grpcadapter.New(lis)
			testgrpc.RegisterTestServiceServer(g.NewServer(), service{unary: nothing})
			g.Health().SetServingStatus("orders", healthpb.HealthCheckResponse_SERVING)
			return g
		},
		"given": func(lis *mempipe.Listener) *grpcadapter.Server {
			h := newOrdersHealth()
			g := grpcadapter.New(lis, grpcadapter.WithHealth(h))
			healthpb.RegisterHealthServer(g.NewServer(), h)
			return g
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
				g := build(lis)
				conn := dial(t, lis)
				client := healthpb.NewHealthClient(conn)
				start := time.Now()
				watched := make(chan time.Duration, 2) // when NOT_SERVING came
				watch := func() {
					stream, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{Service: "orders"})
					if err != nil {
						t.Error(err)
						return
					}
					first, err := stream.Recv()
					if err != nil || first.Status != healthpb.HealthCheckResponse_SERVING {
						t.Errorf("a Watch begins with %v, %v", first, err)
					}
					second, err := stream.Recv()
					if err != nil || second.Status != healthpb.HealthCheckResponse_NOT_SERVING {
						t.Errorf("a Watch goes on with %v, %v", second, err)
					}
					watched <- time.Since(start)
				}
				time.AfterFunc(time.Second, watch)
				time.AfterFunc(time.Minute+time.Second, func() {
					if got := healthOf(t, conn, "orders"); got != healthpb.HealthCheckResponse_NOT_SERVING {
						t.Errorf("in settle Check says %v", got)
					}
					all, err := client.List(t.Context(), &healthpb.HealthListRequest{})
					if err != nil || all.Statuses["orders"].GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING || all.Statuses[""].GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
						t.Errorf("in settle List says %v, %v", all, err)
					}
					if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "unknown"}); status.Code(err) != codes.NotFound {
						t.Errorf("an unknown service: %v", err)
					}
					watch()
				})
				r := shutdownAfter(mustNew(t, controller.WithServer("grpc", g)))
				for range 2 {
					if at := <-watched; at != time.Minute+budget.Settle {
						t.Errorf("a Watch heard NOT_SERVING after %v, want %v", at, time.Minute+budget.Settle)
					}
				}
				if r.ExitCode() != report.ExitOK || r.Took() != budget.Settle {
					t.Error(r)
				}
			})
		})
	}
}

// stuckHealth is a health service whose Shutdown hangs.
type stuckHealth struct {
	healthpb.UnimplementedHealthServer
	over <-chan struct{}
}

func (h stuckHealth) Shutdown() { <-h.over }

// A Shutdown that hangs holds the GOAWAYs for 100 ms and no longer, and is named.
func TestHealthHangs(t *testing.T) {
	bubble(t, func(t *testing.T, lis *mempipe.Listener, over <-chan struct{}) {
		h := stuckHealth{over: over}
		g := grpcadapter.New(lis, grpcadapter.WithHealth(h))
		healthpb.RegisterHealthServer(g.NewServer(), h)
		r := shutdownAfter(mustNew(t, controller.WithServer("grpc", g)))
		if took := r.Took() - budget.Settle; took != 100*time.Millisecond+10*time.Millisecond {
			t.Errorf("the drain took %v, want 100 ms, and 10 ms for calls that return late", took)
		}
		if len(r.Work) != 1 || r.Work[0].Name != "health.Shutdown" || r.Work[0].Running != 1 {
			t.Errorf("the report has %+v", r.Work)
		}
	})
}

// A gRPC server on two listeners has two adapters, whichever is served first: the health
// service is registered once, and never on a server that is served.
func TestTwoListeners(t *testing.T) {
	for range 200 {
		bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
			other := mempipe.Listen(1 << 16)
			g := grpcadapter.New(lis)
			u := grpcadapter.Use(g.NewServer(), grpcadapter.WithListener(other))
			conns := []*grpc.ClientConn{dial(t, lis), dial(t, other)}
			for at, want := range map[time.Duration]healthpb.HealthCheckResponse_ServingStatus{
				time.Second: healthpb.HealthCheckResponse_SERVING, time.Minute + time.Second: healthpb.HealthCheckResponse_NOT_SERVING,
			} {
				time.AfterFunc(at, func() {
					for _, conn := range conns {
						if got := healthOf(t, conn, ""); got != want {
							t.Errorf("after %v: %v, want %v", at, got, want)
						}
					}
				})
			}
			r := shutdownAfter(mustNew(t, controller.WithServer("one", g), controller.WithServer("two", u)))
			if r.ExitCode() != report.ExitOK || len(r.Notes) > 0 {
				t.Errorf("%v %v", r, r.Notes)
			}
		})
	}
}

// A server of ours that the user serves as well gets no health service once RPCs have come.
func TestServedByTheUser(t *testing.T) {
	bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
		g := grpcadapter.New(lis)
		srv := g.NewServer()
		testgrpc.RegisterTestServiceServer(srv, service{unary: nothing})
		other := mempipe.Listen(1 << 16)
		go func() { _ = srv.Serve(other) }()
		if _, err := testgrpc.NewTestServiceClient(dial(t, other)).UnaryCall(t.Context(), &testgrpc.SimpleRequest{}); err != nil {
			t.Error(err)
		}
		if r := shutdownAfter(mustNew(t, controller.WithServer("grpc", g))); r.ExitCode() != report.ExitOK {
			t.Error(r)
		}
	})
}

// countedHealth counts the calls of its Shutdown.
type countedHealth struct {
	*health.Server
	calls atomic.Int32
}

func (h *countedHealth) Shutdown() { h.calls.Add(1); h.Server.Shutdown() }

// Shutdown of a health service is called once: on a server from Use when the shutdown is
// announced, on others when the drain begins.
func TestHealthShutdownOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		build    func(*mempipe.Listener, *countedHealth) *grpcadapter.Server
		inSettle int32
	}{
		"New": {func(lis *mempipe.Listener, h *countedHealth) *grpcadapter.Server {
			g := grpcadapter.New(lis, grpcadapter.WithHealth(h))
			healthpb.RegisterHealthServer(g.NewServer(), h)
			return g
		}, 0},
		"Use": {func(lis *mempipe.Listener, h *countedHealth) *grpcadapter.Server {
			srv := grpc.NewServer()
			healthpb.RegisterHealthServer(srv, h)
			return grpcadapter.Use(srv, grpcadapter.WithListener(lis), grpcadapter.WithHealth(h))
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
				h := &countedHealth{Server: health.NewServer()}
				g := tt.build(lis, h)
				time.AfterFunc(time.Minute+time.Second, func() {
					if n := h.calls.Load(); n != tt.inSettle {
						t.Errorf("in settle Shutdown was called %d times, want %d", n, tt.inSettle)
					}
				})
				shutdownAfter(mustNew(t, controller.WithServer("grpc", g)))
				if n := h.calls.Load(); n != 1 {
					t.Errorf("Shutdown was called %d times", n)
				}
			})
		})
	}
}
