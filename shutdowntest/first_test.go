package shutdowntest_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/lastcall-go/lastcall/shutdowntest"
)

func testBefore(t *testing.T) {
	shutdowntest.CheckServer(t, func(e *shutdowntest.Env) (stop func(context.Context)) {
		srv, lis := &http.Server{Handler: handler(events)}, e.Listen("http")
		go srv.Serve(lis)                                          //nolint:errcheck // it ends with the stop
		return func(ctx context.Context) { _ = srv.Shutdown(ctx) } // what main does at SIGTERM
	},
		shutdowntest.HTTP("http", get("/orders/1")),
		shutdowntest.HTTP("http", get("/events")),
	)
}

// get reads a page to its end, as a client does.
func get(path string) func(context.Context, *http.Client) error {
	return func(ctx context.Context, c *http.Client) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://service"+path, http.NoBody)
		if err != nil {
			return err
		}
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.ReadAll(res.Body)
		return err
	}
}
