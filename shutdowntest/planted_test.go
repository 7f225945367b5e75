package shutdowntest

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
)

// bare starts a gRPC server without anything around it.
func bare(e *Env, s *rpcs) *grpc.Server {
	srv := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(srv, s)
	lis := e.Listen("grpc")
	go func() { _ = srv.Serve(lis) }()
	return srv
}

// endless streams until its context ends.
func endless(stream grpc.ServerStream, send func() error) error {
	for {
		if err := send(); err != nil {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// onGRPC returns a build of a controller with one gRPC server.
func onGRPC(s *rpcs) build {
	return func(e *Env) *controller.Controller {
		return newController(e, controller.WithServer("grpc", grpcServer(e, s)))
	}
}

// withDB returns a service whose handlers use a dependency, which wrong closes.
func withDB(wrong func(e *Env, db *Watched) controller.Option) build {
	return func(e *Env) *controller.Controller {
		db := e.Watch("db", nil)
		return newController(e, controller.WithServer("grpc", grpcServer(e, &rpcs{unary: using(db, work)})), wrong(e, db))
	}
}

// TestPlantedBugs: each bug is found, and the rule that it breaks is named.
func TestPlantedBugs(t *testing.T) {
	servers := map[string]struct {
		rule  string
		build func(*Env) func(context.Context)
		loads []Load
	}{
		"bare GracefulStop with an endless stream": {"bounded", func(e *Env) func(context.Context) {
			srv := bare(e, &rpcs{stream: endless})
			return func(context.Context) { srv.GracefulStop() }
		}, []Load{GRPC("grpc", stream)}},
		"the timer pattern with a silent peer": {"bounded", func(e *Env) func(context.Context) {
			srv := bare(e, &rpcs{})
			return func(context.Context) {
				done := make(chan struct{})
				go func() { srv.GracefulStop(); close(done) }()
				select {
				case <-done:
				case <-time.After(10 * time.Second):
					srv.Stop()
				}
			}
		}, []Load{GRPC("grpc", unary)}},
		"a database that is closed first": {"ordered", func(e *Env) func(context.Context) {
			srv, db := bare(e, &rpcs{}), e.Watch("db", nil)
			return func(context.Context) { _ = db.Close(); srv.GracefulStop() }
		}, []Load{GRPC("grpc", unary)}},
		"http.Server that is closed": {"not lost", func(e *Env) func(context.Context) {
			srv, lis := &http.Server{Handler: http.HandlerFunc(page)}, e.Listen("web")
			go func() { _ = srv.Serve(lis) }()
			return func(context.Context) { _ = srv.Close() }
		}, []Load{HTTP("web", get)}},
		"health that is never flipped, without a controller": {"ready", func(e *Env) func(context.Context) {
			srv, lis := grpc.NewServer(), e.Listen("grpc")
			testgrpc.RegisterTestServiceServer(srv, &rpcs{})
			healthpb.RegisterHealthServer(srv, health.NewServer())
			go func() { _ = srv.Serve(lis) }()
			return func(context.Context) { srv.GracefulStop() }
		}, []Load{GRPC("grpc", unary)}},
	}
	for name, tt := range servers {
		t.Run(name, func(t *testing.T) { found(t, tt.rule, newKit(tt.loads, ofServer(tt.build))) })
	}
	for name, tt := range map[string]struct {
		rule  string
		build build
		loads []Load
	}{
		"a closer under handlers: an announcer": {"ordered", withDB(func(_ *Env, db *Watched) controller.Option {
			return controller.WithAnnouncer("db", db.Close)
		}), []Load{GRPC("grpc", unary)}},
		"a closer under handlers: at the drain": {"ordered", func(e *Env) *controller.Controller {
			db := e.Watch("db", nil)
			ctl := newController(e, controller.WithServer("grpc", grpcServer(e, &rpcs{})))
			go func() {
				<-ctl.Life().Draining()
				_ = db.Close()
			}()
			return ctl
		}, []Load{GRPC("grpc", unary)}},
		"health that is never flipped": {"ready", foreignHealth(func(*health.Server) {}), []Load{GRPC("grpc", unary)}},
		"health that is flipped late": {"ready", foreignHealth(func(h *health.Server) {
			time.Sleep(100 * time.Millisecond)
			h.Shutdown()
		}), []Load{GRPC("grpc", unary)}},
		"a path for probes that is never down": {"ready", func(e *Env) *controller.Controller {
			return newController(e, controller.WithServer("web", httpServer(e, func(http.ResponseWriter, *http.Request) {})))
		}, []Load{Probe("web", "/readyz")}},
		"a closer that hangs": {"empty", func(e *Env) *controller.Controller {
			return newController(e, controller.WithCloser("db", func() { select {} }))
		}, nil},
		"a cache that is closed after its database": {"ordered", func(e *Env) *controller.Controller {
			db := e.Watch("db", nil)
			return newController(e, controller.WithCloser("cache", func() { db.Use()() }), controller.WithCloser("db", db.Close))
		}, nil},
		"work in the background that nothing waits for": {"empty", onGRPC(&rpcs{unary: func(context.Context) error {
			go func() { time.Sleep(takes) }()
			return nil
		}}), []Load{GRPC("grpc", unary)}},
		"a stream that ignores Draining": {"drained", onGRPC(&rpcs{stream: endless}), []Load{GRPC("grpc", stream)}},
		"a leaked goroutine": {"empty", onGRPC(&rpcs{unary: func(ctx context.Context) error {
			go func() { time.Sleep(time.Hour) }()
			return work(ctx)
		}}), []Load{GRPC("grpc", unary)}},
		"a leaked goroutine that ticks": {"empty", func(e *Env) *controller.Controller {
			go func() {
				for range time.Tick(time.Millisecond) {
				}
			}()
			return onGRPC(&rpcs{})(e)
		}, []Load{GRPC("grpc", unary)}},
		"a worker that claims after announce": {"quiet", func(e *Env) *controller.Controller {
			return newController(e, controller.WithWorker("consumer", func(claim, within context.Context) error {
				for range 3 {
					time.Sleep(takes)
					e.Claim(claim, "jobs")()
				}
				<-claim.Done()
				time.Sleep(takes)
				e.Claim(claim, "jobs")()
				return nil
			}))
		}, nil},
		"a handler that swallows its context": {"empty", onGRPC(&rpcs{unary: func(context.Context) error {
			time.Sleep(40 * time.Second)
			return nil
		}}), []Load{GRPC("grpc", unary)}},
		"an answer that is cut as a success": {"honest", func(e *Env) *controller.Controller {
			return newController(e, controller.WithServer("web", httpServer(e, func(w http.ResponseWriter, r *http.Request) {
				for range 20 {
					select {
					case <-time.After(takes):
					case <-lastcall.Draining(r.Context()):
						return
					}
					_, _ = fmt.Fprintln(w, "a line")
					_ = http.NewResponseController(w).Flush()
				}
			})))
		}, []Load{HTTP("web", get)}},
		"a stream that is cut as a success": {"honest", onGRPC(&rpcs{stream: func(s grpc.ServerStream, send func() error) error {
			for range 20 {
				select {
				case <-time.After(takes):
				case <-lastcall.Draining(s.Context()):
					return nil
				}
				if err := send(); err != nil {
					return err
				}
			}
			return nil
		}}), []Load{GRPC("grpc", stream)}},
		"a status that is not retried": {"honest", onGRPC(&rpcs{unary: func(ctx context.Context) error {
			select {
			case <-lastcall.Draining(ctx):
				return fmt.Errorf("going down")
			case <-time.After(takes):
				return nil
			}
		}}), []Load{GRPC("grpc", unary)}},
		"a flush that comes first": {"told", func(e *Env) *controller.Controller {
			db, flush := e.Watch("db", nil), e.Flush("traces", nil)
			return newController(e, controller.WithServer("grpc", grpcServer(e, &rpcs{})),
				controller.WithCloser("db", db.Close), controller.WithCloser("traces", func() { time.Sleep(0); _ = flush(context.Background()); time.Sleep(time.Millisecond) }))
		}, []Load{GRPC("grpc", unary)}},
		"readiness before serving": {"ready", func(e *Env) *controller.Controller {
			srv, lis, ready := grpc.NewServer(), e.Listen("grpc"), make(chan struct{})
			testgrpc.RegisterTestServiceServer(srv, &rpcs{})
			close(ready)
			go func() { time.Sleep(time.Second); _ = srv.Serve(lis) }()
			return newController(e, controller.WithServer("grpc", srv, controller.ServedElsewhere(ready)))
		}, []Load{GRPC("grpc", unary)}},
		"a second signal that forces at once": {"not lost", func(e *Env) *controller.Controller {
			ctl := newController(e, controller.WithSignals(), controller.WithServer("grpc", grpcServer(e, &rpcs{})))
			signals := e.Signals()
			go func() {
				for first := true; ; first = false {
					select {
					case sig := <-signals:
						if sig == syscall.SIGTERM && first {
							ctl.Shutdown(nil)
						} else if !first {
							ctl.Force()
						}
					case <-ctl.Done():
						return
					}
				}
			}()
			return ctl
		}, []Load{GRPC("grpc", unary)}},
		"a connection of which nothing takes care": {"empty", func(e *Env) *controller.Controller {
			lis := e.Listen("raw")
			go func() {
				for {
					if _, err := lis.Accept(); err != nil {
						return
					}
				}
			}()
			return newController(e, controller.WithCloser("listener", lis.Close))
		}, []Load{Raw("raw", func(context.Context, net.Conn) error { return nil })}},
	} {
		t.Run(name, func(t *testing.T) {
			found(t, tt.rule, newKit(tt.loads, func(k *kit) { k.build = tt.build }))
		})
	}
}

// foreignHealth is a service with a health server of its own, which flip takes down.
func foreignHealth(flip func(*health.Server)) build {
	return func(e *Env) *controller.Controller {
		srv, lis, h := grpc.NewServer(), e.Listen("grpc"), health.NewServer()
		testgrpc.RegisterTestServiceServer(srv, &rpcs{})
		healthpb.RegisterHealthServer(srv, h)
		return newController(e,
			controller.WithServer("grpc", srv, controller.On(lis)),
			controller.WithWorker("health", func(claim, _ context.Context) error {
				<-lastcall.Draining(claim)
				flip(h)
				return nil
			}))
	}
}

// found fails the test if a rule does not find a bug by itself. The other rules are left
// out: a bare gRPC server has more bugs than the one in question, such as silent peers
// that hold GracefulStop and Stop.
func found(t *testing.T, name string, k *kit) {
	k.rules = slices.DeleteFunc(k.rules, func(r rule) bool { return r.name != name })
	for name, value := range map[string]string{"rapid.checks": "1000", "rapid.shrinktime": "0s"} {
		v := flag.Lookup(name).Value
		given := v.String()
		_ = v.Set(value)
		t.Cleanup(func() { _ = v.Set(given) })
	}
	began := time.Now()
	text := fails(t, k)
	took := time.Since(began)
	if testing.Verbose() {
		first, _, _ := strings.Cut(text[strings.Index(text, "[rapid]")+1:], "To reproduce")
		t.Logf("after %v: %.600s", took.Round(time.Millisecond), first)
	}
	switch {
	case text == "":
		t.Errorf("nothing was found")
	case !strings.Contains(text, fmt.Sprintf("rule %q", name)):
		t.Errorf("found, but not by the rule %q:\n%s", name, text)
	}
}
