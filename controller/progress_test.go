package controller_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// draining returns a server that drains for 28 s, and has the work that work returns at each
// instant of the drain.
func draining(d *diary, work func(since time.Duration) []lastcall.Work) *telling {
	return &telling{server: newServer(d, "s", time.Hour), inFlight: func(int) []lastcall.Work {
		return work(time.Since(d.start) - time.Minute)
	}}
}

// long has a drain from +0 to +30 s.
var long = lastcall.Budget{Total: 40 * time.Second, Reserve: 10 * time.Second}

// progressOf returns when progress was told, and what of.
func progressOf(told *listeningTo, r report.Report) (lines []string) {
	for i, s := range told.steps {
		if s.Kind == report.KindProgress {
			var names []string
			for _, w := range s.Work {
				names = append(names, fmt.Sprintf("%s x%d", w.Name, w.Running))
			}
			lines = append(lines, fmt.Sprintf("%v %v: %s", told.at[i].Sub(r.Triggered), s.Now.Phase, strings.Join(names, ", ")))
		}
	}
	return lines
}

// G14: progress is told at a steady rate, only if something has changed, and always right
// before the timer; after the timer and while closers run once a second.
func TestG14_Progress(t *testing.T) {
	unary := func(n int) []lastcall.Work {
		return []lastcall.Work{{Name: "/a.B/C", Kind: lastcall.WorkUnary, Running: n, Peer: "10.0.0.1:7"}}
	}
	halves := func(since time.Duration) []lastcall.Work { return unary(8 - int(since/(10*time.Second))) }
	same := func(time.Duration) []lastcall.Work { return unary(1) }
	for name, tt := range map[string]struct {
		work func(time.Duration) []lastcall.Work
		opts []controller.Option
		want []string
	}{
		"something changes": {halves, nil, []string{"5s drain: /a.B/C x8", "10s drain: /a.B/C x7", "20s drain: /a.B/C x6", "29s drain: /a.B/C x6"}},
		"nothing changes":   {same, nil, []string{"5s drain: /a.B/C x1", "29s drain: /a.B/C x1"}},
		"more often":        {halves, []controller.Option{controller.WithProgress(4 * time.Second)}, []string{"4s drain: /a.B/C x8", "12s drain: /a.B/C x7", "20s drain: /a.B/C x6", "29s drain: /a.B/C x6"}},
		"never":             {halves, []controller.Option{controller.WithProgress(0)}, nil},
		"a closer is slow": {same, []controller.Option{
			controller.WithCloser("quick", func() { time.Sleep(900 * time.Millisecond) }),
			controller.WithCloser("slow", func() { time.Sleep(2500 * time.Millisecond) }),
		}, []string{"5s drain: /a.B/C x1", "29s drain: /a.B/C x1", `31s close: closer "slow" x1`, `33s close: closer "quick" x1`}},
		"a worker stays": {same, []controller.Option{
			controller.WithWorker("w", func(context.Context, context.Context) error { time.Sleep(time.Hour); return nil }),
		}, []string{`5s drain: /a.B/C x1, worker "w" x1`, `29s drain: /a.B/C x1, worker "w" x1`, `30.01s wait: worker "w" x1`}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				told := &listeningTo{}
				s := draining(d, tt.work)
				c := mustNew(t, long, append(tt.opts, noSignals, withServer("s", s), controller.WithObserver("o", told.observe))...)
				r, _ := runAfter(c, time.Minute)
				if got := progressOf(told, r); !slices.Equal(got, tt.want) {
					t.Errorf("told\n%q, want\n%q", got, tt.want)
				}
			})
		})
	}
}

// G14: an InFlight that hangs is not asked again, delays nothing, and progress leaves it out.
func TestG14_ProgressWithoutAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		told := &listeningTo{}
		var calls atomic.Int32
		s := draining(d, func(since time.Duration) []lastcall.Work {
			calls.Add(1)
			if since > time.Second {
				hang()
			}
			return nil
		})
		other := &telling{server: newServer(d, "other", time.Hour), inFlight: func(int) []lastcall.Work {
			return []lastcall.Work{{Name: "/a.B/C", Kind: lastcall.WorkUnary, Running: 1}}
		}}
		c := mustNew(t, long, noSignals, withServer("s", s), withServer("other", other), controller.WithObserver("o", told.observe))
		r, took := runAfter(c, time.Minute)
		want := []string{`5.01s drain: /a.B/C x1, GracefulStop "s" x1`, `29s drain: /a.B/C x1, GracefulStop "s" x1`}
		if got := progressOf(told, r); !slices.Equal(got, want) {
			t.Errorf("told\n%q, want\n%q", got, want)
		}
		if calls.Load() != 4 { // at the drain, for progress, at the timer, at the end
			t.Errorf("InFlight was called %d times", calls.Load())
		}
		wantTook(t, took, 30*time.Second+answerTime)
	})
}

// The line of progress: what is left by kind and method, the oldest and its age, whose
// connection, and the time that remains.
func TestProgressLine(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		var log bytes.Buffer
		s := draining(d, func(time.Duration) []lastcall.Work {
			return []lastcall.Work{
				{Name: "/a.B/C", Kind: lastcall.WorkUnary, Running: 1, Peer: "10.0.0.1:7", Oldest: d.start.Add(30 * time.Second)},
				{Name: "/a.B/W", Kind: lastcall.WorkBidiStream, Running: 2},
			}
		})
		runAfter(mustNew(t, long, noSignals, withServer("s", s), controller.WithLogger(zerolog.New(&log))), time.Minute)
		want := `{"level":"info","state":"GRACEFUL_SHUTDOWN","phase":"drain","elapsed":"5s","elapsed_seconds":5,"remaining":"35s","remaining_seconds":35,"timer_in":"25s","timer_in_seconds":25,` +
			`"in_flight":3,"streams":2,"infrastructure":0,"running":[{"server":"s","name":"/a.B/W","kind":"bidi_stream","running":2},` +
			`{"server":"s","name":"/a.B/C","kind":"unary","running":1,"oldest":"35s","oldest_seconds":35,"peer":"10.0.0.1:7"}],"message":"progress"}` + "\n"
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log is\n%s\nwithout\n%s", &log, want)
		}
	})
}
