package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/soheilhy/cmux"
	pb "google.golang.org/grpc/examples/helloworld/helloworld"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// twoServers are a gRPC server and an http.Server behind cmux. The first that drains
// closes the port for both.
func twoServers(lis net.Listener) []controller.Option {
	mux := cmux.New(lis)
	// cmux ends when it has heard enough of every peer, so it has to stop waiting for those
	// that say nothing.
	mux.SetReadTimeout(time.Second)
	g := grpcadapter.New(mux.MatchWithWriters(cmux.HTTP2MatchHeaderFieldSendSettings("content-type", "application/grpc")))
	pb.RegisterGreeterServer(g.NewServer(), greeter{})
	web := httpadapter.New(mux.Match(cmux.Any()), &http.Server{Handler: site(), ReadHeaderTimeout: 5 * time.Second})
	return []controller.Option{
		controller.WithServer("web", web),
		controller.WithServer("grpc", g),
		controller.WithWorker("cmux", func(claim, _ context.Context) error {
			err := mux.Serve()
			if claim.Err() != nil && errors.Is(err, net.ErrClosed) {
				return nil // the servers have closed the port
			}
			return err
		}, controller.EndsProcess()),
	}
}
