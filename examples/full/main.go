// Command full is a guest book: a gRPC server that writes to an embedded
// database, a worker that reads from it, and a log of events that is kept in
// memory until it is flushed. It shows what is opened, in which order, and how
// all of it comes to its end.
package main

import (
	"context"
	"flag"
	"net"
	"os"

	"github.com/rs/zerolog"
	echopb "google.golang.org/grpc/examples/features/proto/echo"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
)

// exitStart is the exit code if something could not be opened. The others are
// those of [controller.Report.ExitCode].
const exitStart = 1

// files are those that the server writes.
type files struct{ guestBook, events string }

func main() {
	var names files
	budget := controller.DefaultBudget()
	addr := flag.String("addr", "127.0.0.1:50051", "address to listen on")
	flag.StringVar(&names.guestBook, "guestbook", "guestbook.db", "file of the guest book")
	flag.StringVar(&names.events, "events", "events.log", "file to which events are written")
	flag.DurationVar(&budget.Settle, "settle", budget.Settle, "how long to go on serving after SIGTERM")
	flag.Parse()
	os.Exit(run(budget, *addr, names))
}

func run(budget controller.Budget, addr string, names files) int {
	log := zerolog.New(os.Stderr).With().Timestamp().Logger()
	ctl, err := controller.New(budget, controller.WithLogger(log))
	if err != nil {
		log.Error().Err(err).Msg("bad options")
		return exitStart
	}
	if err := open(ctl, log, addr, names); err != nil {
		log.Error().Err(err).Msg("cannot start")
		ctl.Shutdown(err) // before Run: nothing is started, and what is open already is closed in order
		ctl.Run(context.Background())
		return exitStart
	}
	return ctl.Run(context.Background()).ExitCode()
}

// open opens one thing after the other. Each is given to the controller before
// the next is opened, so that an error in the middle leaves nothing open.
func open(ctl *controller.Controller, log zerolog.Logger, addr string, names files) error {
	events, err := openEvents(names.events)
	if err != nil {
		return err
	}
	if err := ctl.Add(controller.WithFlusher("events", events.Close)); err != nil {
		return err
	}

	guests, err := openGuestBook(names.guestBook)
	if err != nil {
		return err
	}
	err = ctl.Add(controller.WithCloser("guest book", func() error {
		defer events.add("closed", 0) // late, but not lost: flushers run after closers
		return guests.Close()
	}))
	if err != nil {
		return err
	}

	if err := ctl.Add(controller.WithWorker("thanks", thanks(guests, events))); err != nil {
		return err
	}

	lis, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	g := grpcadapter.New(lis) // registers grpc.health.v1 and takes it down in phase announce
	srv := g.NewServer()
	hellopb.RegisterGreeterServer(srv, &greeter{guests: guests, events: events})
	echopb.RegisterEchoServer(srv, echo{})
	if err := ctl.Add(controller.WithServer("grpc", g)); err != nil {
		return err
	}
	log.Info().Str("addr", lis.Addr().String()).Msg("listening")
	return nil
}
