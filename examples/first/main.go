// Command first is the program in README.md.
package main

import (
	"context"
	"flag"
	"net"
	"os"

	"github.com/rs/zerolog"
	pb "google.golang.org/grpc/examples/helloworld/helloworld"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
)

type greeter struct{ pb.UnimplementedGreeterServer }

func (greeter) SayHello(_ context.Context, in *pb.HelloRequest) (*pb.HelloReply, error) {
	return &pb.HelloReply{Message: "Hello " + in.GetName()}, nil
}

func main() {
	addr := flag.String("addr", "127.0.0.1:50051", "address to listen on")
	flag.Parse()
	logger := zerolog.New(os.Stderr).With().Timestamp().Logger()
	ctl, err := controller.New(lastcall.DefaultBudget(), controller.WithLogger(logger))
	if err != nil {
		logger.Fatal().Err(err).Msg("wrong options")
	}
	open := func(ctx context.Context) error {
		guests, err := os.Open(os.DevNull) // your database here
		if err != nil {
			return err
		}
		if err := ctl.Add(controller.WithCloser("guests", guests.Close)); err != nil {
			return err
		}
		lis, err := new(net.ListenConfig).Listen(ctx, "tcp", *addr)
		if err != nil {
			return err
		}
		logger.Info().Stringer("addr", lis.Addr()).Msg("listening")
		g := grpcadapter.New(lis)
		pb.RegisterGreeterServer(g.NewServer(), greeter{}) // your service here
		return ctl.Add(controller.WithServer("grpc", g))
	}
	if err := open(ctl.Starting(context.Background())); err != nil {
		ctl.Fail(err)
	}
	os.Exit(ctl.Run(context.Background()).ExitCode())
}
