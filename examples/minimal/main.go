// Command minimal is the greeter of grpc-go's examples with a shutdown around it.
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
	log := zerolog.New(os.Stderr).With().Timestamp().Logger()

	lis, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal().Err(err).Msg("listen")
	}
	g := grpcadapter.New(lis)
	srv := g.NewServer()
	pb.RegisterGreeterServer(srv, greeter{})

	ctl, err := controller.New(lastcall.DefaultBudget(),
		controller.WithServer("grpc", g),
		controller.WithLogger(log),
	)
	if err != nil {
		log.Fatal().Err(err).Msg("controller")
	}
	log.Info().Str("addr", lis.Addr().String()).Msg("listening")
	os.Exit(ctl.Run(context.Background()).ExitCode())
}
