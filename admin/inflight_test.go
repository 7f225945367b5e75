package admin_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/report"
)

// An operator sees who is in the way, in service and in the drain, and has the log say where
// that stands.
func TestInFlight(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log locked
	never, in, tasks := make(chan struct{}), make(chan struct{}), drain.New()
	ctl, err := controller.New(lastcall.Budget{Total: 5 * time.Minute, Reserve: 10 * time.Second}, controller.WithSignals(), controller.WithProgress(0),
		controller.WithLogger(zerolog.New(&log)),
		controller.WithServer("tasks", tasks),
		controller.WithServer("admin", admin.New(lis, admin.WithInFlight("/inflight"))))
	if err != nil {
		t.Fatal(err)
	}
	if err := tasks.Watcher().Go(t.Context(), "mail", func(context.Context) { close(in); <-never }); err != nil {
		t.Fatal(err)
	}
	done := make(chan report.Report, 1)
	go func() { done <- ctl.Run(context.Background()) }()
	<-ctl.Serving()
	<-in
	ask := func(method, want string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+lis.Addr().String()+"/inflight", nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		if body, err := io.ReadAll(a.Body); err != nil || !strings.Contains(a.Status+string(body), want) {
			t.Errorf("%s: %s, %s, %v; want %s", method, a.Status, body, err, want)
		}
	}
	const mail = `{"server":"tasks","name":"mail","kind":"task","running":1,"oldest":"`
	ask(http.MethodGet, mail)
	ask(http.MethodGet, `{"state":"SERVING","phase":"serve","in_flight":1,"streams":0,"infrastructure":1,"running":[`)
	ask(http.MethodDelete, "405 ")
	if strings.Contains(log.String(), "progress") {
		t.Errorf("GET has had progress logged:\n%s", log.String())
	}
	ctl.Shutdown(nil)
	for ctl.Phase() != lastcall.PhaseDrain {
		time.Sleep(time.Millisecond)
	}
	for !strings.Contains(log.String(), "inflight_test.go:") { // a line does not wait long for the look; the test's own time limit bounds it
		ask(http.MethodPost, mail)
		time.Sleep(10 * time.Millisecond)
	}
	close(never)
	if r := <-done; r.ExitCode() != report.ExitOK {
		t.Errorf("%v", r)
	}
}

type locked struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}
