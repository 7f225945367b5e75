package shutdowntest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// paced reads a stream, and takes its time with each message.
func paced(ctx context.Context, cc *grpc.ClientConn) error {
	s, err := testgrpc.NewTestServiceClient(cc).StreamingOutputCall(ctx, &testgrpc.StreamingOutputCallRequest{})
	for err == nil {
		time.Sleep(3 * time.Second)
		_, err = s.Recv()
	}
	return Ended(err)
}

func three(_ grpc.ServerStream, send func() error) error {
	for range 3 {
		if err := send(); err != nil {
			return err
		}
	}
	return nil
}

// getSlow reads a page late.
func getSlow(ctx context.Context, c *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/", http.NoBody)
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	time.Sleep(5 * time.Second)
	_, err = io.ReadAll(res.Body)
	return err
}

// on returns a service whose handler uses a dependency.
func on(h http.HandlerFunc) build {
	return func(e *Env) *controller.Controller {
		db := e.Watch("db", nil)
		return newController(e, controller.WithServer("web", httpServer(e, func(w http.ResponseWriter, r *http.Request) {
			defer db.Use()()
			h(w, r)
		})), controller.WithCloser("db", db.Close), controller.WithFlusher("traces", e.Flush("traces", nil)))
	}
}

// onDB returns a service with a dependency.
func onDB(s *rpcs) build {
	return func(e *Env) *controller.Controller {
		db := e.Watch("db", nil)
		return newController(e, controller.WithServer("grpc", grpcServer(e, s)), controller.WithCloser("db", db.Close), controller.WithFlusher("traces", e.Flush("traces", nil)))
	}
}

