package controller_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// next notes the line after the one of the caller.
func next(at *atomic.Int64) {
	_, _, line, _ := runtime.Caller(1)
	at.Store(int64(line) + 1)
}

// wantAt checks that the report has one stack of what, at a line of this file, and that
// log, summary and JSON name that line, if they have to.
func wantAt(t *testing.T, r report.Report, what string, line *atomic.Int64, in string, texts ...string) {
	t.Helper()
	of := slices.DeleteFunc(slices.Clone(r.Stacks), func(s report.Stack) bool { return s.Of != what })
	place := fmt.Sprintf("look_test.go:%d (", line.Load())
	if len(of) != 1 || !strings.Contains(of[0].Place(), place) || !strings.Contains(of[0].Place(), "in "+in) || len(of[0].Frames) == 0 {
		t.Errorf("the report has %+v of %s, want %s in %s", of, what, place, in)
	}
	for _, text := range append(texts, r.String()) {
		if !strings.Contains(text, place) {
			t.Errorf("%s: %q is not in\n%s", what, place, text)
		}
	}
}

// G15: a closer that hangs and a worker that waits for a mutex are named with their line when
// their time is over, in the log as well.
func TestG15_HungCalls(t *testing.T) {
	var lines [4]atomic.Int64
	var mu sync.Mutex
	mu.Lock()
	defer mu.Unlock() // the worker ends with the test
	never := make(chan struct{})
	defer close(never)
	var log bytes.Buffer
	c := mustNew(t, lastcall.Budget{Total: 3200 * time.Millisecond, Reserve: 2800 * time.Millisecond}, noSignals, controller.WithLogger(zerolog.New(&log)),
		controller.WithWorker("stuck", func(context.Context, context.Context) error {
			next(&lines[0])
			mu.Lock()
			mu.Unlock() //nolint:staticcheck // it waits, and nothing more
			return nil
		}),
		controller.WithCloser("db", func() {
			next(&lines[1])
			<-never
		}, controller.Timeout(800*time.Millisecond)), // so that the flusher has time for a look on a busy machine
		controller.WithCloser("quick", func() {}),
		controller.WithFlusher("traces", func() {
			next(&lines[2])
			<-never
		}))
	go func() {
		<-c.Serving()
		c.Shutdown(nil)
	}()
	r := c.Run(context.Background())
	wantAt(t, r, `worker "stuck"`, &lines[0], "sync.(*Mutex).Lock", log.String())
	wantAt(t, r, `closer "db"`, &lines[1], "channel receive", log.String())
	wantAt(t, r, `flusher "traces"`, &lines[2], "")
	if s := step(t, r, report.OpClose, "db"); len(s.Stacks) != 1 || s.Result != report.ResultTimedOut {
		t.Errorf("the closer's step is %+v", s)
	}
	if strings.Contains(log.String(), `"name":"quick"`) || slices.ContainsFunc(r.Stacks, func(s report.Stack) bool { return strings.Contains(s.Of, "quick") }) {
		t.Errorf("the closer that is quick is named:\n%s\n%+v", &log, r.Stacks)
	}
}

// G15: a logger whose pipe is full is named with the line of the writer.
func TestG15_FullPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() // and so the write fails
	defer w.Close()
	var line atomic.Int64
	c := mustNew(t, lastcall.Budget{Total: 4 * time.Second, Reserve: 3 * time.Second}, noSignals,
		controller.WithCloser("takes a while", func() { time.Sleep(50 * time.Millisecond) }), controller.WithFlusher("too", func() { time.Sleep(300 * time.Millisecond) }),
		controller.WithLogger(zerolog.New(writerFunc(func(p []byte) (int, error) {
			next(&line)
			return w.Write(bytes.Repeat(p, 10_000))
		}))))
	go func() {
		<-c.Serving()
		c.Shutdown(nil)
	}()
	got := c.Run(context.Background())
	wantAt(t, got, `logger "zerolog"`, &line, "os.(*File).Write")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// G15: on demand the lines of code are told in any phase; a closer can be asked after while
