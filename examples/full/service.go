package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	echopb "google.golang.org/grpc/examples/features/proto/echo"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/controller"
)

// greeter writes everybody whom it greets into the guest book.
type greeter struct {
	hellopb.UnimplementedGreeterServer
	guests *guestBook
	events *events
}

// SayHello answers when the guest is on the disk.
func (g *greeter) SayHello(_ context.Context, in *hellopb.HelloRequest) (*hellopb.HelloReply, error) {
	number, err := g.guests.sign(in.GetName())
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	g.events.add("signed", number)
	return &hellopb.HelloReply{Message: fmt.Sprintf("Hello %s, you are guest %d", in.GetName(), number)}, nil
}

// echo has a stream that does not end by itself.
type echo struct{ echopb.UnimplementedEchoServer }

// echoPause is the time between two messages of a stream.
const echoPause = 100 * time.Millisecond

// ServerStreamingEcho sends the message again and again, until the client leaves
// or the drain begins. Without the second it would hold the drain until the timer.
func (echo) ServerStreamingEcho(in *echopb.EchoRequest, stream grpc.ServerStreamingServer[echopb.EchoResponse]) error {
	ctx := stream.Context()
	tick := time.NewTicker(echoPause)
	defer tick.Stop()
	for {
		if err := stream.Send(&echopb.EchoResponse{Message: in.GetMessage()}); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-controller.Draining(ctx):
			return nil
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}
