package systemd_test

import (
	"context"
	"fmt"

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
