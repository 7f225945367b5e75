package admin_test

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/kubernetes"
	"github.com/lastcall-go/lastcall/systemd"
)

// A process with everything: a gateway in front of a gRPC server, work that their
// handlers leave in the background, a consumer, two dependencies, telemetry, and an
// admin port.
func Example_process() {
	var web, rpc, adm net.Listener // of net.Listen
	budget, err := kubernetes.Budget(30*time.Second, 0)
	if err != nil {
		log.Fatal(err)
	}

	g := grpcadapter.New(rpc)
	testgrpc.RegisterTestServiceServer(g.NewServer(), orders{}) // your own service here
	background := drain.New()                                   // background.Watcher().Go(ctx, "mail", send)
	front := &http.Server{Handler: gateway, ReadHeaderTimeout: time.Second}
	ctl, err := controller.New(budget,
		controller.WithServer("gateway", httpadapter.New(web, front)),
		controller.WithServer("grpc", g, controller.After("gateway")),
		controller.WithServer("background", background, controller.After("gateway", "grpc")),
		controller.WithWorker("consumer", consume),
		controller.Together(
			controller.WithCloser("postgres", db.Close),
			controller.WithCloser("redis", cache.Close),
		),
		controller.WithFlusher("traces", provider.Shutdown),
		controller.WithServer("admin", admin.New(adm, admin.Handle("GET /metrics", metrics))),
		systemd.Notify(), // does nothing elsewhere
	)
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(ctl.Run(context.Background()).ExitCode())
}

type orders struct {
	testgrpc.UnimplementedTestServiceServer
}

type closer struct{}

func (closer) Close() error                   { return nil }
func (closer) Shutdown(context.Context) error { return nil }

var (
	db, cache, provider closer
	gateway, metrics    = http.NotFoundHandler(), http.NotFoundHandler()
)

func consume(claim, _ context.Context) error {
	<-claim.Done()
	return nil
}
