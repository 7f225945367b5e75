package shutdowntest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// ticks streams until the drain begins.
func ticks(stream grpc.ServerStream, send func() error) error {
	for {
		if err := send(); err != nil {
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

// grpcServer returns a server of rpcs.
func grpcServer(e *Env, name string, s *rpcs) lastcall.FullServer {
	g := grpcadapter.New(e.Listen(name))
	testgrpc.RegisterTestServiceServer(g.NewServer(), s)
	return g
}

// page is a handler that takes its time.
func page(w http.ResponseWriter, r *http.Request) {
	if work(r.Context()) == nil {
		_, _ = fmt.Fprint(w, "a page")
	}
}

func httpServer(e *Env, name string, h http.HandlerFunc) lastcall.FullServer {
	return httpadapter.New(e.Listen(name), &http.Server{Handler: h})
}

// using returns a handler during which a dependency is in use.
func using(db *Watched, f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		defer db.Use()()
		return f(ctx)
	}
}

// consume returns a worker that claims jobs until it is told to stop.
func consume(e *Env, db *Watched) func(claim, work context.Context) error {
	return func(claim, within context.Context) error {
		for {
			select {
			case <-time.After(takes):
			case <-claim.Done():
				return nil
			}
			if claim.Err() != nil {
				return nil
			}
			done := e.Claim(claim, "jobs")
			release := db.Use()
			_ = work(within)
			release()
			done()
		}
	}
}

func TestCorrect(t *testing.T) {
	for name, tt := range map[string]struct {
		build build
		loads []Load
	}{
		"gRPC": {func(e *Env) *controller.Controller {
			db := e.Watch("db", nil)
			return newController(e,
				controller.WithServer("grpc", grpcServer(e, "grpc", &rpcs{unary: using(db, work), stream: ticks})),
				controller.WithCloser("db", db.Close),
				controller.WithFlusher("traces", e.Flush("traces", nil)))
		}, []Load{GRPC("grpc", unary), GRPC("grpc", stream)}},
		"HTTP": {func(e *Env) *controller.Controller {
			db := e.Watch("db", nil)
			return newController(e,
				controller.WithServer("web", httpServer(e, "web", page)),
				controller.WithServer("admin", admin.New(e.Listen("admin"))),
				controller.WithCloser("db", db.Close))
		}, []Load{HTTP("web", get), Probe("admin", "/readyz")}},
		"gateway": {func(e *Env) *controller.Controller {
			g := grpcServer(e, "grpc", &rpcs{})
			cc, err := grpc.NewClient("passthrough:///grpc", grpc.WithContextDialer(e.Dialer("grpc")), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				e.Fatal(err)
			}
			web := httpServer(e, "web", func(w http.ResponseWriter, r *http.Request) {
				if err := unary(r.Context(), cc); err != nil {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			return newController(e, controller.WithServer("web", web), controller.WithServer("grpc", g, controller.After("web")),
				controller.WithCloser("connection", cc.Close))
		}, []Load{HTTP("web", get), GRPC("grpc", unary)}},
		"workers": {func(e *Env) *controller.Controller {
			db := e.Watch("db", nil)
			return newController(e, controller.WithWorker("consumer", consume(e, db)), controller.WithCloser("db", db.Close),
				controller.WithFlusher("traces", e.Flush("traces", nil)))
		}, nil},
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
