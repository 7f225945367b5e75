package xdstest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"

	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/xds"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
)

// G12: a process with an xds server is ready when the server's mode is SERVING, and not
// when it accepts connections only to close them.
func TestReady(t *testing.T) {
	t.Parallel()
	lis := listen(t, "tcp", loopback)
	h := &house{management: manage(t), lis: lis}
	serving, ready := whenServing()
	g := grpcadapter.New(lis, ready)
	g.Adopt(newServer(t, service{}, g.ServerOptions(bootstrap(h.addr), serving)...))
	h.control(t, roomy, g)
	h.run()
	must(t, received(io.Copy(io.Discard, connect(t, lis)))) // it accepts and closes: the listener is served
	if h.Ready() {
		t.Error("ready without a configuration")
	}
	h.publish(t, 1, resourceFor(t, lis))
	await(t, "Serving", h.Serving())
	if !h.Ready() {
		t.Error("not ready when serving")
	}
	h.Shutdown(nil)
	wantDrained(t, await(t, "the report", h.report), lis)
}

// An xds server that is told to go before its configuration has come ends as others do.
func TestNeverReady(t *testing.T) {
	t.Parallel()
	lis := listen(t, "tcp", loopback)
	h := &house{lis: lis}
	serving, ready := whenServing()
	g := grpcadapter.New(lis, ready)
	g.Adopt(newServer(t, service{}, g.ServerOptions(bootstrap(nowhere), serving)...))
	h.control(t, roomy, g)
	h.run()
	must(t, received(io.Copy(io.Discard, connect(t, lis))))
	h.Shutdown(nil)
	r := await(t, "the report", h.report)
	wantDrained(t, r, lis)
}

// An xds server accepts connections before it has a configuration, and closes them. It is
// ready when its serving mode is SERVING, which its callback tells.
func Example_ready() {
	lis, err := net.Listen("tcp", ":50051")
	if err != nil {
		fmt.Println(err)
		return
	}
	ready := make(chan struct{})
	var once sync.Once
	g := grpcadapter.New(lis, grpcadapter.WithReady(ready))
	srv, err := xds.NewGRPCServer(g.ServerOptions(
		xds.ServingModeCallback(func(_ net.Addr, args xds.ServingModeChangeArgs) {
			if args.Mode == connectivity.ServingModeServing {
				once.Do(func() { close(ready) })
			}
		}))...)
	if err != nil {
		fmt.Println(err)
		return
	}
	g.Adopt(srv) // and register your services on srv
	ctl, err := controller.New(lastcall.DefaultBudget(), controller.WithServer("xds", g))
	if err != nil {
		fmt.Println(err)
		return
	}
	os.Exit(ctl.Run(context.Background()).ExitCode())
}
