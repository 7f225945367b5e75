package oteladapter_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/oteladapter"
	"github.com/lastcall-go/lastcall/report"
)

// collected are the values of metrics, by name and attributes, and what they are.
type collected struct {
	values map[string]float64
	kinds  map[string]string // "counter {work}" and the attributes' names
}

func points[N int64 | float64](c *collected, name string, all []metricdata.DataPoint[N]) (keys []string) {
	for _, p := range all {
		var attrs []string
		for _, a := range p.Attributes.ToSlice() {
			attrs = append(attrs, fmt.Sprintf("%s=%s", a.Key, a.Value.String()))
			if key := string(a.Key); !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
		c.values[name+"{"+strings.Join(attrs, ",")+"}"] = float64(p.Value)
	}
	return keys
}

func collect(t *testing.T, r *sdkmetric.ManualReader) collected {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := r.Collect(context.Background(), &data); err != nil {
		t.Fatal(err)
	}
	c := collected{map[string]float64{}, map[string]string{}}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			var keys []string
			kind := ""
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				if kind = "updowncounter"; d.IsMonotonic {
					kind = "counter"
				}
				keys = points(&c, m.Name, d.DataPoints)
			case metricdata.Gauge[float64]:
				kind, keys = "gauge", points(&c, m.Name, d.DataPoints)
			}
			slices.Sort(keys)
			c.kinds[m.Name] = fmt.Sprintf("%s %s %s", kind, m.Unit, strings.Join(keys, ","))
		}
	}
	return c
}

func (c collected) want(t *testing.T, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		if got, ok := c.values[name]; !ok || got != v {
			t.Errorf("%s is %v (there: %v), want %v", name, got, ok, v)
		}
	}
}

// The numbers in service, and in the shutdown; docs/metrics.md lists them all.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		o := oteladapter.New(oteladapter.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
		background := drain.New()
		ctl, err := controller.New(budget, o.Option(), controller.WithSignals(), controller.WithServer("tasks", background))
		if err != nil {
			t.Fatal(err)
		}
		run := make(chan report.Report, 1)
		go func() { run <- ctl.Run(context.Background()) }()
		<-ctl.Serving()
		defer time.Sleep(2 * time.Hour) // until the deaf one has ended
		over := make(chan struct{})
		mail := func(until <-chan struct{}) {
			if err := background.Watcher().Go(context.Background(), "mail", func(ctx context.Context) {
				select {
				case <-until:
				case <-ctx.Done():
				}
			}); err != nil {
				t.Error(err)
			}
		}
		mail(over)
		close(over)
		mail(nil)
		if err := background.Watcher().Go(context.Background(), "deaf", func(context.Context) { time.Sleep(time.Hour) }); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		const attrs = "{lastcall.server=tasks,lastcall.work.name=mail,lastcall.work.type=task"
		const ended = "lastcall.work.ended{lastcall.server=tasks,lastcall.work.name=mail,lastcall.work.outcome=%s,lastcall.work.type=task}"
		collect(t, reader).want(t, map[string]float64{
			"lastcall.ready{}": 1, "lastcall.work.begun{lastcall.server=tasks}": 3, "lastcall.work.in_flight" + attrs + "}": 1,
			fmt.Sprintf(ended, "completed"): 1, "lastcall.phase{lastcall.phase=serve}": 1,
		})
		ctl.Shutdown(errors.New("asked for"))
		time.Sleep(5 * time.Second)
		collect(t, reader).want(t, map[string]float64{
			"lastcall.ready{}": 0, "lastcall.state{lastcall.state=GRACEFUL_SHUTDOWN}": 1, "lastcall.shutdown.remaining{}": 15,
			"lastcall.work.at_trigger" + attrs + "}": 1, "lastcall.phase.duration{lastcall.phase=settle}": 2,
		})
		r := <-run
		last := collect(t, reader)
		last.want(t, map[string]float64{
			fmt.Sprintf(ended, "cancelled"): 1, "lastcall.work.in_flight" + attrs + "}": 0, "lastcall.shutdown.forced_stops{}": 1,
			"lastcall.work.ended{lastcall.server=tasks,lastcall.work.name=deaf,lastcall.work.outcome=abandoned,lastcall.work.type=task}": 1,
			"lastcall.shutdown.exit_code{}": float64(r.ExitCode()), "lastcall.shutdown.outcome{lastcall.shutdown.outcome=abandoned}": 1,
			"lastcall.shutdown.outcome{lastcall.shutdown.outcome=expired: idle peers}": 0,
		})
		compare(t, last)
	})
}

// compare checks the table of docs/metrics.md.
func compare(t *testing.T, got collected) {
	t.Helper()
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(lastcall\\.[\\w.]+)` \\| (\\w+) \\| `([^`]+)` \\| ([^|]*) \\|").FindAllStringSubmatch(string(page), -1) {
		labels := strings.Fields(strings.NewReplacer("`", "", ",", "").Replace(row[4]))
		slices.Sort(labels)
		documented[row[1]] = row[2] + " " + row[3] + " " + strings.Join(labels, ",")
	}
	for name, kind := range got.kinds {
		if documented[name] != kind {
			t.Errorf("docs/metrics.md has %s as %q, and it is %q", name, documented[name], kind)
		}
		delete(documented, name)
	}
	delete(documented, "lastcall.server.calls") // nothing hangs here
	if len(documented) > 0 {
		t.Errorf("docs/metrics.md lists what does not exist: %v", documented)
	}
}
