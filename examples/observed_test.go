//go:build unix

package examples_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	echopb "google.golang.org/grpc/examples/features/proto/echo"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// told is what one reader tells of the work of a kind.
type told struct{ Completed, Cancelled, Cut, Abandoned int }

// TestObserved puts a server under load, sends it SIGTERM, and compares what its clients
// have seen with Prometheus, OpenTelemetry, the log and the report: to the one.
func TestObserved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	c := run(t, exec.CommandContext(t.Context(), filepath.Join(binaries, "observed"), "-addr=127.0.0.1:0", "-admin=127.0.0.1:0",
		"-traces="+path("traces"), "-metrics="+path("metrics"), "-report="+path("report"), "-settle=300ms", "-total=30s", "-reserve=25s")) // the last scrape has time on any machine
	at := c.await(t, "listening")
	c.await(t, "phase serve")

	const streams, stuck, clients = 7, 3, 6
	var answered, refused, ended, cancelled atomic.Int64
	var all sync.WaitGroup
	echo := echopb.NewEchoClient(dial(t, at.Addr))
	for range streams {
		s, err := echo.ServerStreamingEcho(t.Context(), &echopb.EchoRequest{})
		if err == nil {
			_, err = s.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			if _, err := s.Recv(); errors.Is(err, io.EOF) {
				ended.Add(1)
			}
		})
	}
	for range stuck {
		s, err := echo.BidirectionalStreamingEcho(t.Context())
		if err == nil {
			_, err = s.Header()
		}
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			if _, err := s.Recv(); status.Code(err) == codes.Unavailable {
				cancelled.Add(1)
			}
		})
	}
	for range clients {
		greeter := hellopb.NewGreeterClient(dial(t, at.Addr))
		all.Go(func() {
			for {
				if _, err := greeter.SayHello(context.Background(), &hellopb.HelloRequest{}); err != nil {
					refused.Add(1)
					return
				}
				answered.Add(1)
			}
		})
	}
	scrapes := make(chan string, 1)
	go func() { scrapes <- lastScrape(t.Context(), "http://"+at.Admin+"/metrics") }()
	time.Sleep(200 * time.Millisecond) // load, before the signal and after it
	c.terminate(t)
	all.Wait()
	last := <-scrapes
	summary := c.await(t, "shutdown complete, flushing")
	if code, _ := c.exit(t); code != report.ExitInterrupted || summary.Code != code {
		t.Errorf("exit code %d, and the log says %d", code, summary.Code)
	}
	if ended.Load() != streams || cancelled.Load() != stuck || answered.Load() == 0 || refused.Load() != clients {
		t.Fatalf("clients: %d answers, %d refusals, %d streams ended, %d cancelled", answered.Load(), refused.Load(), ended.Load(), cancelled.Load())
	}

	want := map[string]told{
		"unary":         {Completed: int(answered.Load())},
		"server_stream": {Completed: streams},
		"bidi_stream":   {Cancelled: stuck},
	}
	text, err := os.ReadFile(path("report"))
	if err != nil {
		t.Fatal(err)
	}
	var got report.Report
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	inReport := map[string]told{}
	var sum told // since the shutdown began, as log and trace have it
	for _, w := range got.Work {
		if w.Server == "grpc" && w.Kind != lastcall.WorkCall && w.Kind != lastcall.WorkInfra {
			inReport[string(w.Kind)] = told{w.Served + w.Completed, w.Cancelled, w.Cut, w.Running}
			sum = told{sum.Completed + w.Completed, sum.Cancelled + w.Cancelled, sum.Cut + w.Cut, sum.Abandoned + w.Running}
		}
	}
	same(t, "the report", inReport, want)
	same(t, "Prometheus", scraped(last), want)
	same(t, "OpenTelemetry", exportedNumbers(t, path("metrics")), want)
	same(t, "the log", summary.told, sumWithAdmin(got))
	same(t, "the trace", exportedTrace(t, path("traces"), got), sumWithAdmin(got))
}

func same[T any](t *testing.T, who string, got, want T) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %+v, want %+v", who, got, want)
	}
}

