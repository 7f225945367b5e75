package shutdowntest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/internal/tlstest"
)

// ticks streams until the drain begins.
func ticks(stream grpc.ServerStream, send func() error) error { return tick(stream.Context(), send) }

func tick(ctx context.Context, send func() error) error {
	for {
		if err := send(); err != nil {
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
}

// grpcServer returns a server of rpcs.
func grpcServer(e *Env, s *rpcs) lastcall.FullServer {
	g := grpcadapter.New(e.Listen("grpc"))
	testgrpc.RegisterTestServiceServer(g.NewServer(), s)
	return g
}

// page is a handler that takes its time.
func page(w http.ResponseWriter, r *http.Request) {
	if work(r.Context()) == nil {
		_, _ = fmt.Fprint(w, "a page")
	}
}

func httpServer(e *Env, h http.HandlerFunc) lastcall.FullServer {
	return httpadapter.New(e.Listen("web"), &http.Server{Handler: h})
}

// gateway returns a server that asks the one named grpc after a while, as gateways that
// authenticate do, and its connection. A request whose RPC fails is answered with the status.
func gateway(e *Env, failed int) (lastcall.FullServer, *grpc.ClientConn) {
	cc, err := grpc.NewClient("passthrough:///grpc", grpc.WithContextDialer(e.Dialer("grpc")), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		e.Fatal(err)
	}
	return httpServer(e, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(takes / 10)
		if unary(r.Context(), cc) != nil {
			w.WriteHeader(failed)
		}
	}), cc
}

// using returns a handler during which a dependency is in use.
func using(db *Watched, f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		done := db.Use()
		defer done()
		return f(ctx)
	}
}

// tagged is a context as a program may have it: it cannot be a key of a map.
type tagged struct {
	context.Context
	tags []string
}

// consume returns a worker that claims jobs until it is told to stop.
func consume(e *Env, db *Watched) func(claim, work context.Context) error {
	return func(claim, within context.Context) error {
		for claim.Err() == nil {
			select {
			case <-time.After(takes):
			case <-claim.Done():
				continue
			}
			done, release := e.Claim(tagged{claim, nil}, "jobs"), db.Use()
			_ = work(within)
			release()
			done()
		}
		return nil
	}
}

func TestCorrect(t *testing.T) {
	cert, _, err := tlstest.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		build build
		loads []Load
	}{
		"gRPC": {func(e *Env) *controller.Controller {
			db := e.Watch("db", nil)
			return newController(e,
				controller.WithServer("grpc", grpcServer(e, &rpcs{unary: using(db, work), stream: ticks})),
				controller.WithCloser("db", db.Close),
				controller.WithFlusher("traces", e.Flush("traces", nil)))
		}, []Load{GRPC("grpc", unary), GRPC("grpc", stream)}},
		"HTTP": {func(e *Env) *controller.Controller {
			db := e.Watch("db", nil)
			return newController(e,
				controller.WithServer("web", httpServer(e, page)),
				controller.WithServer("admin", admin.New(e.Listen("admin"))),
				controller.WithCloser("db", db.Close))
		}, []Load{HTTP("web", get), Probe("admin", "/readyz")}},
		"gateway": {func(e *Env) *controller.Controller {
			web, cc := gateway(e, http.StatusServiceUnavailable)
			return newController(e, controller.WithServer("web", web), controller.WithServer("grpc", grpcServer(e, &rpcs{}), controller.After("web")),
				controller.WithCloser("connection", cc.Close))
		}, []Load{HTTP("web", get), GRPC("grpc", unary)}},
		"workers": {func(e *Env) *controller.Controller {
			db := e.Watch("db", nil)
			return newController(e, controller.WithWorker("consumer", consume(e, db)), controller.WithCloser("db", db.Close),
				controller.WithFlusher("traces", e.Flush("traces", nil)))
		}, nil},
		"events over TLS and HTTP/2": {func(e *Env) *controller.Controller {
			web := &http.Server{ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = tick(r.Context(), func() error {
					_, err := fmt.Fprintln(w, "event")
					return errors.Join(err, http.NewResponseController(w).Flush())
				})
			})}
			return newController(e, controller.WithServer("web", httpadapter.New(e.Listen("web"), web, httpadapter.WithTLS("", ""))))
		}, []Load{HTTP("web", func(ctx context.Context, c *http.Client) error { return getURL(ctx, c, "https://service/") }), WithTLS("web", &tls.Config{InsecureSkipVerify: true})}},
		"slow handlers, a budget of its own, and signals": {func(e *Env) *controller.Controller {
			db := e.Watch("db", nil)
			ctl, err := controller.New(lastcall.Budget{Total: 20 * time.Second, Settle: 5 * time.Second, Quiet: 500 * time.Millisecond, Reserve: 4 * time.Second},
				controller.WithSignalChannel(e.Signals()), controller.WithLogger(zerolog.Nop()),
				controller.WithServer("grpc", grpcServer(e, &rpcs{unary: using(db, func(ctx context.Context) error {
					select {
					case <-time.After(30 * time.Second):
						return nil
					case <-ctx.Done():
						time.Sleep(100 * time.Millisecond)
						return ctx.Err()
					}
				})})),
				controller.WithCloser("db", func() error { time.Sleep(100 * time.Millisecond); return db.Close() }),
				controller.WithFlusher("traces", e.Flush("traces", func(context.Context) error { time.Sleep(100 * time.Millisecond); return nil })))
			return e.Must(ctl, err)
		}, []Load{GRPC("grpc", unary)}},
		"calls that take different times": {onGRPC(&rpcs{unary: func(ctx context.Context) error {
			select {
			case <-time.After(rand.N(time.Second)):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}), []Load{GRPC("grpc", unary)}},
		"raw": {rawService, []Load{Raw("raw", echo)}},
	} {
		t.Run(name, func(t *testing.T) { Check(t, tt.build, tt.loads...) })
	}
}

