// Command oneport serves gRPC and HTTP on one port without TLS, in two ways: as one
// http.Server, or with cmux in front of two servers.
package main

import (
	"context"
	"flag"
	"net"
	"os"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:50051", "address to listen on")
	mux := flag.Bool("cmux", false, "cmux in front of two servers, and not one http.Server")
	flag.Parse()
	log := zerolog.New(os.Stderr).With().Timestamp().Logger()
	lis, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal().Err(err).Msg("listen")
	}
	log.Info().Stringer("addr", lis.Addr()).Msg("listening")
	servers := oneServer
	if *mux {
		servers = twoServers
	}
	ctl, err := controller.New(lastcall.DefaultBudget(), append(servers(lis), controller.WithLogger(log))...)
	if err != nil {
		log.Fatal().Err(err).Msg("controller")
	}
	os.Exit(ctl.Run(context.Background()).ExitCode())
}
