package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	echopb "google.golang.org/grpc/examples/features/proto/echo"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall"
)

// greeter writes everybody whom it greets into the guest book.
type greeter struct {
	hellopb.UnimplementedGreeterServer
	guests *guestBook
	events *events
	traces *traces
	mails  mailer
	work   time.Duration
}

// SayHello answers when the guest is on the disk. Its sleep stands for a call into a
// library that knows no contexts: if it is long, the shutdown cannot end it.
func (g *greeter) SayHello(ctx context.Context, in *hellopb.HelloRequest) (*hellopb.HelloReply, error) {
	ctx, span := g.traces.Start(ctx, "SayHello")
	defer span.End()
	time.Sleep(g.work)
	number, err := g.guests.sign(in.GetName())
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	g.events.add("signed", number)
	g.mails.welcome(ctx, number)
	return &hellopb.HelloReply{Message: fmt.Sprintf("Hello %s, you are guest %d", in.GetName(), number)}, nil
}

// echo has a stream of each kind, and each ends in a way of its own.
type echo struct{ echopb.UnimplementedEchoServer }

// UnaryEcho returns the message.
func (echo) UnaryEcho(_ context.Context, in *echopb.EchoRequest) (*echopb.EchoResponse, error) {
	return &echopb.EchoResponse{Message: in.GetMessage()}, nil
}

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
		case <-lastcall.Draining(ctx):
			return nil
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// ClientStreamingEcho reads until the client is done and returns the last message: an
// upload. The drain waits for it, until the timer ends its context, and so its Recv.
func (echo) ClientStreamingEcho(stream grpc.ClientStreamingServer[echopb.EchoRequest, echopb.EchoResponse]) error {
	if err := stream.SendHeader(nil); err != nil { // the client knows that it is heard
		return err
	}
	last := &echopb.EchoResponse{}
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(last)
		}
		if err != nil {
			return err
		}
		last.Message = in.GetMessage()
	}
}

// BidirectionalStreamingEcho answers each message for as long as the client likes. It
// does not look at the drain: it is one of [grpcadapter.WithEndlessStreams], which ends
// it between two messages.
func (echo) BidirectionalStreamingEcho(stream grpc.BidiStreamingServer[echopb.EchoRequest, echopb.EchoResponse]) error {
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&echopb.EchoResponse{Message: in.GetMessage()}); err != nil {
			return err
		}
	}
}
