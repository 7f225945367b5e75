package controller_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/controller"
)

// BenchmarkDeadline measures how late Run returns when everything hangs, beside
// how late a bare timer of the same length fires, one after the other in one run:
// late-run-µs and late-timer-µs are the medians. ns/op means nothing here.
func BenchmarkDeadline(b *testing.B) {
	const total = 20 * time.Millisecond
	hang := make(chan struct{})
	defer close(hang)
	var run, timer []time.Duration
	for b.Loop() {
		s := &server{d: newDiary(), down: make(chan struct{}), graceful: func() { <-hang }, stop: func() { <-hang }}
		c, err := controller.New(controller.Budget{Total: total, Reserve: total / 2},
			controller.WithServer("s", s),
			controller.WithCloser("c", func() { <-hang }),
			controller.WithFlusher("f", func() { <-hang }),
			controller.WithSignals())
		if err != nil {
			b.Fatal(err)
		}
		c.Shutdown(nil)
		r := c.Run(context.Background())
		run = append(run, time.Since(r.Triggered)-total)
		if r.ExitCode() != controller.ExitAbandoned {
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
