//go:build unix

package examples_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// TestMinimal calls without a pause while SIGTERM arrives. All calls succeed for
// as long as the server settles, and the process exits with 0.
func TestMinimal(t *testing.T) {
	t.Parallel()
	c, addr := start(t, "minimal")
	greeter := hellopb.NewGreeterClient(dial(t, addr))
	say := func() error {
		reply, err := greeter.SayHello(t.Context(), &hellopb.HelloRequest{Name: "gopher"})
		if err == nil && reply.GetMessage() != "Hello gopher" {
			t.Errorf("answer %q", reply.GetMessage())
		}
		return err
	}
	if err := say(); err != nil {
		t.Fatal(err)
	}
	signalled := time.Now()
	c.terminate(t)
	var err error
	for err == nil {
		err = say()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a call failed with %v, want Unavailable", err)
	}
	if served, want := time.Since(signalled), lastcall.DefaultBudget().Settle; served < want {
		t.Errorf("a call failed %v after SIGTERM, during the settle phase of %v: %v", served, want, err)
	}
	code, messages := c.exit(t)
	if code != report.ExitOK {
		t.Errorf("exit code %d, want %d", code, report.ExitOK)
	}
	if want := append([]string{"listening", "phase start", "phase serve"}, shutdown...); !slices.Equal(messages, want) {
		t.Errorf("log %q, want %q", messages, want)
	}
}
