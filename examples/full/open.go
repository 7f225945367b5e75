package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	echopb "google.golang.org/grpc/examples/features/proto/echo"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"

	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/oteladapter"
)

// open opens one thing after the other. Each is given to the controller before the
// next is opened, so that an error in the middle leaves nothing open. The context
// ends if a signal comes meanwhile.
func (c config) open(ctx context.Context, ctl *controller.Controller, log zerolog.Logger) error {
	events, err := openEvents(c.events)
	if err != nil {
		return err
	}
	if err := ctl.Add(controller.WithFlusher("events", events.Close)); err != nil {
		return err
	}

	traces, err := openTraces(c.traces)
	if err != nil {
		return err
	}
	if err := ctl.Add(controller.WithFlusher("traces", traces.Shutdown)); err != nil {
		return err
	}

	log.Info().Str("file", c.guestBook).Msg("opening the guest book")
	_, span := traces.Start(ctx, "open the guest book")
	guests, err := openGuestBook(ctx, c.guestBook)
	span.End()
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

	err = ctl.Add(
		controller.WithWorker("thanks", thanks(guests, events)),
		controller.WithWorker("census", census(guests, events, c.census)),
	)
	if err != nil {
		return err
	}
	return c.openServers(ctl, log, guests, events, traces)
}

// openServers opens what others connect to, when all that the handlers need is there.
func (c config) openServers(ctl *controller.Controller, log zerolog.Logger, guests *guestBook, events *events, traces *traces) error {
	lis, err := c.listenAll(c.grpcAddr, c.restAddr, c.adminAddr)
	if err != nil {
		return err
	}

	background := drain.New()
	g := grpcadapter.New(lis[0], // registers grpc.health.v1 and takes it down in phase announce
		grpcadapter.WithEndlessStreams(echopb.Echo_BidirectionalStreamingEcho_FullMethodName))
	srv := g.NewServer()
	hellopb.RegisterGreeterServer(srv, &greeter{
		guests: guests, events: events, traces: traces, work: c.work,
		mails: mailer{background: background.Watcher(), events: events, work: c.work},
	})
	echopb.RegisterEchoServer(srv, echo{})

	conn, err := grpc.NewClient("passthrough:///"+lis[0].Addr().String(), grpc.WithContextDialer(c.dial), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return closeAll(lis, err)
	}
	api := newREST(hellopb.NewGreeterClient(conn), echopb.NewEchoClient(conn))
	rest := httpadapter.New(lis[1], &http.Server{Handler: api, ReadHeaderTimeout: 5 * time.Second},
		httpadapter.WithPattern(patterns(api)))

	metrics, page, err := newMetrics(guests)
	if err != nil {
		return closeAll(lis, err)
	}
	options := []admin.Option{admin.Handle("GET /metrics", page)}
	if c.token != "" {
		options = append(options, admin.WithTrigger("POST /shutdown", admin.Token(c.token)))
	}
	err = ctl.Add(
		metrics.Option(),
		oteladapter.New(oteladapter.WithTracerProvider(traces.provider)).Option(),
		controller.WithServer("rest", rest),
		controller.WithServer("grpc", g, controller.After("rest")),
		controller.WithServer("background", background, controller.After("grpc", "rest")),
		controller.WithServer("admin", admin.New(lis[2], options...)),
		controller.WithCloser("connection of rest to grpc", conn.Close),
	)
	if err != nil {
		return closeAll(lis, err)
	}
	log.Info().Stringer("addr", lis[0].Addr()).Stringer("rest", lis[1].Addr()).Stringer("admin", lis[2].Addr()).Msg("listening")
	return nil
}

// listenAll opens all listeners or none.
func (c config) listenAll(addrs ...string) ([]net.Listener, error) {
	var all []net.Listener
	for _, addr := range addrs {
		lis, err := c.listen(addr)
		if err != nil {
			return nil, closeAll(all, err)
		}
		all = append(all, lis)
	}
	return all, nil
}

// closeAll closes listeners that have no server, and returns the error.
func closeAll(listeners []net.Listener, err error) error {
	for _, lis := range listeners {
		_ = lis.Close() // err says more
	}
	return err
}
