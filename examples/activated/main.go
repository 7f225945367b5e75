// Command activated is a greeter on a socket that systemd, or the example restart, has opened
// and passed on. Without one it opens its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/rs/zerolog"
	pb "google.golang.org/grpc/examples/helloworld/helloworld"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/systemd"
)

func main() {
	var budget lastcall.Budget
	flag.TextVar(&budget, "budget", lastcall.DefaultBudget(), "`time` for the shutdown: 30s from SIGTERM to SIGKILL, or total=28s,settle=5s,reserve=5s")
	addr := flag.String("addr", "127.0.0.1:50051", "address to listen on if no socket was passed")
	flag.Parse()
	log := zerolog.New(os.Stderr).With().Timestamp().Int("pid", os.Getpid()).Logger()
	ctl, err := controller.New(budget, controller.WithLogger(log), systemd.Notify())
	if err != nil {
		log.Fatal().Err(err).Msg("controller")
	}
	if err := open(ctl, *addr); err != nil {
		ctl.Fail(err)
	}
	os.Exit(ctl.Run(context.Background()).ExitCode())
}

// open adds a server on the socket named grpc, or on a socket of its own.
func open(ctl *controller.Controller, addr string) error {
	passed, err := systemd.Listeners()
	if err != nil {
		return err
	}
	var lis net.Listener
	if grpc := passed["grpc"]; len(grpc) > 0 {
		lis = grpc[0]
	} else if lis, err = net.Listen("tcp", addr); err != nil {
		return err
	}
	g := grpcadapter.New(lis)
	pb.RegisterGreeterServer(g.NewServer(), greeter{})
	return ctl.Add(controller.WithServer("grpc", g))
}

// greeter says by which process a caller is greeted.
type greeter struct{ pb.UnimplementedGreeterServer }

func (greeter) SayHello(_ context.Context, in *pb.HelloRequest) (*pb.HelloReply, error) {
	return &pb.HelloReply{Message: fmt.Sprintf("Hello %s from %d", in.GetName(), os.Getpid())}, nil
}
