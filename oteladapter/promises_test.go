package oteladapter_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/oteladapter"
	"github.com/lastcall-go/lastcall/report"
)

// Flushers have no spans: all have ended before the first one runs, also if the exporter would
// take more.
func TestFlushersHaveNoSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &exporter{}
		o := oteladapter.New(oteladapter.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(e))))
		ctl, err := controller.New(budget, controller.WithSignals(), o.Option(), controller.WithFlusher("f", func() { time.Sleep(time.Second) }))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { ctl.Shutdown(nil) })
		r := ctl.Run(context.Background())
		if len(e.named("phase close")) != 1 || len(e.named("flusher f")) != 0 {
			t.Errorf("%d spans of the closers' phase and %d of the flusher\n%v", len(e.named("phase close")), len(e.named("flusher f")), r)
		}
	})
}

// An Add that has failed may be made again: nothing is counted twice.
func TestAddAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		o := oteladapter.New(oteladapter.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
		ctl, err := controller.New(budget, controller.WithSignals())
		if err != nil {
			t.Fatal(err)
		}
		if err := ctl.Add(o.Option(), controller.WithMonitor("fails", refuses{})); err == nil {
			t.Fatal("Add returns no error")
		}
		if err := ctl.Add(o.Option()); err != nil {
			t.Fatal(err)
		}
		over := make(chan report.Report, 1)
		go func() { over <- ctl.Run(context.Background()) }()
		<-ctl.Serving()
		collect(t, reader).want(t, map[string]float64{"lastcall.ready{}": 1})
		ctl.Shutdown(nil)
		<-over
	})
}

// refuses is a monitor that does not want to belong to a controller.
type refuses struct{}

func (refuses) Attach(*controller.Controller) error { return context.Canceled }
func (refuses) Observe(report.Step)                 {}
