//go:build linux

// Command reuseport is a greeter that a second process of it replaces on the same port,
// without losing a connection:
//
//	reuseport -addr 127.0.0.1:50051 &
//	reuseport -addr 127.0.0.1:50051 &     # when it is ready:
//	kill <pid of the first one>
//
// Each process opens its own socket with SO_REUSEPORT; listen.go says how new connections are
// kept from the one that leaves.
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
)

func main() {
	var budget lastcall.Budget
	flag.TextVar(&budget, "budget", lastcall.DefaultBudget(), "`time` for the shutdown: 30s from SIGTERM to SIGKILL, or total=28s,settle=5s,reserve=5s")
	addr := flag.String("addr", "127.0.0.1:50051", "address to listen on")
	flag.Parse()
	log := zerolog.New(os.Stderr).With().Timestamp().Int("pid", os.Getpid()).Logger()
	lis, err := listen(context.Background(), *addr)
	if err != nil {
		log.Fatal().Err(err).Msg("listen")
	}
	ctl, err := controller.New(budget, append(server(lis, fmt.Sprint(os.Getpid())), controller.WithLogger(log))...)
	if err != nil {
		log.Fatal().Err(err).Msg("controller")
	}
	os.Exit(ctl.Run(context.Background()).ExitCode())
}

// server is a gRPC server which sends new connections to its successor once it is told to
// leave. In settle it serves those that it has.
func server(lis *net.TCPListener, name string) []controller.Option {
	g := grpcadapter.New(lis)
	pb.RegisterGreeterServer(g.NewServer(), greeter{name: name})
	return []controller.Option{
		controller.WithServer("grpc", g),
		controller.WithAnnouncer("reuseport", func() error { return prefer(lis, second) }),
	}
}

// greeter says by which process a caller is greeted.
type greeter struct {
	pb.UnimplementedGreeterServer
	name string
}

func (g greeter) SayHello(_ context.Context, in *pb.HelloRequest) (*pb.HelloReply, error) {
	return &pb.HelloReply{Message: fmt.Sprintf("Hello %s from %s", in.GetName(), g.name)}, nil
}