// it runs.
func TestG15_OnDemand(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		var line atomic.Int64
		told := &listeningTo{}
		var c *controller.Controller
		c = mustNew(t, long, noSignals, controller.WithProgress(0), controller.WithObserver("o", told.observe),
			controller.WithWorker("w", func(claim, _ context.Context) error {
				next(&line)
				<-claim.Done()
				return nil
			}),
			controller.WithCloser("c", func() { c.TellProgress(); time.Sleep(2 * time.Second) }))
		time.AfterFunc(time.Second, c.TellProgress)
		runAfter(c, time.Minute)
		synctest.Wait()
		var got []string
		for i, s := range told.steps {
			if s.Kind == report.KindProgress {
				for _, at := range s.Stacks {
					got = append(got, fmt.Sprintf("%v %s %v", told.at[i].Sub(d.start), at.Of, at.Line == int(line.Load())))
				}
			}
		}
		if want := []string{`1s worker "w" true`, `1m0s closer "c" false`}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// Without stacks and peers nothing tells of them.
func TestWithoutStacksAndPeers(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		var log bytes.Buffer
		s := draining(d, func(time.Duration) []lastcall.Work {
			return []lastcall.Work{{Name: "/a.B/C", Kind: lastcall.WorkUnary, Running: 1, Peer: "10.0.0.1:7", Path: "/secret"}}
		})
		c := mustNew(t, long, noSignals, withServer("s", s), controller.WithoutStacks(), controller.WithoutPeers(),
			controller.WithLogger(zerolog.New(&log)), controller.WithCloser("hangs", hang))
		r, _ := runAfter(c, time.Minute)
		text, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		all := log.String() + r.String() + string(text) + fmt.Sprint(c.InFlight())
		for _, not := range []string{"10.0.0.1", "/secret", "_test.go", "stacks"} {
			if strings.Contains(all, not) {
				t.Errorf("%q is in\n%s", not, all)
			}
		}
		if !strings.Contains(all, `closer "hangs" timed out`) {
			t.Errorf("the closer is missing in\n%s", all)
		}
	})
}

// knowsLeaks reports whether the runtime looks for goroutines that nothing can wake.
func knowsLeaks() bool { return pprof.Lookup("goroutineleak") != nil }

// G15: what nothing can wake is told apart, where the runtime knows.
func TestG15_Leaked(t *testing.T) {
	c := mustNew(t, lastcall.Budget{Total: 2 * time.Second, Reserve: 1500 * time.Millisecond}, noSignals,
		controller.WithCloser("lost", func() { <-make(chan int) }))
	go func() {
		<-c.Serving()
		c.Shutdown(nil)
	}()
	r := c.Run(context.Background())
	at := slices.IndexFunc(r.Stacks, func(s report.Stack) bool { return s.Of == `closer "lost"` })
	if at < 0 || r.Stacks[at].Leaked != knowsLeaks() || strings.Contains(r.String(), "which never comes back") != knowsLeaks() {
		t.Errorf("the runtime knows of leaks: %v; the report has\n%v\n%+v", knowsLeaks(), r, r.Stacks)
	}
}

// G15: a log that hangs is named, with its line, by one that does not.
func TestG15_HungLogInTheOther(t *testing.T) {
	bubble(t, func(t *testing.T, _ *diary, hang func()) {
		var log bytes.Buffer
		c := mustNew(t, long, noSignals, controller.WithLogger(zerolog.New(&log)), controller.WithLog("pipe", func(report.Line) error {
			hang()
			return nil
		}), controller.WithLog("slow", func(report.Line) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}), controller.WithCloser("c", func() { time.Sleep(3 * time.Second) }))
		r, _ := runAfter(c, time.Minute)
		for _, want := range []string{`"level":"warn","state":"TERMINATED","phase":"flush"`, `(controller_test.bubble.func1.2, in channel receive)"`, `"message":"logger \"pipe\" has not returned for 1m3s"`} {
			if strings.Count(log.String(), want) != 1 {
				t.Errorf("the log does not have %s once:\n%s", want, &log)
			}
		}
		if !strings.Contains(r.String(), `logger "pipe" has not returned, missed `) || strings.Contains(log.String(), "slow") {
			t.Errorf("the report is\n%v\nand the log\n%s", r, &log)
		}
	})
}

// G15: where a question hangs that is asked when all has ended is known, though nothing else
// is looked at.
func TestG15_LateQuestion(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		s := &telling{server: newServer(d, "s", time.Second), inFlight: func(n int) []lastcall.Work {
			if n == 2 {
				hang()
			}
			return nil
		}}
		r, _ := runAfter(mustNew(t, budget, noSignals, controller.WithProgress(0), withServer("s", s)), time.Minute)
		if !slices.ContainsFunc(r.Stacks, func(s report.Stack) bool { return s.Of == `InFlight "s"` }) {
			t.Errorf("the report has the stacks %+v", r.Stacks)
		}
	})
}
