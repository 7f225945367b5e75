package grpcadapter_test

import (
	"context"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/report"
)

// BenchmarkStopWithStacks compares, interleaved, what it takes from the timer until the last
// handler is back that hears, with 10,000 streams of which one handler is deaf, with looking
// at where goroutines stand and without: in time, and in CPU time of the process, client
// included, which another process hardly changes. At the timer, and at a force, which leaves
// no time to look before. One run of each is one iteration; the ratio is the median of those
// of each pair, which had the same neighbours on the machine. The garbage collector does not run
// from the trigger on: with 20,000 goroutines a cycle takes half as long as the end itself, and
// where it falls is a matter of what was allocated before.
func BenchmarkStopWithStacks(b *testing.B) {
	const streams = 10_000
	type took struct{ wall, cpu time.Duration }
	run := func(force bool, opts ...controller.Option) took {
		d := newDeaf()
		lis, client := listen(b)
		g := grpcadapter.New(lis)
		testgrpc.RegisterTestServiceServer(g.NewServer(), d)
		var from, to time.Duration
		left := make(chan struct{})
		d.left = func(n int64) {
			if n == streams-1 {
				to = usedCPU(b)
				close(left)
			}
		}
		c, err := controller.New(lastcall.Budget{Total: 10 * time.Second, Reserve: 8 * time.Second}, append(opts, controller.WithSignals(), controller.WithoutStderr(),
			controller.WithServer("grpc", g), controller.WithObserver("o", func(s report.Step) {
				switch {
				case s.Kind == report.KindTransition && s.State == fsm.TimerExpired:
					from = usedCPU(b)
				case s.Kind == report.KindPhase && s.Phase == lastcall.PhaseWait:
					time.AfterFunc(time.Second, d.end)
				}
			}))...)
		if err != nil {
			b.Fatal(err)
		}
		reports := make(chan report.Report, 1)
		go func() { reports <- c.Run(context.Background()) }()
		d.in.Add(streams)
		ctx, cancel := context.WithCancel(b.Context()) // the client's goroutines are not there in the next run
		defer cancel()
		for range streams {
			if _, err := client.FullDuplexCall(ctx, grpc.WaitForReady(true)); err != nil {
				b.Fatal(err)
			}
		}
		d.in.Wait()
		runtime.GC()
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
		c.Shutdown(nil)
		if force {
			time.AfterFunc(500*time.Millisecond, c.Force)
		}
		<-left
		r := <-reports
		if looks := len(opts) == 0; looks != slices.ContainsFunc(r.Stacks, func(s report.Stack) bool {
			return strings.HasSuffix(s.Func, "(*deaf).FullDuplexCall") && s.Count == 1 && s.Line == int(d.stream.Load())
		}) {
			b.Errorf("the report has %d stacks: %+v", len(r.Stacks), r.Stacks)
		}
		return took{time.Unix(0, d.ended.Load()).Sub(r.Timer), to - from}
	}
	for _, name := range []string{"timer", "force"} {
		b.Run(name, func(b *testing.B) {
			var with, without []took
			for first := true; b.Loop(); first = !first { // each of them first in half of the rounds
				for _, looks := range []bool{first, !first} {
					if looks {
						with = append(with, run(name == "force"))
					} else {
						without = append(without, run(name == "force", controller.WithoutStacks()))
					}
				}
			}
			for what, of := range map[string]func(took) time.Duration{"wall": func(t took) time.Duration { return t.wall }, "cpu": func(t took) time.Duration { return t.cpu }} {
				var w, wo []time.Duration
				var ratios []float64
				for i := range with {
					w, wo = append(w, of(with[i])), append(wo, of(without[i]))
					ratios = append(ratios, float64(w[i])/float64(wo[i]))
				}
				slices.Sort(ratios)
				b.Logf("%s with %v\nwithout %v", what, w, wo)
				b.ReportMetric(float64(median(w).Microseconds())/1e3, what+"-ms/with")
				b.ReportMetric(float64(median(wo).Microseconds())/1e3, what+"-ms/without")
				b.ReportMetric(ratios[len(ratios)/2], what+"-ratio")
			}
		})
	}
}

// usedCPU returns the CPU time of the process.
func usedCPU(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Error(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
