// Command minimal is the greeter of grpc-go's examples with a database, and with a
// shutdown around both.
package main

import (
	"context"
	"flag"
	"net"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"
	pb "google.golang.org/grpc/examples/helloworld/helloworld"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:50051", "address to listen on")
	file := flag.String("db", filepath.Join(os.TempDir(), "minimal.db"), "file of the database")
	flag.Parse()
	log := zerolog.New(os.Stderr).With().Timestamp().Logger()
	ctl, err := controller.New(lastcall.DefaultBudget(), controller.WithLogger(log))
	if err != nil {
		log.Fatal().Err(err).Msg("controller")
	}
	// From here on a signal ends the context, and what is open is closed in Run.
	listen := func() (net.Listener, error) { return net.Listen("tcp", *addr) }
	if err := open(ctl.Starting(context.Background()), ctl, log, *file, listen); err != nil {
		ctl.Fail(err) // exit code 3, unless a signal came first
	}
	os.Exit(ctl.Run(context.Background()).ExitCode())
}

// open opens one thing after the other, and adds each before it opens the next.
func open(ctx context.Context, ctl *controller.Controller, log zerolog.Logger, file string, listen func() (net.Listener, error)) error {
	log.Info().Str("file", file).Msg("opening the database")
	db, err := openDatabase(ctx, file)
	if err != nil {
		return err
	}
	if err := ctl.Add(controller.WithCloser("database", db.Close)); err != nil {
		return err
	}
	lis, err := listen()
	if err != nil {
		return err
	}
	log.Info().Stringer("addr", lis.Addr()).Msg("listening")
	g := grpcadapter.New(lis)
	pb.RegisterGreeterServer(g.NewServer(), &greeter{db: db})
	return ctl.Add(controller.WithServer("grpc", g))
}