// rawService serves a protocol of its own, with an accept loop of its own.
func rawService(e *Env) *controller.Controller {
	g := drain.New()
	lis := g.Listen(e.Listen("raw"))
	serve := func(conn *drain.Conn) {
		defer conn.Close()
		b := make([]byte, 1)
		for conn.Idle() {
			if _, err := conn.Read(b); err != nil {
				return
			}
			if work(conn.Context()) != nil {
				return
			}
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	}
	accept := func() error {
		for {
			conn, err := lis.Accept()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if err != nil {
				return err
			}
			watched, err := g.Watcher().WatchConn(context.Background(), "echo", conn)
			if err != nil {
				_ = conn.Close()
				continue
			}
			go serve(watched)
		}
	}
	return newController(e, controller.WithServer("raw", g, controller.Serving(accept, nil)))
}

// A service without a controller can be correct as well: it bounds handshakes, takes its
// health down before the drain, and stops what has not ended in time.
func TestCorrectServer(t *testing.T) {
	t.Run("gRPC", func(t *testing.T) {
		CheckServer(t, func(e *Env) func(context.Context) {
			srv, lis, h, db := grpc.NewServer(grpc.ConnectionTimeout(time.Second)), e.Listen("grpc"), health.NewServer(), e.Watch("db", nil)
			testgrpc.RegisterTestServiceServer(srv, &rpcs{unary: using(db, work)})
			healthpb.RegisterHealthServer(srv, h)
			go func() { _ = srv.Serve(lis) }()
			return func(ctx context.Context) {
				h.Shutdown()
				stop := context.AfterFunc(ctx, srv.Stop)
				defer stop()
				timer := time.AfterFunc(24*time.Second, srv.Stop)
				defer timer.Stop()
				srv.GracefulStop()
				_ = db.Close()
			}
		}, GRPC("grpc", unary))
	})
	t.Run("HTTP", func(t *testing.T) {
		CheckServer(t, func(e *Env) func(context.Context) {
			srv, lis := &http.Server{Handler: http.HandlerFunc(page), ReadHeaderTimeout: time.Second}, e.Listen("web")
			go func() { _ = srv.Serve(lis) }()
			return func(ctx context.Context) {
				ctx, cancel := context.WithTimeout(ctx, 24*time.Second)
				defer cancel()
				if srv.Shutdown(ctx) != nil {
					_ = srv.Close()
				}
			}
		}, HTTP("web", get))
	})
}
