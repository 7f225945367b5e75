package main

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	echopb "google.golang.org/grpc/examples/features/proto/echo"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/shutdowntest"
)

// TestShutdown shuts the service down in random ways.
func TestShutdown(t *testing.T) {
	shutdowntest.Check(t, func(e *shutdowntest.Env) *controller.Controller {
		ctl, err := controller.New(e.Budget())
		if err == nil {
			err = configOf(e).open(context.Background(), ctl, zerolog.Nop())
		}
		return e.Must(ctl, err)
	}, shutdowntest.HTTP("rest", sign), shutdowntest.GRPC("grpc", listen), shutdowntest.Probe("admin", "/readyz"))
}

// configOf returns what main has from flags.
func configOf(e *shutdowntest.Env) config {
	dir := e.TempDir()
	return config{
		grpcAddr: "grpc", restAddr: "rest", adminAddr: "admin", work: 50 * time.Millisecond, census: time.Second,
		guestBook: filepath.Join(dir, "guests"), events: filepath.Join(dir, "events"), traces: filepath.Join(dir, "traces"),
		listen: func(name string) (net.Listener, error) { return e.Listen(name), nil }, dial: e.Dialer("grpc"),
	}
}

// sign signs the guest book.
func sign(ctx context.Context, c *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://rest/guests", strings.NewReader(`{"name": "gopher"}`))
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// listen listens to the echo until the server ends it.
func listen(ctx context.Context, cc *grpc.ClientConn) error {
	stream, err := echopb.NewEchoClient(cc).ServerStreamingEcho(ctx, &echopb.EchoRequest{Message: "hello"})
	for err == nil {
		_, err = stream.Recv()
	}
	return shutdowntest.Ended(err)
}
