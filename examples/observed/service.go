package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	echopb "google.golang.org/grpc/examples/features/proto/echo"
	pb "google.golang.org/grpc/examples/helloworld/helloworld"

	"github.com/lastcall-go/lastcall"
)

// greeting is how long a greeting takes.
const greeting = 5 * time.Millisecond

type greeter struct{ pb.UnimplementedGreeterServer }

func (greeter) SayHello(_ context.Context, in *pb.HelloRequest) (*pb.HelloReply, error) {
	time.Sleep(greeting)
	return &pb.HelloReply{Message: "Hello " + in.GetName()}, nil
}

type echo struct{ echopb.UnimplementedEchoServer }

// ServerStreamingEcho sends the message once, and ends with the drain.
func (echo) ServerStreamingEcho(in *echopb.EchoRequest, stream grpc.ServerStreamingServer[echopb.EchoResponse]) error {
	if err := stream.Send(&echopb.EchoResponse{Message: in.GetMessage()}); err != nil {
		return err
	}
	ctx := stream.Context()
	select {
	case <-lastcall.Draining(ctx):
	case <-ctx.Done():
	}
	return nil
}

// BidirectionalStreamingEcho waits for the end of its context: a stream that does not look
// at the drain. The timer cancels it.
func (echo) BidirectionalStreamingEcho(stream grpc.BidiStreamingServer[echopb.EchoRequest, echopb.EchoResponse]) error {
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	<-stream.Context().Done()
	return context.Cause(stream.Context())
}
