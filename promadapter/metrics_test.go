package promadapter_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/internal/mempipe"
	"github.com/lastcall-go/lastcall/promadapter"
	"github.com/lastcall-go/lastcall/report"
)

var budget = lastcall.Budget{Total: 20 * time.Second, Settle: 2 * time.Second, Reserve: 6 * time.Second}

// server is one whose work the test makes up.
type server struct {
	lastcall.Unimplemented
	work    func() []lastcall.Work
	stopped chan struct{}
	hangs   bool // until Stop
}

func newServer(work func() []lastcall.Work) *server {
	return &server{work: work, stopped: make(chan struct{})}
}

func (s *server) Serve() error              { <-s.stopped; return nil }
func (s *server) InFlight() []lastcall.Work { return s.work() }
func (s *server) Stop()                     { close(s.stopped) }

func (s *server) GracefulStop() {
	if s.hangs {
		<-s.stopped
		return
	}
	close(s.stopped)
}

func (*server) Accepting() <-chan struct{} {
	accepts := make(chan struct{})
	close(accepts)
	return accepts
}

func begin(t *testing.T, m *promadapter.Metrics, opts ...controller.Option) (*controller.Controller, <-chan report.Report) {
	t.Helper()
	ctl, err := controller.New(budget, append(opts, m.Option(), controller.WithSignals())...)
	if err != nil {
		t.Fatal(err)
	}
	run := make(chan report.Report, 1)
	go func() { run <- ctl.Run(context.Background()) }()
	<-ctl.Serving()
	synctest.Wait()
	return ctl, run
}

func register(t *testing.T, m *promadapter.Metrics) *prometheus.Registry {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(m); err != nil {
		t.Fatal(err)
	}
	return reg
}

// What a shutdown looks like from outside, from before the controller is there.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := promadapter.New()
		reg := register(t, m)
		if all := gather(t, reg); len(all) != 0 {
			t.Errorf("without a controller: %v", all)
		}
		work := []lastcall.Work{
			{Name: "/a.B/C", Kind: lastcall.WorkUnary, Served: 7, Running: 2},
			{Name: "Accept", Kind: lastcall.WorkCall, Running: 1},
		}
		s := newServer(func() []lastcall.Work { return work })
		s.hangs = true
		ctl, run := begin(t, m, controller.WithServer("s", s), controller.WithCloser("c", func() error { return errors.New("no") }))
		gather(t, reg).want(t, series{
			"ready": 1, `state{state="SERVING"}`: 1, `state{state="TERMINATED"}`: 0, `phase{phase="serve"}`: 1, "forced_stops_total": 0,
			`work_begun_total{server="s"}`: 9, `work_in_flight{method="/a.B/C",server="s",type="unary"}`: 2,
			`work_ended_total{method="/a.B/C",outcome="completed",server="s",type="unary"}`: 7,
			`server_calls{call="Accept",server="s"}`:                                        1,
		})
		trigger := time.Now()
		ctl.Shutdown(errors.New("asked for"))
		time.Sleep(3 * time.Second)
		all := gather(t, reg)
		all.want(t, series{
			"ready": 0, `state{state="GRACEFUL_SHUTDOWN"}`: 1, `phase{phase="drain"}`: 1,
			"shutdown_start_timestamp_seconds": float64(trigger.Unix()), "shutdown_timer_timestamp_seconds": float64(trigger.Unix() + 14),
			"shutdown_remaining_seconds": 17, `phase_duration_seconds{phase="settle"}`: 2, `phase_duration_seconds{phase="drain"}`: 1,
			`phase_start_timestamp_seconds{phase="drain"}`: float64(trigger.Unix() + 2),
		})
		if code, there := all["shutdown_exit_code"]; there {
			t.Errorf("in the drain the exit code is %v", code)
		}
		r := <-run
		gather(t, reg).want(t, series{
			"forced_stops_total": 1, "shutdown_exit_code": float64(r.ExitCode()), `shutdown_outcome{outcome="abandoned"}`: 0, `shutdown_outcome{outcome="expired: idle peers"}`: 0, `shutdown_outcome{outcome="stopped"}`: 1,
			`calls_total{op="closer",result="failed"}`: 1, `state{state="TERMINATED"}`: 1,
			`work_ended_total{method="/a.B/C",outcome="abandoned",server="s",type="unary"}`: 2, `work_in_flight{method="/a.B/C",server="s",type="unary"}`: 0,
		})
	})
}

