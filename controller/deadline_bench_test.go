package controller_test

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
)

// BenchmarkDeadline measures how late Run returns when everything hangs, beside
// how late a bare timer of the same length fires, one after the other in one run:
// late-run-µs and late-timer-µs are the medians. ns/op means nothing here.
func BenchmarkDeadline(b *testing.B) { benchmarkDeadline(b, 20*time.Millisecond) }

// BenchmarkDeadlineStarved is the same where a timer that fires finds one processor
// and eight goroutines that want it all the time.
func BenchmarkDeadlineStarved(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var stop atomic.Bool
	defer stop.Store(true)
	for range 8 {
		go func() {
			for !stop.Load() { //nolint:revive // busy on purpose
			}
		}()
	}
	benchmarkDeadline(b, 400*time.Millisecond)
}

func benchmarkDeadline(b *testing.B, total time.Duration) {
	hang := make(chan struct{})
	defer close(hang)
	var run, timer []time.Duration
	for b.Loop() {
		s := &server{d: newDiary(), down: make(chan struct{}), graceful: func() { <-hang }, stop: func() { <-hang }}
		c, err := controller.New(lastcall.Budget{Total: total, Reserve: total / 2},
			withServer("s", s),
			controller.WithCloser("c", func(ctx context.Context) { <-ctx.Done(); <-hang }),
			controller.WithFlusher("f", func(ctx context.Context) { <-ctx.Done(); <-hang }),
			controller.WithSignals(), controller.WithoutStderr())
		if err != nil {
			b.Fatal(err)
		}
		c.Shutdown(nil)
		r := c.Run(context.Background())
		run = append(run, time.Since(r.Triggered)-total)
		if r.ExitCode() != report.ExitAbandoned {
			b.Fatal(r)
		}

		start := time.Now()
		<-time.NewTimer(total).C
		timer = append(timer, time.Since(start)-total)
	}
	b.ReportMetric(median(run), "late-run-µs")
	b.ReportMetric(median(timer), "late-timer-µs")
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2]) / float64(time.Microsecond)
}
