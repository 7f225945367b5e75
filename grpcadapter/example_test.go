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

func openDB(context.Context) (io.Closer, error) { return nil, nil }

// The shape of a program: the controller comes first, and what it has to stop is added as it
// is opened. A signal that arrives meanwhile ends ctx, and Run closes what is open.
func Example() {
	logger := zerolog.New(os.Stderr).With().Timestamp().Logger()
	ctl, err := controller.New(lastcall.DefaultBudget(), controller.WithLogger(logger))
	if err != nil {
		log.Fatal(err)
	}
	open := func(ctx context.Context) error {
		db, err := openDB(ctx)
		if err != nil {
			return err
		}
		if err := ctl.Add(controller.WithCloser("postgres", db.Close)); err != nil {
			return err
		}
		lis, err := net.Listen("tcp", ":50051")
		if err != nil {
			return err
		}
		g := grpcadapter.New(lis)
		testgrpc.RegisterTestServiceServer(g.NewServer(), orders{}) // your own service here
		return ctl.Add(controller.WithServer("grpc", g))
	}
	if err := open(ctl.Starting(context.Background())); err != nil {
		ctl.Fail(err)
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
