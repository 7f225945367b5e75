package shutdowntest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// jittered is work that takes a different time each time.
func jittered(ctx context.Context) error {
	select {
	case <-time.After(time.Millisecond + rand.N(takes)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cut returns a stream of n messages, or, for 0, of 10 to 20, that ends as a success when
// it is told to stop.
func cut(n int, every time.Duration, stop func(context.Context) <-chan struct{}) func(grpc.ServerStream, func() error) error {
	return func(s grpc.ServerStream, send func() error) error {
		many := n
		if n == 0 {
			many = 10 + rand.N(10)
		}
		for range many {
			select {
			case <-time.After(every):
			case <-stop(s.Context()):
				return nil
			}
			if err := send(); err != nil {
				return err
			}
		}
		return nil
	}
}

// counted reads a stream, and counts its messages.
func counted(least int) func(context.Context, *grpc.ClientConn) error {
	return func(ctx context.Context, cc *grpc.ClientConn) error {
		s, err := testgrpc.NewTestServiceClient(cc).StreamingOutputCall(ctx, &testgrpc.StreamingOutputCallRequest{})
		n := -1
		for ; err == nil; n++ {
			_, err = s.Recv()
		}
		if err = Ended(err); err == nil && n < least {
			return fmt.Errorf("%d messages, want %d", n, least)
		}
		return err
	}
}

// webServer returns a service whose handlers' contexts end when it is told to stop.
func webServer(h http.HandlerFunc) func(e *Env) func(context.Context) {
	return func(e *Env) func(context.Context) {
		base, cancel := context.WithCancel(context.Background())
		srv, lis := &http.Server{Handler: h, ReadHeaderTimeout: time.Second, BaseContext: func(net.Listener) context.Context { return base }}, e.Listen("web")
		go func() { _ = srv.Serve(lis) }()
		return func(ctx context.Context) {
			cancel()
			if srv.Shutdown(ctx) != nil {
				_ = srv.Close()
			}
		}
	}
}

// batcher returns a service whose handlers hand their work to a worker, and wait.
func batcher(e *Env, f func(context.Context) error, after ...controller.WorkerOption) *controller.Controller {
	jobs := make(chan chan error)
	return newController(e,
		controller.WithServer("grpc", grpcServer(e, &rpcs{unary: func(ctx context.Context) error {
			done := make(chan error, 1)
			select {
			case jobs <- done:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case err := <-done:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}})),
		controller.WithWorker("batcher", func(claim, work context.Context) error {
			for {
				select {
				case j := <-jobs:
					j <- f(work)
				case <-claim.Done():
					return nil
				}
			}
		}, after...))
}

// queued is a service whose handlers queue jobs for a worker, which starts them and does not
// wait. Settle is long: a job is under way when closers run if a call came right before the drain.
func queued(e *Env) *controller.Controller {
	jobs, db := make(chan int, 100), e.Watch("db", nil)
	return e.Must(controller.New(lastcall.DefaultBudget(),
		controller.WithServer("grpc", grpcServer(e, &rpcs{stream: ticks, unary: func(context.Context) error { jobs <- 1; return nil }})),
		controller.WithWorker("jobs", func(claim, _ context.Context) error {
			for {
				select {
				case <-jobs:
					done := e.Claim(claim, "jobs")
					time.AfterFunc(takes, func() { db.Use()(); done() })
				case <-claim.Done():
					return nil
				}
			}
		}, controller.After("grpc")), controller.WithCloser("db", db.Close)))
}

// Bugs that the issue does not name are found as well.
func TestPlantedOthers(t *testing.T) {
	for name, tt := range map[string]struct {
		rule   string
		build  build
		server func(*Env) func(context.Context)
		loads  []Load
	}{
		"a short stream that is cut as a success, without a controller": {"honest", nil, func(e *Env) func(context.Context) {
			stop := make(chan struct{})
			srv := bare(e, &rpcs{stream: cut(20, takes, func(context.Context) <-chan struct{} { return stop })})
			return func(context.Context) { close(stop); srv.GracefulStop() }
		}, []Load{GRPC("grpc", stream)}},
		"a long stream that is cut as a success, and a load that counts":                 {"honest", onGRPC(&rpcs{stream: cut(36, 5*time.Second, lastcall.Draining)}), nil, []Load{GRPC("grpc", counted(36))}},
		"streams of different lengths that are cut as a success, and a load that counts": {"honest", onGRPC(&rpcs{stream: cut(0, takes, lastcall.Draining)}), nil, []Load{GRPC("grpc", counted(10))}},
		"a goroutine that waits for a channel": {"empty", onGRPC(&rpcs{unary: func(ctx context.Context) error {
			ch := make(chan int)
			go func() { ch <- 1 }()
			return work(ctx)
		}}), nil, []Load{GRPC("grpc", unary)}},
		"an empty answer as its context ends": {"honest", nil, webServer(page), []Load{HTTP("web", get)}},
		"a status that the load does not look at, without its context": {"honest", nil, webServer(func(w http.ResponseWriter, r *http.Request) {
			if work(r.Context()) != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_, _ = fmt.Fprint(w, "a page")
		}), []Load{HTTP("web", func(_ context.Context, c *http.Client) error {
			res, err := c.Get("http://service/") //nolint:noctx // as careless people write it
			if err == nil {
				err = res.Body.Close()
			}
			return err
		})}},
		"an empty answer, where others have different lengths": {"honest", nil, webServer(func(w http.ResponseWriter, r *http.Request) {
			if work(r.Context()) == nil {
				_, _ = fmt.Fprint(w, "a page", strings.Repeat("x", rand.N(10)))
			}
		}), []Load{HTTP("web", get)}},
		"a worker that handlers wait for, and that ends first": {"not lost", func(e *Env) *controller.Controller { return batcher(e, work) }, nil, []Load{GRPC("grpc", unary)}},
		"such a worker, and calls that take different times":   {"not lost", func(e *Env) *controller.Controller { return batcher(e, jittered) }, nil, []Load{GRPC("grpc", unary)}},
		"a dependency that is closed twice, and panics": {"empty", func(e *Env) *controller.Controller {
			ch := make(chan struct{})
			db := e.Watch("db", closer(func() error { close(ch); return nil }))
			return newController(e, controller.WithCloser("db", db.Close), controller.WithCloser("repository", db.Close))
		}, nil, nil},
		"a goroutine of a handler that uses the database after the answer": {"empty", func(e *Env) *controller.Controller {
			db := e.Watch("db", nil)
			return newController(e, controller.WithCloser("db", db.Close), controller.WithServer("grpc", grpcServer(e, &rpcs{unary: func(ctx context.Context) error {
				go func() { time.Sleep(takes); db.Use()() }()
				return nil
			}})))
		}, nil, []Load{GRPC("grpc", unary)}},
		"an interceptor that makes errors answers": {"honest", func(e *Env) *controller.Controller {
			g := grpcadapter.New(e.Listen("grpc"))
			testgrpc.RegisterTestServiceServer(g.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
				res, err := h(ctx, req)
				if err != nil {
					return &testgrpc.SimpleResponse{}, nil //nolint:nilerr // that is the bug
				}
				return res, nil
			})), &rpcs{unary: func(ctx context.Context) error {
				select {
				case <-lastcall.Draining(ctx):
					return status.Error(codes.Unavailable, "down")
				case <-time.After(takes):
					return nil
				}
			}})
			return newController(e, controller.WithServer("grpc", g))
		}, nil, []Load{GRPC("grpc", unary)}},
		"a connection that was hijacked and never closed": {"empty", nil, webServer(func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
			}
		}), []Load{HTTP("web", get)}},
		"a listener whose Close does nothing": {"empty", func(e *Env) *controller.Controller {
			g := grpcadapter.New(faults.Deaf(e.Listen("grpc")))
			testgrpc.RegisterTestServiceServer(g.NewServer(), &rpcs{})
			return newController(e, controller.WithServer("grpc", g))
		}, nil, []Load{GRPC("grpc", unary)}},
		"a worker that ignores its claim context": {"quiet", func(e *Env) *controller.Controller {
			db := e.Watch("db", nil)
			return newController(e, controller.WithCloser("db", db.Close), controller.WithWorker("w", func(claim, work context.Context) error {
				for work.Err() == nil {
					done := e.Claim(claim, "jobs")
					time.Sleep(takes)
					done()
				}
				return nil
			}))
		}, nil, nil},
		"an answer over a protocol of its own that is cut as a success": {"honest", func(e *Env) *controller.Controller {
			lis := e.Listen("raw")
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				for {
					c, err := lis.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						for range 10 {
							select {
							case <-time.After(takes):
							case <-ctx.Done():
								return
							}
							_, _ = io.WriteString(c, "line\n")
						}
					}()
				}
			}()
			return newController(e, controller.WithCloser("listener", lis.Close), controller.WithCloser("conns", func() { cancel() }))
		}, nil, []Load{Raw("raw", func(_ context.Context, c net.Conn) error { _, err := io.ReadAll(c); return err })}},
		"a gateway that stops with its backend, and answers 502": {"honest", func(e *Env) *controller.Controller {
			web, cc := gateway(e, http.StatusBadGateway)
			return newController(e, controller.WithServer("web", web), controller.WithServer("grpc", grpcServer(e, &rpcs{})), controller.WithCloser("connection", cc.Close))
		}, nil, []Load{HTTP("web", get)}},
		"a client of its own that is never closed": {"empty", func(e *Env) *controller.Controller {
			web, _ := gateway(e, http.StatusServiceUnavailable)
			return newController(e, controller.WithServer("web", web), controller.WithServer("grpc", grpcServer(e, &rpcs{}), controller.After("web")))
		}, nil, []Load{HTTP("web", get)}},
		"a server that nothing stops": {"empty", func(e *Env) *controller.Controller {
			lis := e.Listen("debug")
			go func() { _ = http.Serve(lis, http.NotFoundHandler()) }()
			return onGRPC(&rpcs{})(e)
		}, nil, []Load{GRPC("grpc", unary)}},
		"a closer that fails": {"empty", func(e *Env) *controller.Controller {
			return newController(e, controller.WithCloser("db", func() error { return fmt.Errorf("no such thing") }))
		}, nil, nil},
		"an announcer that closes one of two listeners": {"empty", func(e *Env) *controller.Controller {
			lis := e.Listen("web")
			return newController(e, controller.WithServer("grpc", grpcServer(e, &rpcs{})), controller.WithAnnouncer("web", lis.Close), controller.WithServer("web", httpadapter.New(lis, &http.Server{Handler: http.HandlerFunc(page)})))
		}, nil, []Load{HTTP("web", get)}},
		"an announcer that ends an accept loop": {"empty", func(e *Env) *controller.Controller {
			ctl := rawService(e)
			return e.Must(ctl, ctl.Add(controller.WithAnnouncer("raw", e.listener("raw").Close)))
		}, nil, []Load{Raw("raw", echo)}},
		"a handler that is tried again when it hears of the drain": {"not lost", func(e *Env) *controller.Controller {
			return newController(e, controller.WithServer("web", httpServer(e, func(_ http.ResponseWriter, r *http.Request) {
				for range 2 {
					e.Once(r.URL.Path)
					select {
					case <-time.After(takes):
						return
					case <-lastcall.Draining(r.Context()):
					}
				}
			})))
		}, nil, []Load{HTTP("web", func(ctx context.Context, c *http.Client) error {
			return getURL(ctx, c, fmt.Sprint("http://service/", rand.Int64()))
		})}},
		"jobs that are left in a queue": {"ordered", func(e *Env) *controller.Controller {
			jobs, queue := make(chan func(), 100), e.Watch("queue", nil)
			return newController(e, controller.WithServer("grpc", grpcServer(e, &rpcs{unary: func(context.Context) error { jobs <- queue.Use(); return nil }})),
				controller.WithWorker("jobs", func(claim, within context.Context) error {
					for {
						select {
						case done := <-jobs:
							_ = work(within)
							done()
						case <-claim.Done():
							return nil
						}
					}
				}, controller.After("grpc")), controller.WithCloser("queue", queue.Close))
		}, nil, []Load{GRPC("grpc", unary)}},
		"a worker that does not wait for what it has claimed": {"ordered", queued, nil, []Load{GRPC("grpc", unary), GRPC("grpc", stream)}},
		"a worker that cannot write its last batch": {"empty", func(e *Env) *controller.Controller {
			return newController(e, controller.WithWorker("batch", func(claim, _ context.Context) error { <-claim.Done(); return lastcall.Failed(errors.New("disk full")) }))
		}, nil, nil},
		"a handler that waits for room in a queue": {"not lost", func(e *Env) *controller.Controller {
			q := make(chan int, 1)
			return newController(e, controller.WithServer("web", httpServer(e, func(w http.ResponseWriter, r *http.Request) { q <- 1; _, _ = fmt.Fprint(w, "ok") })),
				controller.WithWorker("w", func(claim, _ context.Context) error {
					for {
						select {
						case <-q:
						case <-claim.Done():
							return nil
						}
					}
				}))
		}, nil, []Load{HTTP("web", get)}},
	} {
		t.Run(name, func(t *testing.T) {
			found(t, tt.rule, newKit(tt.loads, func(k *kit) {
				if k.build = tt.build; tt.server != nil {
					ofServer(tt.server)(k)
				}
			}))
		})
	}
}

type closer func() error

func (f closer) Close() error { return f() }