// sumWithAdmin is what the report has of all servers that have ended before the flush.
func sumWithAdmin(r report.Report) told {
	var grpc []lastcall.Work
	for _, w := range r.Work {
		if w.Server != "admin" {
			grpc = append(grpc, w)
		}
	}
	s := report.Sum(grpc)
	return told{s.Completed, s.Cancelled, s.Cut, s.Running}
}

// lastScrape scrapes until no one answers, and returns the last page.
func lastScrape(ctx context.Context, url string) string {
	last := ""
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return last
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return last
		}
		page, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			return last
		}
		last = string(page)
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *told) add(outcome string, n int) {
	*map[string]*int{"completed": &w.Completed, "cancelled": &w.Cancelled, "cut": &w.Cut, "abandoned": &w.Abandoned}[outcome] += n
}

// scraped returns what a page for Prometheus has of the RPCs.
func scraped(page string) map[string]told {
	all := map[string]told{}
	row := regexp.MustCompile(`(?m)^lastcall_work_ended_total\{method="[^"]*",outcome="(\w+)",server="grpc",type="(unary|\w+_stream)"\} (\d+)$`)
	for _, m := range row.FindAllStringSubmatch(page, -1) {
		n, _ := strconv.Atoi(m[3]) // digits
		w := all[m[2]]
		w.add(m[1], n)
		all[m[2]] = w
	}
	return all
}

// exportedNumbers returns the same of the last export of OpenTelemetry's metrics.
func exportedNumbers(t *testing.T, file string) map[string]told {
	t.Helper()
	var last map[string]told
	decode(t, file, func(d *json.Decoder) error {
		var export struct {
			ScopeMetrics []struct {
				Metrics []struct {
					Name string
					Data struct {
						DataPoints []struct {
							Attributes []attr
							Value      float64
						}
					}
				}
			}
		}
		if err := d.Decode(&export); err != nil {
			return err
		}
		last = map[string]told{}
		for _, s := range export.ScopeMetrics {
			for _, m := range s.Metrics {
				for _, p := range m.Data.DataPoints {
					a := attrs(p.Attributes)
					if m.Name == "lastcall.work.ended" && a["lastcall.server"] == "grpc" && a["rpc.method"] != nil && a["lastcall.work.type"] != "infrastructure" {
						kind := fmt.Sprint(a["lastcall.work.type"])
						w := last[kind]
						w.add(fmt.Sprint(a["lastcall.work.outcome"]), int(p.Value))
						last[kind] = w
					}
				}
			}
		}
		return nil
	})
	return last
}

type attr struct {
	Key   string
	Value struct{ Value any }
}

func attrs(all []attr) map[string]any {
	m := map[string]any{}
	for _, a := range all {
		m[a.Key] = a.Value.Value
	}
	return m
}

// exportedTrace returns what the span of the shutdown has, and checks that there is a span
// for each phase.
func exportedTrace(t *testing.T, file string, r report.Report) (root told) {
	t.Helper()
	phases := map[string]int{}
	for _, s := range r.Steps {
		if s.Kind == report.KindPhase && s.Phase >= lastcall.PhaseAnnounce {
			phases["phase "+s.Phase.String()]++
		}
	}
	shutdowns := 0
	decode(t, file, func(d *json.Decoder) error {
		var span struct {
			Name       string
			Attributes []attr
		}
		if err := d.Decode(&span); err != nil {
			return err
		}
		if _, is := phases[span.Name]; is {
			phases[span.Name]--
		}
		if span.Name == "shutdown" {
			shutdowns++
			for _, outcome := range []string{"completed", "cancelled", "cut", "abandoned"} {
				n, ok := attrs(span.Attributes)["lastcall.work."+outcome].(float64)
				if !ok {
					t.Errorf("the span has no number %s", outcome)
				}
				root.add(outcome, int(n))
			}
		}
		return nil
	})
	for name, n := range phases {
		if n != 0 {
			t.Errorf("%d spans %q are missing", n, name)
		}
	}
	if shutdowns != 1 {
		t.Errorf("%d spans of the shutdown", shutdowns)
	}
	return root
}

// decode calls one until the end of the file.
func decode(t *testing.T, file string, one func(*json.Decoder) error) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		if err := one(d); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
