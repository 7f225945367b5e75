package controller_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts in testdata")

// TestTranscripts compares what an operator sees of four shutdowns, in virtual
// time: the log, the summary and the JSON report, to the letter.
func TestTranscripts(t *testing.T) {
	for name, run := range map[string]func(d *diary, hang func(), log zerolog.Logger) (*controller.Controller, error){
		// Everything ends in time; the worker is the last.
		"drained": func(d *diary, _ func(), log zerolog.Logger) (*controller.Controller, error) {
			return controller.New(budget, noSignals, controller.WithLogger(log),
				withServer("grpc", newServer(d, "grpc", time.Second)),
				controller.WithWorker("consumer", func(claim, _ context.Context) error {
					<-claim.Done()
					time.Sleep(3500 * time.Millisecond)
					return fmt.Errorf("batch 7: %w", claim.Err())
				}),
				controller.WithCloser("postgres", func() { time.Sleep(20 * time.Millisecond) }),
				controller.WithFlusher("traces", func() { time.Sleep(30 * time.Millisecond) }),
				controller.WithObserver("metrics", func(report.Step) {}))
		},
		// The timer fires: a server hangs, a worker is cancelled, closers fail in all ways.
		"abandoned": func(d *diary, hang func(), log zerolog.Logger) (*controller.Controller, error) {
			s := newServer(d, "grpc", 0)
			s.graceful = hang
			s.serve = func() error { hang(); return nil }
			return controller.New(budget, noSignals, controller.WithLogger(log),
				withServer("grpc", s),
				controller.WithWorker("consumer", func(_, work context.Context) error {
					<-work.Done()
					time.Sleep(100 * time.Millisecond)
					return errors.New("half a batch lost")
				}),
				controller.WithAnnouncer("registry", func() error {
					time.Sleep(10 * time.Millisecond)
					return errors.New("first line\nsecond line")
				}),
				controller.WithCloser("redis", func() { panic("closed twice") }),
				controller.WithCloser("postgres", hang),
				controller.WithFlusher("traces", hang),
				controller.WithObserver("metrics", func(report.Step) { hang() }))
		},
		// A server fails by itself, and an operator loses patience.
		"failed": func(d *diary, _ func(), log zerolog.Logger) (*controller.Controller, error) {
			s := newServer(d, "grpc", time.Hour)
			s.serve = func() error { time.Sleep(time.Minute); return errors.New("accept: too many open files") }
			s.stop = func() { s.halt(); time.Sleep(10 * time.Millisecond) } // so that not all of it comes back in one instant
			c, err := controller.New(budget, noSignals, controller.WithLogger(log), withServer("grpc", s),
				withServer("admin", newServer(d, "admin", 500*time.Millisecond)))
			if err == nil {
				time.AfterFunc(time.Minute+3*time.Second, c.Force)
			}
			return c, err
		},
		// Two servers tell of their work; one does not come to an end.
		"inflight": func(d *diary, hang func(), log zerolog.Logger) (*controller.Controller, error) {
			start := time.Now()
			grpc := &telling{server: newServer(d, "grpc", 0), notes: func() []string { return []string{"the listener was closed by somebody else"} }}
			grpc.graceful = hang
			grpc.stop = func() { time.Sleep(10 * time.Millisecond) } // so that not all of it comes back in one instant
			grpc.inFlight = func(n int) []lastcall.Work {
				unary := lastcall.Work{Name: "/orders.Orders/Get", Kind: lastcall.WorkUnary, Before: 12, Arrived: 30, Late: 2}
				stream := lastcall.Work{Name: "/orders.Orders/Watch", Kind: lastcall.WorkBidiStream, Before: 4}
				infra := lastcall.Work{Name: "/grpc.health.v1.Health/Watch", Kind: lastcall.WorkInfra, Before: 1, Running: 1, Oldest: start, Peer: "10.0.0.9:4321"}
				call := lastcall.Work{Name: "net.Listener.Close", Kind: lastcall.WorkCall, Arrived: 1, Running: 1, Oldest: start.Add(62 * time.Second)}
				switch n {
				case 1:
					unary.Running, unary.Completed, unary.Oldest, unary.Peer = 5, 37, start.Add(time.Minute), "10.0.0.1:1234"
					stream.Running, stream.Oldest = 4, start.Add(time.Second)
					return []lastcall.Work{unary, stream, infra}
				case 2: // for progress, right before the timer
					unary.Running, unary.Completed, unary.Oldest, unary.Peer = 3, 39, start.Add(time.Minute), "10.0.0.1:1234"
					stream.Running, stream.Oldest, stream.Peer = 4, start.Add(time.Second), "10.0.0.2:1234"
				case 3:
					time.Sleep(time.Millisecond)
					unary.Running, unary.Completed, unary.Oldest, unary.Peer = 2, 40, start.Add(61*time.Second), "10.0.0.1:1234"
					stream.Running, stream.Oldest, stream.Peer = 4, start.Add(time.Second), "10.0.0.2:1234"
				default:
					unary.Cancelled, unary.Completed = 2, 40
					stream.Running, stream.Oldest, stream.Peer, stream.Cancelled, stream.Cut = 1, start.Add(time.Second), "10.0.0.2:1234", 2, 1
				}
				return []lastcall.Work{unary, stream, infra, call}
			}
			web := &telling{server: newServer(d, "web", 200*time.Millisecond), inFlight: func(n int) []lastcall.Work {
				time.Sleep(2 * time.Millisecond)
				return []lastcall.Work{{Name: "GET /", Kind: lastcall.WorkUnary, Before: 1, Running: max(0, 2-n), Completed: min(1, n-1)}}
			}}
			b := quietBudget
			return controller.New(b, noSignals, controller.WithLogger(log),
				withServer("grpc", &tellingArrival{telling: grpc, at: start}), withServer("web", &tellingArrival{telling: web, at: start, attach: time.Millisecond}),
				controller.WithFlusher("traces", func() { time.Sleep(30 * time.Millisecond) }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				var out bytes.Buffer
				var log bytes.Buffer
				c, err := run(d, hang, zerolog.New(&log))
				if err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Minute+time.Millisecond, func() { c.Shutdown(nil) })
				r := c.Run(context.Background())
				synctest.Wait()
				text, err := r.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&out, "LOG\n%s\nSUMMARY\n%s\nERROR\n%v\n\nJSON\n%s\n", &log, r, r.Err(), bytes.ReplaceAll(text, []byte(`{"kind"`), []byte("\n"+`{"kind"`)))
				compare(t, filepath.Join("testdata", name+".txt"), unlocated(stacks.ReplaceAll(out.Bytes(), []byte(`"stack":"(left out)"`))))
			})
		})
	}
}

// tellingArrival is one that had no work since then. Its Attach takes a while, so that
// not everything starts in one instant.
type tellingArrival struct {
	*telling
	at     time.Time
	attach time.Duration
}

func (s *tellingArrival) Attach(lastcall.Host) { time.Sleep(s.attach) }

func (s *tellingArrival) LastArrival() time.Time { return s.at }

// stacks are stack traces in JSON, which are never the same twice.
var stacks = regexp.MustCompile(`"stack":"(\\.|[^"\\])*"`)

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; go test ./controller -run TestTranscripts -rewrite rewrites it. Now it is:\n%s", name, got)
	}
}

// unlocated returns a transcript without folders, numbers of lines, and frames.
func unlocated(text []byte) []byte {
	text = regexp.MustCompile(`,"frames":\[("[^"]*",?)*\]`).ReplaceAll(text, nil)
	text = regexp.MustCompile(`"line":[0-9]+`).ReplaceAll(text, []byte(`"line":1`))
	text = regexp.MustCompile(`[^ "]*/([a-z_]+\.go):[0-9]+`).ReplaceAll(text, []byte("$1:1"))
	return regexp.MustCompile(`"file":"[^"]*/`).ReplaceAll(text, []byte(`"file":"`))
}
