package systemd_test

import (
	"context"
	"fmt"
	"net"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/systemd"
)

// A service that tells systemd when it is ready and when it stops. Here nobody has
// set NOTIFY_SOCKET, so nothing is sent.
func ExampleNotify() {
	ctl, err := controller.New(lastcall.DefaultBudget(),
		systemd.Notify(),
		controller.WithCloser("postgres", func() { fmt.Println("postgres closed") }),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctl.Shutdown(nil) // systemd would send SIGTERM
	got := ctl.Run(context.Background())
	fmt.Println("exit code", got.ExitCode())
	// Output:
	// postgres closed
	// exit code 0
}

// The socket unit has FileDescriptorName=grpc. No socket was passed here.
func ExampleListeners() {
	passed, err := systemd.Listeners()
	if err != nil {
		fmt.Println(err)
		return
	}
	var lis net.Listener
	if grpc := passed["grpc"]; len(grpc) > 0 {
		lis = grpc[0]
	} else if lis, err = net.Listen("tcp", "127.0.0.1:0"); err != nil { // not started by systemd
		fmt.Println(err)
		return
	}
	fmt.Println(lis.Addr().Network(), len(passed))
	_ = lis.Close() // or grpcadapter.New(lis)
	// Output: tcp 0
}
