package drain_test

import (
	"context"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/report"
)

// BenchmarkHundredThousand shuts down in a process with 100,000 goroutines and 1,000 tasks, of
// which one is deaf, with looking at where goroutines stand and without: how long after the
// timer the last task has ended that hears, and for how long a goroutine that sleeps for a
// millisecond was kept from running at most until the timer, which is how long the program
// stood still, or less.
func BenchmarkHundredThousand(b *testing.B) {
	const others, tasks = 100_000, 1000
	over := make(chan struct{})
	defer close(over)
	for range others {
		go func() { <-over }()
	}
	run := func(opts ...controller.Option) (ended, stall time.Duration) {
		g, never := drain.New(), make(chan struct{})
		var in sync.WaitGroup
		var last, worst atomic.Int64
		in.Add(tasks)
		for i := range tasks {
			if err := g.Watcher().Go(b.Context(), "mail", func(ctx context.Context) {
				in.Done()
				if i == 0 {
					<-never
					return
				}
				<-ctx.Done()
				last.Store(time.Now().UnixNano())
			}); err != nil {
				b.Fatal(err)
			}
		}
		in.Wait()
		runtime.GC()
		c, err := controller.New(lastcall.Budget{Total: 16 * time.Second, Reserve: 8 * time.Second}, append(opts, controller.WithSignals(), controller.WithoutStderr(), controller.WithServer("tasks", g))...)
		if err != nil {
			b.Fatal(err)
		}
		reports := make(chan report.Report, 1)
		go func() { reports <- c.Run(context.Background()) }()
		c.Shutdown(nil)
		for end := time.Now().Add(7900 * time.Millisecond); time.Now().Before(end); {
			at := time.Now()
			time.Sleep(time.Millisecond)
			worst.Store(max(worst.Load(), int64(time.Since(at)-time.Millisecond)))
		}
		r := <-reports
		close(never)
		if looks := len(opts) == 0; looks != slices.ContainsFunc(r.Stacks, func(s report.Stack) bool {
			return s.Count == 1 && strings.Contains(s.Func, "BenchmarkHundredThousand") && s.In == "runtime.chanrecv1"
		}) {
			b.Errorf("the report is\n%v", r)
		}
		return time.Unix(0, last.Load()).Sub(r.Timer), time.Duration(worst.Load())
	}
	var ended, stalls [2][]time.Duration
	for b.Loop() {
		for i, opts := range [][]controller.Option{nil, {controller.WithoutStacks()}} {
			e, s := run(opts...)
			ended[i], stalls[i] = append(ended[i], e), append(stalls[i], s)
		}
	}
	for i, name := range []string{"with", "without"} {
		slices.Sort(ended[i])
		slices.Sort(stalls[i])
		b.ReportMetric(float64(ended[i][len(ended[i])/2].Microseconds())/1e3, "ended-ms/"+name)
		b.ReportMetric(float64(stalls[i][len(stalls[i])/2].Microseconds())/1e3, "stall-ms/"+name)
	}
}

// BenchmarkEndAtTheTimer has many tasks end in the instant of the timer, while InFlight, Stop and
// Cut are called as the controller does: for how long these blocked, for each task. It is the
// same however many there are.
func BenchmarkEndAtTheTimer(b *testing.B) {
	for _, tasks := range []int{1000, 10_000, 100_000} {
		b.Run(strconv.Itoa(tasks), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				g := drain.New()
				var in sync.WaitGroup
				in.Add(tasks)
				for range tasks {
					if err := g.Watcher().Go(b.Context(), "mail", func(ctx context.Context) { in.Done(); <-ctx.Done() }); err != nil {
						b.Fatal(err)
					}
				}
				in.Wait()
				go g.GracefulStop()
				runtime.GC()
				b.StartTimer()
				cancelled := make(chan struct{})
				go func() {
					defer close(cancelled)
					g.Cancel(b.Context(), nil)
				}()
				g.InFlight()
				g.Stop()
				g.Cut()
				<-cancelled
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tasks), "ns/task")
		})
	}
}
