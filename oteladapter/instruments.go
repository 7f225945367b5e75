package oteladapter

import (
	"context"
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/numbers"
)

// register makes the instruments, which read n when they are collected. That blocks for as
// long as servers need to answer, at most 10 ms.
func register(meter metric.Meter, n *numbers.Numbers) error {
	type instrument struct {
		metric.Observable
		of numbers.Metric
	}
	made := map[string]instrument{}
	var all []metric.Observable
	var errs []error
	for _, m := range numbers.Metrics() {
		if m.OTel == "" {
			continue
		}
		i, err := instrumentOf(meter, m)
		made[m.ID] = instrument{i, m}
		all, errs = append(all, i), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if r, ok := n.Read(); ok {
			r.Each(func(id string, value float64, labels ...string) {
				set := metric.WithAttributes(attributes(made[id].of, labels)...)
				switch i := made[id].Observable.(type) { // nil: OpenTelemetry does not have it
				case metric.Int64Observable:
					o.ObserveInt64(i, int64(value), set)
				case metric.Float64Observable:
					o.ObserveFloat64(i, value, set)
				}
			})
		}
		return nil
	}, all...)
	return err
}

func instrumentOf(meter metric.Meter, m numbers.Metric) (metric.Observable, error) {
	name, unit, what := "lastcall."+m.OTel, metric.WithUnit(m.Unit), metric.WithDescription(m.Help)
	switch m.Kind {
	case numbers.Counter:
		return meter.Int64ObservableCounter(name, unit, what)
	case numbers.UpDown:
		return meter.Int64ObservableUpDownCounter(name, unit, what)
	default:
		return meter.Float64ObservableGauge(name, unit, what)
	}
}

// attributes returns the labels of a value as attributes. Those of work have in addition those
// of the semantic conventions that say the same, so that it joins with what other
// instrumentation tells.
func attributes(m numbers.Metric, values []string) []attribute.KeyValue {
	var all []attribute.KeyValue
	var kind lastcall.WorkKind
	for i, label := range m.Labels {
		key, value := "lastcall."+label, values[i]
		switch label {
		case "type":
			key, kind = "lastcall.work.type", lastcall.WorkKind(value)
		case "method":
			key = "lastcall.work.name"
			all = append(all, conventional(kind, value)...)
		case "outcome":
			if key = "lastcall.shutdown.outcome"; i > 0 { // of work, behind its other labels
				key = "lastcall.work.outcome"
			}
		case "call":
			key = "lastcall.call.name"
		case "op", "result":
			key = "lastcall.call." + label
		}
		all = append(all, attribute.String(key, value))
	}
	return all
}

func conventional(kind lastcall.WorkKind, name string) []attribute.KeyValue {
	method, route, hasRoute := strings.Cut(name, " ")
	switch {
	case (kind == lastcall.WorkUnary || kind.IsStream()) && strings.HasPrefix(name, "/"):
		return []attribute.KeyValue{attribute.String("rpc.method", name[1:])}
	case kind == lastcall.WorkRequest && hasRoute && strings.HasPrefix(route, "/"):
		return []attribute.KeyValue{attribute.String("http.request.method", method), attribute.String("http.route", route)}
	}
	return nil
}
