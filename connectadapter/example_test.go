package connectadapter_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/connectadapter"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// A connect-go service, as its generated constructor makes it, behind an httpadapter.
func Example() {
	mux := http.NewServeMux()
	mux.Handle(unaryPath, connect.NewUnaryHandler(unaryPath,
		func(context.Context, *connect.Request[testgrpc.SimpleRequest]) (*connect.Response[testgrpc.SimpleResponse], error) {
			return connect.NewResponse(&testgrpc.SimpleResponse{Username: "you"}), nil
		},
		connect.WithInterceptors(connectadapter.Interceptor()),
	))
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctl, err := controller.New(lastcall.Budget{Total: 10 * time.Second, Reserve: 5 * time.Second}, // no settle
		controller.WithServer("connect", httpadapter.New(lis, &http.Server{Handler: mux})),
		controller.WithSignals(), // none: the example ends itself
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		<-ctl.Serving()
		client := connect.NewClient[testgrpc.SimpleRequest, testgrpc.SimpleResponse](http.DefaultClient, "http://"+lis.Addr().String()+unaryPath)
		if resp, err := client.CallUnary(context.Background(), connect.NewRequest(&testgrpc.SimpleRequest{})); err == nil {
			fmt.Println("hello,", resp.Msg.GetUsername())
		}
		http.DefaultClient.CloseIdleConnections()
		ctl.Shutdown(nil)
	}()
	fmt.Println(ctl.Run(context.Background()).ExitCode())
	// Output:
	// hello, you
	// 0
}