// A server that hangs, or tells nonsense, does not fail a scrape.
func TestHostileServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := promadapter.New()
		reg := register(t, m)
		over := make(chan struct{})
		hangs := false
		answers := func() []lastcall.Work { return []lastcall.Work{{Name: "n", Kind: "k", Served: 3}} }
		ctl, run := begin(t, m,
			controller.WithServer("nonsense", newServer(func() []lastcall.Work {
				twice := lastcall.Work{Name: "a\xff\n\"", Kind: "\xfe", Served: 1, Running: 1, Completed: -5}
				return []lastcall.Work{twice, twice, {Name: "a?\n\"", Kind: "?", Running: -1}}
			})),
			controller.WithServer("panics", newServer(func() []lastcall.Work { panic("boom") })),
			controller.WithServer("hangs", newServer(func() []lastcall.Work {
				if hangs {
					<-over
				}
				return answers()
			})))
		gather(t, reg).want(t, series{`work_begun_total{server="nonsense"}`: 4, `work_begun_total{server="hangs"}`: 3})
		hangs = true
		for range 3 {
			start := time.Now()
			all := gather(t, reg)
			all.want(t, series{`work_begun_total{server="nonsense"}`: 4, `work_begun_total{server="hangs"}`: 3})
			all.addsUp(t)
			if took := time.Since(start); took != 10*time.Millisecond {
				t.Errorf("a scrape took %v", took)
			}
		}
		close(over)
		ctl.Shutdown(nil)
		<-run
	})
}

// The last scrape is waited for, until it is over and not longer than said.
func TestLastScrape(t *testing.T) {
	const fast = 3 * time.Second
	for name, tt := range map[string]struct {
		wait, scrape time.Duration // scrape counts from the trigger; 0: none comes
		timeout      time.Duration
		took         time.Duration
		most         time.Duration // took is the least; 0: exactly that
	}{
		"it comes":         {wait: 10 * time.Second, scrape: fast, took: fast + time.Second}, // no server of the controller's answers it
		"it was before":    {wait: 5 * time.Second, scrape: time.Second, took: 2*time.Second + 5*time.Second},
		"none":             {wait: time.Second, took: 2*time.Second + time.Second},
		"none is asked":    {wait: 0, took: 2 * time.Second},
		"below zero":       {wait: -1, took: 2 * time.Second},
		"its time is less": {wait: time.Hour, timeout: time.Second, took: 2*time.Second + 900*time.Millisecond},
		"the deadline":     {wait: time.Hour, took: 17 * time.Second, most: 19 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := promadapter.New()
				reg := register(t, m)
				var opts []controller.StepOption
				if tt.timeout > 0 {
					opts = append(opts, controller.Timeout(tt.timeout))
				}
				ctl, run := begin(t, m, controller.WithServer("s", newServer(func() []lastcall.Work { return nil })),
					controller.WithFlusher("last scrape", m.LastScrape(tt.wait), opts...))
				gather(t, reg)
				ctl.Shutdown(nil)
				if tt.scrape > 0 {
					time.Sleep(tt.scrape)
					gather(t, reg)
				}
				if r := <-run; r.Took() < tt.took || r.Took() > max(tt.took, tt.most) || r.ExitCode() != report.ExitOK {
					t.Errorf("took %v, want %v\n%v", r.Took(), tt.took, r)
				}
			})
		})
	}
}

