package examples_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/promadapter"
)

// history is what a Prometheus has of one process.
type history struct {
	reg    *prometheus.Registry
	series map[uint64]labels.Labels
	points map[uint64][]chunks.Sample
	last   map[uint64]bool // what the last scrape had
}

type point struct {
	chunks.Sample // that is not a histogram
	at            int64
	v             float64
}

func (p point) ST() int64                { return 0 }
func (p point) T() int64                 { return p.at }
func (p point) F() float64               { return p.v }
func (p point) Type() chunkenc.ValueType { return chunkenc.ValFloat }

// scrape takes in what the process tells now. What it does not tell any more is stale.
func (s *history) scrape(t *testing.T, gone bool) {
	t.Helper()
	now := time.Now().UnixMilli()
	seen := map[uint64]bool{}
	if !gone {
		families, err := s.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				b := labels.NewBuilder(labels.FromStrings(model.MetricNameLabel, f.GetName(), "job", "orders", "instance", "10.0.0.1:9090"))
				for _, l := range m.GetLabel() {
					b.Set(l.GetName(), l.GetValue())
				}
				set, v := b.Labels(), m.GetCounter().GetValue()+m.GetGauge().GetValue()
				id := set.Hash()
				seen[id], s.series[id] = true, set
				s.points[id] = append(s.points[id], point{nil, now, v})
			}
		}
	}
	for id := range s.last {
		if !seen[id] {
			s.points[id] = append(s.points[id], point{nil, now, math.Float64frombits(value.StaleNaN)})
		}
	}
	s.last = seen
}

func (s *history) find(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found []storage.Series
	for id, set := range s.series {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(set.Get(m.Name)) }) {
			found = append(found, storage.NewListSeries(set, s.points[id]))
		}
	}
	return &seriesSet{found, -1}
}

type seriesSet struct {
	all []storage.Series
	at  int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.all) }
func (s *seriesSet) At() storage.Series                { return s.all[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// The alerts fire where something is wrong, and only there: Prometheus' engine evaluates them,
// each 15 s, upon what it would have of real controllers.
func TestAlertsFire(t *testing.T) {
	groups, errs := rulefmt.ParseFile("../promadapter/rules.yml", false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.Default())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	defer engine.Close()
	never := func(hang chan struct{}) controller.Option {
		g := drain.New()
		if err := g.Watcher().Go(t.Context(), "mail", func(context.Context) { <-hang }); err != nil {
			t.Fatal(err)
		}
		return controller.WithServer("tasks", g)
	}
	for name, tt := range map[string]struct {
		add   func(hang chan struct{}) controller.Option
		fires []string
	}{
		"all well":            {func(chan struct{}) controller.Option { return controller.WithServer("tasks", drain.New()) }, nil},
		"a task that is deaf": {never, []string{"LastcallCallFailed", "LastcallDrainNearTimer", "LastcallForcedStop", "LastcallWorkLost"}},
		"a task that ends late": {func(chan struct{}) controller.Option {
			g := drain.New()
			if err := g.Watcher().Go(t.Context(), "mail", func(ctx context.Context) { <-ctx.Done() }); err != nil {
				t.Fatal(err)
			}
			return controller.WithServer("tasks", g)
		}, []string{"LastcallDrainNearTimer", "LastcallForcedStop"}},
		"a closer that fails": {func(chan struct{}) controller.Option {
			return controller.WithCloser("db", func() error { return errors.New("disk full") })
		}, []string{"LastcallCallFailed"}},
		"never ready": {func(hang chan struct{}) controller.Option {
			return controller.WithServer("tasks", drain.New(), controller.ServedElsewhere(hang))
		}, []string{"LastcallNotReady"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang := make(chan struct{})
				defer close(hang)
				m := promadapter.New()
				s := &history{prometheus.NewPedanticRegistry(), map[uint64]labels.Labels{}, map[uint64][]chunks.Sample{}, nil}
				s.reg.MustRegister(m)
				c, err := controller.New(lastcall.Budget{Total: 5 * time.Minute, Reserve: 2 * time.Minute}, controller.WithSignals(), controller.WithoutStderr(),
					m.Option(), tt.add(hang), controller.WithFlusher("last scrape", m.LastScrape(15*time.Second)))
				if err != nil {
					t.Fatal(err)
				}
				over := make(chan struct{})
				go func() { defer close(over); c.Run(context.Background()) }()
				time.AfterFunc(10*time.Minute, func() { c.Shutdown(nil) })
				fired, since := map[string]bool{}, map[string]time.Time{}
				gone := false
				for range 100 { // 25 minutes
					time.Sleep(15 * time.Second)
					synctest.Wait()
					select {
					case <-over:
						gone = true
					default:
					}
					s.scrape(t, gone)
					for _, r := range groups.Groups[0].Rules {
						q, err := engine.NewInstantQuery(t.Context(), &storage.MockQueryable{MockQuerier: &storage.MockQuerier{SelectMockFunction: s.find}}, nil, r.Expr, time.Now())
						if err != nil {
							t.Fatal(err)
						}
						found, err := q.Exec(t.Context()).Vector()
						if err != nil {
							t.Fatalf("%s: %v", r.Alert, err)
						}
						if len(found) == 0 {
							delete(since, r.Alert)
							continue
						}
						if _, before := since[r.Alert]; !before {
							since[r.Alert] = time.Now()
						}
						fired[r.Alert] = fired[r.Alert] || time.Since(since[r.Alert]) >= time.Duration(r.For)
					}
				}
				if !gone || len(since) > 0 {
					t.Errorf("the process has ended: %v; and still %v", gone, since)
				}
				if got := slices.Sorted(maps.Keys(fired)); !slices.Equal(slices.DeleteFunc(got, func(a string) bool { return !fired[a] }), tt.fires) {
					t.Errorf("fired: %q, want %q", got, tt.fires)
				}
			})
		})
	}
}
