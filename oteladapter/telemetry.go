// Package oteladapter tells OpenTelemetry what a server is doing: spans of its shutdown,
// and metrics in service and while it shuts down.
//
//	o := oteladapter.New(oteladapter.WithTracerProvider(tp), oteladapter.WithMeterProvider(mp))
//	ctl, err := controller.New(budget,
//		o.Option(),
//		controller.WithServer("grpc", g),
//		controller.WithFlusher("traces", tp.Shutdown),
//		controller.WithFlusher("metrics", mp.Shutdown),
//	)
//
// All spans have ended, and the numbers are final, before the first flusher runs, so what
// the flushers export is whole. Package oteladapter exports nothing itself, and costs a
// request nothing. docs/metrics.md lists spans, metrics and attributes.
package oteladapter

import (
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/numbers"
	"github.com/lastcall-go/lastcall/report"
)

// scope is the instrumentation scope of spans and metrics.
const scope = "github.com/lastcall-go/lastcall/oteladapter"

// Telemetry is what one controller tells OpenTelemetry. Make one with [New].
type Telemetry struct {
	traces  trace.TracerProvider
	metrics metric.MeterProvider
	errs    []error

	numbers    numbers.Numbers
	spans      spans
	registered bool // the metrics are
}

// Option configures Telemetry.
type Option func(*Telemetry)

// WithTracerProvider sets where spans go, in place of otel.GetTracerProvider. Nil is an
// error from controller.New.
func WithTracerProvider(tp trace.TracerProvider) Option {
	return func(o *Telemetry) {
		if o.traces = tp; foreign.IsNil(tp) {
			o.errs = append(o.errs, errors.New("oteladapter: the TracerProvider is nil"))
		}
	}
}

// WithMeterProvider sets where metrics go, in place of otel.GetMeterProvider. Nil is an
// error from controller.New.
func WithMeterProvider(mp metric.MeterProvider) Option {
	return func(o *Telemetry) {
		if o.metrics = mp; foreign.IsNil(mp) {
			o.errs = append(o.errs, errors.New("oteladapter: the MeterProvider is nil"))
		}
	}
}

// New returns Telemetry for a controller that is given its Option. What is wrong with an
// option is an error from controller.New.
func New(opts ...Option) *Telemetry {
	o := &Telemetry{traces: otel.GetTracerProvider(), metrics: otel.GetMeterProvider()}
	for _, opt := range opts {
		if opt == nil {
			o.errs = append(o.errs, errors.New("oteladapter: an option is nil"))
			continue
		}
		opt(o)
	}
	return o
}

// Option gives the telemetry to a controller, as an observer with the name
// "opentelemetry". To give it to a second controller is an error from controller.New.
func (o *Telemetry) Option() controller.Option {
	return controller.WithMonitor("opentelemetry", (*monitor)(o))
}

// monitor keeps what the controller calls out of the way of users.
type monitor Telemetry

// Attach registers the metrics.
func (o *monitor) Attach(c *controller.Controller) error {
	if o.traces == nil && o.metrics == nil && o.errs == nil {
		return errors.New("oteladapter: Telemetry that New did not make")
	}
	if err := errors.Join(o.errs...); err != nil {
		return err
	}
	if err := o.numbers.Attach("oteladapter", c); err != nil {
		return err
	}
	if o.registered { // an Add of before has failed, for another reason
		return nil
	}
	o.spans.tracer = o.traces.Tracer(scope)
	err := register(o.metrics.Meter(scope), &o.numbers)
	o.registered = err == nil
	return err
}

// Observe makes spans of steps.
func (o *monitor) Observe(s report.Step) {
	o.numbers.Observe(s)
	o.spans.observe(s)
}
