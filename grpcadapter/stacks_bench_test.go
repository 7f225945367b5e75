package grpcadapter_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/report"
)

// BenchmarkStopWithStacks compares, interleaved, how long after the timer the last handler
// is back that hears, with 10,000 streams of which one handler is deaf, with looking at where goroutines stand and without; after
// the timer, and after a force, which leaves no time to look before. One run of each is one
// iteration.
func BenchmarkStopWithStacks(b *testing.B) {
	const streams = 10_000
	run := func(force bool, opts ...controller.Option) time.Duration {
		d := newDeaf()
		lis, client := listen(b)
		g := grpcadapter.New(lis)
		testgrpc.RegisterTestServiceServer(g.NewServer(), d)
		c, err := controller.New(lastcall.Budget{Total: 22 * time.Second, Reserve: 20 * time.Second}, append(opts, controller.WithSignals(), controller.WithoutStderr(),
			controller.WithServer("grpc", g), controller.WithObserver("o", func(s report.Step) {
				if s.Kind == report.KindPhase && s.Phase == lastcall.PhaseCancel {
					time.AfterFunc(2*time.Second, d.end)
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
		c.Shutdown(nil)
		if force {
			time.AfterFunc(500*time.Millisecond, c.Force)
		}
		r := <-reports
		if looks := len(opts) == 0; looks != slices.ContainsFunc(r.Stacks, func(s report.Stack) bool {
			return strings.HasSuffix(s.Func, "(*deaf).FullDuplexCall") && s.Count == 1 && s.Line == int(d.stream.Load())
		}) {
			b.Errorf("the report has %d stacks: %+v", len(r.Stacks), r.Stacks)
		}
		return time.Unix(0, d.ended.Load()).Sub(r.Timer)
	}
	for name, force := range map[string]bool{"timer": false, "force": true} {
		b.Run(name, func(b *testing.B) {
			var with, without []time.Duration
			for first := true; b.Loop(); first = !first { // each of them first in half of the rounds
				for _, looks := range []bool{first, !first} {
					runtime.GC()
					if looks {
						with = append(with, run(force))
					} else {
						without = append(without, run(force, controller.WithoutStacks()))
					}
				}
			}
			b.Logf("with %v\nwithout %v", with, without)
			b.ReportMetric(float64(median(with).Microseconds())/1e3, "ms/with")
			b.ReportMetric(float64(median(without).Microseconds())/1e3, "ms/without")
			b.ReportMetric(float64(median(with))/float64(median(without)), "ratio")
		})
	}
}
