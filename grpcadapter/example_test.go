package grpcadapter_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/lastcall-go/lastcall"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
)

type orders struct {
	testgrpc.UnimplementedTestServiceServer
}

func consume(claim, work context.Context) error { <-claim.Done(); return nil }

// The ten lines of the README: a gRPC server, a worker, a dependency and an
// exporter, shut down in order when SIGTERM comes.
func Example() {
	var db io.Closer
	var provider interface{ Shutdown(context.Context) error }

	lis, err := net.Listen("tcp", ":50051")
	if err != nil {
		log.Fatal(err)
	}
	g := grpcadapter.New(lis)
	testgrpc.RegisterTestServiceServer(g.NewServer(), orders{}) // your own service here

	ctl, err := controller.New(lastcall.DefaultBudget(),
		controller.WithServer("grpc", g),
		controller.WithWorker("consumer", consume),
		controller.WithCloser("postgres", db.Close),
		controller.WithFlusher("traces", provider.Shutdown),
		controller.WithLogger(zerolog.New(os.Stderr)),
	)
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(ctl.Run(context.Background()).ExitCode())
}

// A handler that streams for as long as the server serves listens for the drain,
// sends its last message, and returns.
func ExampleServer_NewServer() {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	g := grpcadapter.New(lis)
	testgrpc.RegisterTestServiceServer(g.NewServer(), ticker{})
	budget := lastcall.Budget{Total: 25 * time.Second, Reserve: 5 * time.Second} // no settle: nobody else has to learn
	ctl, err := controller.New(budget, controller.WithServer("grpc", g), controller.WithSignals())
	if err != nil {
		fmt.Println(err)
		return
	}
	go ctl.Run(context.Background())

	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	stream, err := testgrpc.NewTestServiceClient(conn).StreamingOutputCall(context.Background(), &testgrpc.StreamingOutputCallRequest{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		msg, err := stream.Recv()
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Printf("%s\n", msg.Payload.Body)
		ctl.Shutdown(nil)
	}
	got, err := ctl.Wait(context.Background())
	fmt.Println(got.Path[len(got.Path)-1], err)
	// Output:
	// hello
	// last message
	// EOF
	// TERMINATED <nil>
}

type ticker struct {
	testgrpc.UnimplementedTestServiceServer
}

func (ticker) StreamingOutputCall(_ *testgrpc.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	if err := stream.Send(text("hello")); err != nil {
		return err
	}
	select {
	case <-lastcall.Draining(stream.Context()):
		return stream.Send(text("last message"))
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

func text(s string) *testgrpc.StreamingOutputCallResponse {
	return &testgrpc.StreamingOutputCallResponse{Payload: &testgrpc.Payload{Body: []byte(s)}}
}