// A shutdown before the start waits for no scrape: nothing has served, so nothing can be told.
func TestLastScrapeOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := promadapter.New()
		ctl, err := controller.New(lastcall.DefaultBudget(), controller.WithSignals(), controller.WithoutStderr(), m.Option(),
			controller.WithServer("s", newServer(func() []lastcall.Work { return nil })), controller.WithFlusher("last scrape", m.LastScrape(time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		ctl.Shutdown(nil)
		if r := ctl.Run(context.Background()); r.Took() != 0 || r.ExitCode() != report.ExitOK {
			t.Errorf("took %v\n%v", r.Took(), r)
		}
	})
}

// slow is a collector of the user's that takes its time.
type slow struct{ prometheus.Collector }

func (s slow) Collect(to chan<- prometheus.Metric) {
	time.Sleep(500 * time.Millisecond)
	s.Collector.Collect(to)
}

// The last scrape is answered although other collectors take longer.
func TestLastScrapeIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, lis := promadapter.New(), mempipe.Listen(1<<20)
		reg := register(t, m)
		reg.MustRegister(slow{prometheus.NewGauge(prometheus.GaugeOpts{Name: "slow"})})
		ctl, run := begin(t, m, controller.WithServer("admin", admin.New(lis, admin.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{})))),
			controller.WithFlusher("last scrape", m.LastScrape(10*time.Second)))
		ctl.Shutdown(nil)
		time.Sleep(3 * time.Second)
		client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.DialContext(ctx) }}}
		defer client.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://admin/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if page, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(page), "lastcall_shutdown_exit_code 0") {
			t.Errorf("%v, %s", err, page)
		}
		if r := <-run; r.Took() < 3500*time.Millisecond || r.Took() > 3600*time.Millisecond || r.ExitCode() != report.ExitOK {
			t.Errorf("%v", r)
		}
	})
}

// What cannot work is an error of controller.New.
func TestBadInput(t *testing.T) {
	m := promadapter.New()
	if _, err := controller.New(budget, m.Option()); err != nil {
		t.Fatal(err)
	}
	unitless := promadapter.New()
	unitless.LastScrape(15)
	var missing *promadapter.Metrics
	for want, opt := range map[string]controller.Option{
		"belong to another controller": m.Option(),
		"LastScrape is 15ns: a number": unitless.Option(),
		"New did not make":             new(promadapter.Metrics).Option(),
		`monitor "prometheus" is nil`:  missing.Option(),
	} {
		if _, err := controller.New(budget, opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// Names and help follow Prometheus' conventions, and docs/metrics.md lists them all.
func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := promadapter.New()
		reg := register(t, m)
		s := newServer(func() []lastcall.Work {
			return []lastcall.Work{{Name: "n", Kind: lastcall.WorkTask, Running: 1}, {Name: "Accept", Kind: lastcall.WorkCall, Running: 1}}
		})
		ctl, run := begin(t, m, controller.WithServer("s", s))
		ctl.Shutdown(nil)
		<-run
		problems, err := testutil.GatherAndLint(reg)
		if err != nil || len(problems) > 0 {
			t.Errorf("%v, %v", problems, err)
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		page, err := os.ReadFile("../docs/metrics.md")
		if err != nil {
			t.Fatal(err)
		}
		documented := map[string]string{}
		for _, row := range regexp.MustCompile("(?m)^\\| `(lastcall_\\w+)` \\| (\\w+) \\| ([^|]*) \\|").FindAllStringSubmatch(string(page), -1) {
			labels := strings.Fields(strings.NewReplacer("`", "", ",", "").Replace(row[3]))
			slices.Sort(labels)
			documented[row[1]] = row[2] + " " + strings.Join(labels, ",")
		}
		for _, f := range families {
			var labels []string
			for _, l := range f.Metric[0].Label {
				labels = append(labels, l.GetName())
			}
			if got, want := documented[f.GetName()], strings.ToLower(f.GetType().String())+" "+strings.Join(labels, ","); got != want {
				t.Errorf("docs/metrics.md has %s as %q, and it is %q", f.GetName(), got, want)
			}
			delete(documented, f.GetName())
		}
		if len(documented) > 0 {
			t.Errorf("docs/metrics.md lists what does not exist: %v", documented)
		}
	})
}