// Clients that take their time with an answer, services that refuse or vary, and chains of
// servers raise no alarm.
func TestCorrectOthers(t *testing.T) {
	var calls atomic.Int64 // of random grpc errors: those in calm succeed
	for name, tt := range map[string]struct {
		build build
		loads []Load
	}{
		"paced":         {onDB(&rpcs{stream: three}), []Load{GRPC("grpc", paced)}},
		"paced endless": {onDB(&rpcs{stream: ticks}), []Load{GRPC("grpc", paced)}},
		"slow read":     {on(page), []Load{HTTP("web", getSlow)}},
		"random sizes": {on(func(w http.ResponseWriter, r *http.Request) {
			if rand.N(10) == 0 {
				_, _ = fmt.Fprint(w, "x")
				return
			}
			_, _ = fmt.Fprint(w, "xxxxxxxxxxxxx")
		}), []Load{HTTP("web", get)}},
		"random statuses": {on(func(w http.ResponseWriter, r *http.Request) {
			if rand.N(10) == 0 {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			_, _ = fmt.Fprint(w, "xxxxxxxxxxxxx")
		}), []Load{HTTP("web", get)}},
		"random grpc errors": {onDB(&rpcs{unary: func(context.Context) error {
			if n := calls.Add(1); n > calmCalls && rand.N(20) == 0 {
				return status.Error(codes.NotFound, "no")
			}
			return nil
		}}), []Load{GRPC("grpc", unary)}},
		"rate limit": {func(e *Env) *controller.Controller {
			one := make(chan struct{}, 1)
			return onDB(&rpcs{unary: func(ctx context.Context) error {
				select {
				case one <- struct{}{}:
					defer func() { <-one }()
					return work(ctx)
				default:
					return status.Error(codes.ResourceExhausted, "busy")
				}
			}})(e)
		}, []Load{GRPC("grpc", unary)}},
		"a mutex": {func(e *Env) *controller.Controller {
			one := make(chan struct{}, 1)
			return onDB(&rpcs{unary: func(ctx context.Context) error {
				select {
				case one <- struct{}{}:
					defer func() { <-one }()
					return work(ctx)
				case <-ctx.Done():
					return ctx.Err()
				}
			}})(e)
		}, []Load{GRPC("grpc", unary)}},
		"sse": {on(func(w http.ResponseWriter, r *http.Request) {
			_ = tick(r.Context(), func() error {
				_, err := fmt.Fprintln(w, "event")
				return errors.Join(err, http.NewResponseController(w).Flush())
			})
		}), []Load{HTTP("web", get)}},
		"chain": {func(e *Env) *controller.Controller {
			db := e.Watch("db", nil)
			a := httpadapter.New(e.Listen("a"), &http.Server{Handler: http.HandlerFunc(page)})
			b := httpadapter.New(e.Listen("b"), &http.Server{Handler: http.HandlerFunc(page)})
			return newController(e, controller.WithServer("a", a), controller.WithServer("b", b, controller.After("a")),
				controller.WithServer("grpc", grpcServer(e, &rpcs{stream: ticks}), controller.After("b")),
				controller.WithWorker("jobs", consume(e, db), controller.After("grpc")),
				controller.WithServer("admin", admin.New(e.Listen("admin"))),
				controller.WithCloser("db", db.Close), controller.WithFlusher("traces", e.Flush("traces", nil)))
		}, []Load{HTTP("a", get), HTTP("b", get), GRPC("grpc", stream), GRPC("grpc", unary), Probe("admin", "/readyz")}},
		"h2c": {func(e *Env) *controller.Controller {
			var p http.Protocols
			p.SetHTTP1(true)
			p.SetUnencryptedHTTP2(true)
			return newController(e, controller.WithServer("web", httpadapter.New(e.Listen("web"), &http.Server{Protocols: &p, Handler: http.HandlerFunc(page)})))
		}, []Load{HTTP("web", get)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Check(t, tt.build, tt.loads...)
		})
	}
}

// More bugs that are found: what is left, and what is too late.
func TestPlantedLeftovers(t *testing.T) {
	var open []io.Closer
	loose := func(c io.Closer, err error) {
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c) // else it may be collected
	}
	for name, tt := range map[string]struct {
		rule  string
		build build
		loads []Load
	}{
		"a file that is never closed": {"empty", func(e *Env) *controller.Controller {
			loose(os.Create(filepath.Join(e.TempDir(), "log")))
			return newController(e)
		}, nil},
		"a socket that is never closed": {"empty", func(e *Env) *controller.Controller {
			loose(net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})) // of statsd, for example
			return newController(e)
		}, nil},
		"a timer that uses what is closed": {"ordered", func(e *Env) *controller.Controller {
			db := e.Watch("db", nil)
			return newController(e, controller.WithCloser("db", db.Close), controller.WithServer("grpc", grpcServer(e, &rpcs{unary: func(context.Context) error {
				time.AfterFunc(time.Minute, func() { db.Use()() })
				return nil
			}})))
		}, []Load{GRPC("grpc", unary)}},
		"a flush that needs more than it is given": {"told", func(e *Env) *controller.Controller {
			return e.Must(controller.New(lastcall.Budget{Total: 5 * time.Second, Reserve: time.Second}, controller.WithFlusher("traces", e.Flush("traces", func(ctx context.Context) error {
				select {
				case <-time.After(2 * time.Second):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}))))
		}, nil},
		"a worker of which the controller knows nothing": {"quiet", func(e *Env) *controller.Controller {
			ctl := newController(e, controller.WithServer("grpc", grpcServer(e, &rpcs{})))
			go func() {
				for {
					select {
					case <-time.After(time.Second):
						e.Claim(context.Background(), "jobs")()
					case <-ctl.Done():
						return
					}
				}
			}()
			return ctl
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "never closed") && runtime.GOOS != "linux" {
				t.Skip("the kit sees descriptors on Linux only")
			}
			found(t, tt.rule, newKit(tt.loads, func(k *kit) { k.build = tt.build }))
		})
	}
	for _, f := range open {
		_ = f.Close()
	}
}
