package oteladapter_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/oteladapter"
	"github.com/lastcall-go/lastcall/report"
)

var budget = lastcall.Budget{Total: 20 * time.Second, Settle: 2 * time.Second, Reserve: 6 * time.Second}

// exporter keeps what it is given until it is shut down.
type exporter struct {
	mu    sync.Mutex
	spans []sdktrace.ReadOnlySpan
	over  bool
}

func (e *exporter) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return errors.New("it was shut down")
	}
	e.spans = append(e.spans, spans...)
	return nil
}

func (e *exporter) Shutdown(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
	return nil
}

func (e *exporter) named(name string) []sdktrace.ReadOnlySpan {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.spans), func(s sdktrace.ReadOnlySpan) bool { return s.Name() != name })
}

// traced shuts down a server, a worker, and what the options add, and returns what was exported.
func traced(t *testing.T, b lastcall.Budget, opts ...controller.Option) (*exporter, report.Report) {
	t.Helper()
	e := &exporter{}
	tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(e))
	o := oteladapter.New(oteladapter.WithTracerProvider(tp))
	ctl, err := controller.New(b, append(opts, o.Option(), controller.WithSignals(),
		controller.WithServer("tasks", drain.New()),
		controller.WithWorker("w", func(claim, _ context.Context) error { <-claim.Done(); return nil }),
		controller.WithFlusher("traces", tp.Shutdown))...)
	if err != nil {
		t.Fatal(err)
	}
	run := make(chan report.Report, 1)
	go func() { run <- ctl.Run(context.Background()) }()
	<-ctl.Serving()
	time.Sleep(time.Millisecond) // what came before the trigger is no part of the trace
	ctl.Shutdown(errors.New("asked for"))
	return e, <-run
}

// check compares what was exported with the report: a span for each phase and each call
// from the trigger to the flush, and no other.
func check(t *testing.T, e *exporter, r report.Report) {
	t.Helper()
	want := map[string]int{"shutdown": 1}
	for _, s := range r.Steps {
		switch {
		case s.Kind == report.KindPhase && s.Phase >= lastcall.PhaseAnnounce:
			want["phase "+s.Phase.String()]++
		case s.Kind == report.KindCall && s.Op != report.OpFlush && !s.Start.Add(s.Duration).Before(r.Triggered):
			want[string(s.Op)+" "+s.Name]++
		}
	}
	for _, s := range e.spans {
		want[s.Name()]--
	}
	for name, n := range want {
		if n != 0 {
			t.Errorf("%d spans %q are missing\n%v", n, name, r)
		}
	}
}

// G13: of 300 shutdowns no span is lost, in virtual time and in real time.
func TestSpansAreExported(t *testing.T) {
	const runs = 300
	t.Run("virtual time", func(t *testing.T) {
		for range runs {
			synctest.Test(t, func(t *testing.T) {
				e, r := traced(t, budget, controller.WithCloser("c", func() {}))
				check(t, e, r)
			})
		}
	})
	t.Run("real time", func(t *testing.T) {
		for range runs {
			e, r := traced(t, lastcall.Budget{Total: time.Minute, Settle: 50 * time.Microsecond, Reserve: 20 * time.Second}, controller.WithCloser("c", func() {}))
			check(t, e, r)
		}
	})
}

// One trace: the phases are in the shutdown, the calls in the phases, and the times are
// those of the report.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		defer close(over)
		e, r := traced(t, budget,
			controller.WithCloser("hangs\xff", func() { <-over }),
			controller.WithCloser("fails", func() error { time.Sleep(time.Second); return errors.New("no \xff disk") }))
		span := func(name string, parent string, start, end time.Duration) sdktrace.ReadOnlySpan {
			t.Helper()
			all := e.named(name)
			if len(all) != 1 {
				t.Fatalf("%d spans %q", len(all), name)
			}
			s := all[0]
			if parent != "" && s.Parent().SpanID() != e.named(parent)[0].SpanContext().SpanID() {
				t.Errorf("%q is not in %q", name, parent)
			}
			if s.StartTime().Sub(r.Triggered) != start || s.EndTime().Sub(r.Triggered) != end {
				t.Errorf("%q is from %v to %v, want %v to %v", name, s.StartTime().Sub(r.Triggered), s.EndTime().Sub(r.Triggered), start, end)
			}
			return s
		}
		took := func(name string) (start, end time.Duration) {
			for _, s := range r.Steps {
				if s.Name == name {
					return s.Elapsed, s.Elapsed + s.Duration
				}
			}
			t.Fatalf("the report has no %q", name)
			return 0, 0
		}
		_, flushed := took("close")
		root := span("shutdown", "", 0, flushed)
		if root.Parent().IsValid() || root.Status().Code != codes.Error || !has(root, "lastcall.shutdown.cause", "asked for") || !has(root, "lastcall.shutdown.exit_code", "6") || !has(root, "lastcall.shutdown.outcome", "drained") {
			t.Errorf("the root: %v %v", root.Status(), root.Attributes())
		}
		span("phase settle", "shutdown", 0, 2*time.Second)
		span("Serve tasks", "shutdown", 0, 2*time.Second)
		span("worker w", "shutdown", 0, 0)
		span("GracefulStop tasks", "phase drain", 2*time.Second, 2*time.Second)
		fails := span("closer fails", "phase close", 2*time.Second, 3*time.Second)
		if !has(fails, "error.type", "failed") || fails.Status().Description != "no ? disk" {
			t.Errorf("the call that failed: %v %v", fails.Status(), fails.Attributes())
		}
		start, end := took("hangs\xff")
		hangs := span("closer hangs?", "phase close", start, end)
		if !has(hangs, "lastcall.call.result", "timed out") {
			t.Errorf("the call that hangs: %v", hangs.Attributes())
		}
		for _, s := range e.spans {
			if s.SpanContext().TraceID() != root.SpanContext().TraceID() {
				t.Errorf("%q is in another trace", s.Name())
			}
			if s.EndTime().Before(s.StartTime()) || s.StartTime().Before(r.Triggered) {
				t.Errorf("%q is from %v to %v", s.Name(), s.StartTime(), s.EndTime())
			}
		}
	})
}

func has(s sdktrace.ReadOnlySpan, key, value string) bool {
	return slices.ContainsFunc(s.Attributes(), func(a attribute.KeyValue) bool { return string(a.Key) == key && a.Value.String() == value })
}

// What cannot work is an error of controller.New.
func TestBadInput(t *testing.T) {
	o := oteladapter.New()
	if _, err := controller.New(budget, o.Option()); err != nil {
		t.Fatal(err)
	}
	var missing *oteladapter.Telemetry
	for want, bad := range map[string]*oteladapter.Telemetry{
		"belong to another controller":   o,
		"the TracerProvider is nil":      oteladapter.New(oteladapter.WithTracerProvider(nil)),
		"TracerProvider is nil":          oteladapter.New(oteladapter.WithTracerProvider((*sdktrace.TracerProvider)(nil))),
		"MeterProvider is nil":           oteladapter.New(oteladapter.WithMeterProvider((*sdkmetric.MeterProvider)(nil))),
		"the MeterProvider is nil":       oteladapter.New(oteladapter.WithMeterProvider(nil)),
		"an option is nil":               oteladapter.New(nil),
		"New did not make":               new(oteladapter.Telemetry),
		`monitor "opentelemetry" is nil`: missing,
	} {
		if _, err := controller.New(budget, bad.Option()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
