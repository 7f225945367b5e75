package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// got is the answer to a probe.
type got struct {
	code      int
	Ready     *bool
	State     string
	Phase     string
	Deadline  time.Time
	Remaining float64 `json:"remaining_seconds"`
}

// process is a process with an admin server, in virtual time.
type process struct {
	lis    *bufconn.Listener
	client *http.Client
	ctl    *controller.Controller
	report chan report.Report
}

func newProcess(t *testing.T, opts []admin.Option, more ...controller.Option) *process {
	t.Helper()
	p := &process{lis: bufconn.Listen(1 << 16), report: make(chan report.Report, 1)}
	var err error
	p.ctl, err = controller.New(lastcall.Budget{Total: 20 * time.Second, Settle: 4 * time.Second, Reserve: 5 * time.Second},
		append(more, controller.WithSignals(), controller.WithServer("admin", admin.New(p.lis, opts...)))...)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.lis.DialContext(ctx) }}
	p.client = &http.Client{Transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	return p
}

func (p *process) run() { go func() { p.report <- p.ctl.Run(context.Background()) }() }

// ask sends a request.
func (p *process) ask(t *testing.T, method, path string) got {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://admin"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := p.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, answer.StatusCode, body)
}

func parse(t *testing.T, code int, body []byte) got {
	t.Helper()
	g := got{code: code}
	if len(body) > 0 && body[0] == '{' {
		if err := json.Unmarshal(body, &g); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
	}
	return g
}

// direct asks a handler without a server.
func direct(t *testing.T, h http.Handler, method string) got {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/", nil))
	return parse(t, w.Code, w.Body.Bytes())
}

// slow is a server that drains for a time.
type slow struct{ time.Duration }

func (s slow) GracefulStop() { time.Sleep(s.Duration) }
func (s slow) Stop()         {}

// ready returns a channel that is closed.
func ready() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// TestProbes: what the probes say from before Run to after it, and that they are
// answered until the flushers have run.
func TestProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProcess(t, nil,
			controller.WithServer("slow", slow{3 * time.Second}, controller.ServedElsewhere(ready())),
			controller.WithCloser("db", func() { time.Sleep(time.Second) }),
			controller.WithFlusher("traces", func() { time.Sleep(time.Second) }))
		ready, live := admin.Readiness(p.ctl), admin.Liveness(p.ctl)
		want := func(g got, code int, isReady bool, state, phase string, remaining float64) {
			t.Helper()
			if g.code != code || g.Ready == nil || *g.Ready != isReady || g.State != state || g.Phase != phase || g.Remaining != remaining {
				t.Errorf("got %+v, want %d, ready %v, %s, %s, %v s", g, code, isReady, state, phase, remaining)
			}
			if g.Deadline.IsZero() != (remaining == 0) {
				t.Errorf("deadline %v", g.Deadline)
			}
		}
		alive := func(g got) {
			t.Helper()
			if g.code != http.StatusOK || g.Ready != nil || g.Phase == "" || g.State == "" {
				t.Errorf("liveness: %+v", g)
			}
		}
		want(direct(t, ready, "GET"), 503, false, "SERVING", "start", 0)
		alive(direct(t, live, "GET"))
		p.run()
		synctest.Wait()
		want(p.ask(t, "GET", "/readyz"), 200, true, "SERVING", "serve", 0)
		if g := p.ask(t, "HEAD", "/readyz"); g.code != 200 {
			t.Errorf("HEAD: %+v", g)
		}
		alive(p.ask(t, "GET", "/livez"))
		p.ctl.Shutdown(errors.New("asked for"))
		for _, at := range []struct {
			wait         time.Duration
			state, phase string
			remaining    float64
		}{
			{time.Second, "SERVING", "settle", 19},
			{4 * time.Second, "GRACEFUL_SHUTDOWN", "drain", 15},
			{2500 * time.Millisecond, "TERMINATED", "close", 12.5},
			{time.Second, "TERMINATED", "flush", 11.5},
		} {
			time.Sleep(at.wait)
			want(p.ask(t, "GET", "/readyz"), 503, false, at.state, at.phase, at.remaining)
			alive(p.ask(t, "GET", "/livez"))
		}
		r := <-p.report
		if r.ExitCode() != 0 || r.Took() != 9*time.Second {
			t.Errorf("%v", r)
		}
		want(direct(t, ready, "GET"), 503, false, "TERMINATED", "flush", 11)
		if _, err := p.lis.Dial(); err == nil {
			t.Error("the listener is open")
		}
		if g := direct(t, ready, "POST"); g.code != http.StatusMethodNotAllowed {
			t.Errorf("POST: %+v", g)
		}
	})
}

// TestLongRequest: a request to the admin server that does not end holds the exit up
// for a tenth of a second, and no longer.
func TestLongRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan struct{})
		profile := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(in)
			<-r.Context().Done()
		})
		p := newProcess(t, []admin.Option{admin.Handle("GET /debug/pprof/profile", profile)})
		p.run()
		synctest.Wait()
		go func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://admin/debug/pprof/profile", nil)
			if err != nil {
				t.Error(err)
				return
			}
			if answer, err := p.client.Do(r); err == nil {
				_ = answer.Body.Close()
			}
		}()
		<-in
		p.ctl.Shutdown(errors.New("asked for"))
		r := <-p.report
		if r.ExitCode() != 0 || r.Took() != 100*time.Millisecond {
			t.Errorf("took %v\n%v", r.Took(), r)
		}
	})
}

// TestTriggerThenSignal: kubelet's preStop hook and the SIGTERM that follows are one
// request to shut down, and the one after it forces.
func TestTriggerThenSignal(t *testing.T) {
	for signals, forced := range map[int]bool{1: false, 2: true} {
		synctest.Test(t, func(t *testing.T) {
			from := make(chan os.Signal, 2)
			ctl, err := controller.New(lastcall.Budget{Total: 20 * time.Second, Settle: 4 * time.Second, Reserve: 5 * time.Second},
				controller.WithServer("slow", slow{time.Second}, controller.ServedElsewhere(ready())), controller.WithSignalChannel(from))
			if err != nil {
				t.Fatal(err)
			}
			h, err := admin.Trigger(ctl, admin.Methods("GET"), admin.Loopback())
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				time.AfterFunc(time.Second, func() {
					w := httptest.NewRecorder()
					r := httptest.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:9090/shutdown", nil)
					r.RemoteAddr = "127.0.0.1:4711"
					h.ServeHTTP(w, r)
					if g := parse(t, w.Code, w.Body.Bytes()); g.code != http.StatusAccepted || g.Ready == nil || *g.Ready {
						t.Errorf("answer %+v", g)
					}
				})
			}
			for i := range signals {
				time.AfterFunc(1100*time.Millisecond+time.Duration(i)*time.Second, func() { from <- []os.Signal{syscall.SIGTERM, os.Interrupt}[i] })
			}
			r := ctl.Run(context.Background())
			var asked *admin.RequestError
			if !errors.As(r.Cause, &asked) || asked.Peer != "127.0.0.1:4711" || r.CauseText != asked.Error() {
				t.Errorf("cause %v", r.Cause)
			}
			if r.Forced != forced || !forced && r.Took() != 5*time.Second {
				t.Errorf("%d signals: %v", signals, r)
			}
		})
	}
}
