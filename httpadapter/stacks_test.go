package httpadapter_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// G15: a handler that hangs, and a task that it has left behind, are named with the line of
// code where they stand.
func TestG15_DeafHandler(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	never, in, background := make(chan struct{}), make(chan [2]int, 1), drain.New()
	defer close(never)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /deaf/{id}", func(_ http.ResponseWriter, req *http.Request) {
		lines := make(chan int, 1)
		_ = background.Watcher().Go(req.Context(), "mail", func(context.Context) {
			_, _, line, _ := runtime.Caller(0)
			lines <- line + 2
			<-never
		})
		task := <-lines
		_, _, line, _ := runtime.Caller(0)
		in <- [2]int{line + 2, task}
		<-never
	})
	c, err := controller.New(lastcall.Budget{Total: 4 * time.Second, Reserve: 2 * time.Second}, controller.WithSignals(), controller.WithoutStderr(),
		controller.WithServer("http", httpadapter.New(lis, &http.Server{Handler: mux, ReadHeaderTimeout: time.Second})),
		controller.WithServer("background", background, controller.After("http")))
	if err != nil {
		t.Fatal(err)
	}
	var lines [2]int
	go func() {
		go func() {
			resp, err := http.Get("http://" + lis.Addr().String() + "/deaf/7") //nolint:noctx // the server ends it
			if err == nil {
				resp.Body.Close()
			}
		}()
		lines = <-in
		c.Shutdown(nil)
	}()
	r := c.Run(context.Background())
	for name, line := range map[string]int{"GET /deaf/{id} x1": lines[0], "mail x1": lines[1]} {
		found := false
		for text := range strings.Lines(r.String()) {
			found = found || strings.Contains(text, name) && strings.Contains(text, fmt.Sprintf("stacks_test.go:%d (", line)) && strings.Contains(text, "in channel receive")
		}
		if !found {
			t.Errorf("the summary does not have %s at line %d:\n%v", name, line, r)
		}
	}
}
