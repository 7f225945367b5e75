package oteladapter

import (
	"context"
	"errors"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/internal/numbers"
	"github.com/lastcall-go/lastcall/report"
)

// The units: UCUM, with annotations for what is counted.
const (
	work    = "{work}"
	calls   = "{call}"
	seconds = "s"
	flag    = "1"
)

// maker makes instruments, and collects what goes wrong.
type maker struct {
	meter metric.Meter
	all   []metric.Observable
	errs  []error
}

func keep[T metric.Observable](m *maker, instrument T, err error) T {
	m.all, m.errs = append(m.all, instrument), append(m.errs, err)
	return instrument
}

func (m *maker) counter(name, unit, what string) metric.Int64ObservableCounter {
	i, err := m.meter.Int64ObservableCounter("lastcall."+name, metric.WithUnit(unit), metric.WithDescription(what))
	return keep(m, i, err)
}

func (m *maker) upDown(name, unit, what string) metric.Int64ObservableUpDownCounter {
	i, err := m.meter.Int64ObservableUpDownCounter("lastcall."+name, metric.WithUnit(unit), metric.WithDescription(what))
	return keep(m, i, err)
}

func (m *maker) gauge(name, unit, what string) metric.Float64ObservableGauge {
	i, err := m.meter.Float64ObservableGauge("lastcall."+name, metric.WithUnit(unit), metric.WithDescription(what))
	return keep(m, i, err)
}

// register makes the instruments, which read n when they are collected. That blocks for as
// long as servers need to answer, at most 10 ms.
func register(meter metric.Meter, n *numbers.Numbers) error {
	m := &maker{meter: meter}
	begun := m.counter("work.begun", work, "Pieces of work that have begun: RPCs, requests, connections, tasks.")
	ended := m.counter("work.ended", work, "Pieces of work that have ended, or that the shutdown has given up (abandoned).")
	flight := m.upDown("work.in_flight", work, "Pieces of work in flight.")
	atTrigger := m.upDown("work.at_trigger", work, "Pieces of work that were in flight when the shutdown began.")
	late := m.counter("work.late", work, "Pieces of work that began after the drain had.")
	held := m.upDown("server.calls", calls, "Calls of a server into other code that have not returned.")
	ready := m.upDown("ready", flag, "Whether traffic should come: 1 or 0.")
	state := m.upDown("state", flag, "The state of the machine: 1 for the one that it is in.")
	phase := m.upDown("phase", flag, "What the controller is doing: 1 for the phase that it is in.")
	phaseTime := m.gauge("phase.duration", seconds, "How long a phase took, or has taken so far.")
	start := m.gauge("shutdown.start_time", seconds, "When the shutdown was triggered, in Unix time.")
	remaining := m.gauge("shutdown.remaining", seconds, "Time left until the deadline of the shutdown.")
	stops := m.counter("shutdown.forced_stops", calls, "Calls of Stop on servers that the drain did not end.")
	done := m.counter("calls", calls, "Calls of the controller into user code that are over, or late.")
	exit := m.gauge("shutdown.exit_code", flag, "The exit code, as far as it is known before the flushers run.")
	outcome := m.upDown("shutdown.outcome", flag, "How the work in flight ended: 1 for the outcome.")
	if err := errors.Join(m.errs...); err != nil {
		return err
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		r, ok := n.Read()
		if !ok {
			return nil
		}
		for server, n := range r.Begun {
			o.ObserveInt64(begun, int64(n), with(attribute.String("lastcall.server", server)))
		}
		for _, w := range r.Work {
			labels := labelsOf(w.Work)
			for result, n := range map[string]int{"completed": w.Ended(), "cancelled": w.Cancelled, "cut": w.Cut, "abandoned": w.Abandoned} {
				o.ObserveInt64(ended, int64(n), with(append(slices.Clip(labels), attribute.String("lastcall.work.outcome", result))...))
			}
			set := with(labels...)
			o.ObserveInt64(flight, int64(w.Running), set)
			o.ObserveInt64(atTrigger, int64(w.Before), set)
			o.ObserveInt64(late, int64(w.Late), set)
		}
		for _, w := range r.Held {
			o.ObserveInt64(held, int64(w.Running), with(attribute.String("lastcall.server", w.Server), attribute.String("lastcall.call.name", w.Name)))
		}
		o.ObserveInt64(ready, one(r.Ready))
		for _, s := range []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.TimerExpired, fsm.Terminated} {
			o.ObserveInt64(state, one(s == r.State), with(attribute.String("lastcall.state", s.String())))
		}
		for p := lastcall.PhaseStart; p <= lastcall.PhaseFlush; p++ {
			o.ObserveInt64(phase, one(p == r.Phase), with(attribute.String("lastcall.phase", p.String())))
		}
		for _, p := range r.Phases {
			o.ObserveFloat64(phaseTime, p.Duration.Seconds(), with(attribute.String("lastcall.phase", p.Phase.String())))
		}
		if !r.Triggered.IsZero() {
			o.ObserveFloat64(start, float64(r.Triggered.UnixMicro())/1e6)
			o.ObserveFloat64(remaining, max(0, r.Deadline.Sub(r.At)).Seconds())
		}
		o.ObserveInt64(stops, int64(r.ForcedStops))
		for c, n := range r.Calls {
			o.ObserveInt64(done, int64(n), with(attribute.String("lastcall.call.op", string(c.Op)), attribute.String("lastcall.call.result", c.Result.String())))
		}
		if r.Summary != nil {
			o.ObserveFloat64(exit, float64(r.Summary.ExitCode()))
			for x := report.OutcomeDrained; x <= report.OutcomeIdle; x++ {
				o.ObserveInt64(outcome, one(x == r.Summary.Outcome), with(attribute.String("lastcall.shutdown.outcome", x.String())))
			}
		}
		return nil
	}, m.all...)
	return err
}

// labelsOf returns the attributes of work: with those of the semantic conventions that say
// the same, so that it joins with what other instrumentation tells.
func labelsOf(w lastcall.Work) []attribute.KeyValue {
	labels := []attribute.KeyValue{
		attribute.String("lastcall.server", w.Server),
		attribute.String("lastcall.work.type", string(w.Kind)),
		attribute.String("lastcall.work.name", w.Name),
	}
	method, route, hasRoute := strings.Cut(w.Name, " ")
	switch {
	case (w.Kind == lastcall.WorkUnary || w.Kind.IsStream()) && strings.HasPrefix(w.Name, "/"):
		labels = append(labels, attribute.String("rpc.method", w.Name[1:]))
	case w.Kind == lastcall.WorkRequest && hasRoute && strings.HasPrefix(route, "/"):
		labels = append(labels, attribute.String("http.request.method", method), attribute.String("http.route", route))
	}
	return labels
}

func with(attrs ...attribute.KeyValue) metric.ObserveOption {
	return metric.WithAttributes(attrs...)
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}
