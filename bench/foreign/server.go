//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// work is how long a handler takes.
const work = 2 * time.Millisecond

type service struct {
	testgrpc.UnimplementedTestServiceServer
}

func (service) UnaryCall(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	time.Sleep(work)
	return &testgrpc.SimpleResponse{Username: "you"}, nil
}

// serve is the server's main, and returns the exit code. It prints its address when it
// listens.
func serve(args []string) int {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	proto := flags.String("proto", "grpc", "")
	how := flags.String("how", "lastcall", "")
	settle := flags.Duration("settle", 0, "")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	lis, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Println(lis.Addr())
		switch *how {
		case "lastcall":
			var code int
			if code, err = withLastcall(lis, *proto, *settle); err == nil {
				return code
			}
		case "bare", "stop":
			err = withoutLastcall(lis, *proto, *how == "stop")
		default:
			err = fmt.Errorf("there is no server %q", *how)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		return 2
	}
	return 0
}

func webServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{ReadHeaderTimeout: time.Minute, Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(work)
		_, _ = io.WriteString(w, "hello")
	})}
}

func withLastcall(lis net.Listener, proto string, settle time.Duration) (int, error) {
	var server lastcall.Server
	if proto == "grpc" {
		g := grpcadapter.New(lis)
		testgrpc.RegisterTestServiceServer(g.NewServer(), service{})
		server = g
	} else {
		server = httpadapter.New(lis, webServer())
	}
	ctl, err := controller.New(lastcall.Budget{Total: settle + 20*time.Second, Settle: settle, Reserve: 5 * time.Second},
		controller.WithServer(proto, server))
	if err != nil {
		return 0, err
	}
	return ctl.Run(context.Background()).ExitCode(), nil
}

// withoutLastcall is the server that most programs have.
func withoutLastcall(lis net.Listener, proto string, stop bool) error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	web, rpc := webServer(), grpc.NewServer()
	testgrpc.RegisterTestServiceServer(rpc, service{})
	healthy := health.NewServer()
	healthpb.RegisterHealthServer(rpc, healthy)
	served := make(chan error, 1)
	go func() {
		if proto == "grpc" {
			served <- rpc.Serve(lis)
		} else {
			served <- web.Serve(lis)
		}
	}()
	<-asked
	switch {
	case proto == "grpc" && stop:
		rpc.Stop()
	case proto == "grpc":
		healthy.Shutdown()
		rpc.GracefulStop()
	case stop:
		return web.Close()
	default:
		if err := web.Shutdown(context.Background()); err != nil {
			return err
		}
	}
	if err := <-served; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
