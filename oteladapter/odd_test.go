package oteladapter_test

import (
	"errors"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/oteladapter"
)

// kindless is a server that does not say of what kind its work is.
type kindless struct{ *drain.Group }

func (kindless) InFlight() []lastcall.Work {
	return []lastcall.Work{{Name: "w", Running: 1, Served: 2}}
}

// Work without a kind has the attributes of work.
func TestWorkWithoutKind(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	o := oteladapter.New(oteladapter.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	if _, err := controller.New(budget, o.Option(), controller.WithSignals(), controller.WithServer("s", kindless{drain.New()})); err != nil {
		t.Fatal(err)
	}
	collect(t, reader).want(t, map[string]float64{
		"lastcall.work.in_flight{lastcall.server=s,lastcall.work.name=w,lastcall.work.type=}":                             1,
		"lastcall.work.ended{lastcall.server=s,lastcall.work.name=w,lastcall.work.outcome=completed,lastcall.work.type=}": 2,
		"lastcall.work.ended{lastcall.server=s,lastcall.work.name=w,lastcall.work.outcome=abandoned,lastcall.work.type=}": 0,
	})
}

// refusing is a meter that registers no callback.
type refusing struct{ noop.MeterProvider }

var errRefused = errors.New("no callbacks")

func (refusing) Meter(string, ...metric.MeterOption) metric.Meter { return refusingMeter{} }

type refusingMeter struct{ noop.Meter }

func (refusingMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	return nil, errRefused
}

// A meter that refuses is an error each time.
func TestMeterRefuses(t *testing.T) {
	o := oteladapter.New(oteladapter.WithMeterProvider(refusing{}))
	ctl, err := controller.New(budget, controller.WithSignals(), controller.WithServer("s", drain.New()))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := ctl.Add(o.Option()); !errors.Is(err, errRefused) {
			t.Errorf("Add returned %v", err)
		}
	}
}
