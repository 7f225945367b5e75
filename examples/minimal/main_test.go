package main

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	pb "google.golang.org/grpc/examples/helloworld/helloworld"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/shutdowntest"
)

// TestShutdown shuts the service down in random ways.
func TestShutdown(t *testing.T) {
	shutdowntest.Check(t, func(e *shutdowntest.Env) *controller.Controller {
		ctl, err := controller.New(e.Budget())
		if err == nil {
			listen := func() (net.Listener, error) { return e.Listen("grpc"), nil }
			err = open(context.Background(), ctl, zerolog.Nop(), filepath.Join(e.TempDir(), "db"), listen)
		}
		return e.Must(ctl, err)
	}, shutdowntest.GRPC("grpc", greet))
}

func greet(ctx context.Context, cc *grpc.ClientConn) error {
	_, err := pb.NewGreeterClient(cc).SayHello(ctx, &pb.HelloRequest{Name: "gopher"})
	return err
}
