// Package promadapter tells Prometheus what a server is doing, in service and while it
// shuts down: [Metrics] is a prometheus.Collector.
//
//	m := promadapter.New()
//	ctl, err := controller.New(budget,
//		m.Option(),
//		controller.WithServer("grpc", g),
//		controller.WithServer("admin", admin.New(lis, admin.Handle("GET /metrics", promhttp.Handler()))),
//		controller.WithFlusher("last scrape", m.LastScrape(15*time.Second)),
//	)
//	prometheus.MustRegister(m)
//
// It opens no port and costs a request nothing: servers count anyway, and are asked when
// Prometheus asks. docs/metrics.md lists the metrics; rules.yml and dashboard.json beside
// this file are alerts and a dashboard for them.
package promadapter

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/numbers"
	"github.com/lastcall-go/lastcall/report"
)

// Metrics are the metrics of one controller. Make one with [New]. Its methods may be
// called by any number of goroutines.
type Metrics struct {
	numbers numbers.Numbers
	metrics map[string]metric // by numbers.Metric.ID; they do not change

	mu      sync.Mutex
	errs    []error       // what LastScrape was given
	served  bool          // a server has served, or the process was ready
	summed  bool          // the summary was observed
	scraped chan struct{} // closed when a scrape that began after that is over
}

// New returns Metrics for a controller that is given their Option.
func New() *Metrics {
	m := &Metrics{metrics: map[string]metric{}, scraped: make(chan struct{})}
	for _, one := range numbers.Metrics() {
		kind := prometheus.GaugeValue
		if one.Kind == numbers.Counter {
			kind = prometheus.CounterValue
		}
		m.metrics[one.ID] = metric{prometheus.NewDesc("lastcall_"+one.ID, one.Help, one.Labels, nil), kind}
	}
	return m
}

// metric is a description with the type of its values.
type metric struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

// Option gives the metrics to a controller, as an observer with the name "prometheus". To
// give it to a second controller is an error from controller.New.
func (m *Metrics) Option() controller.Option {
	return controller.WithMonitor("prometheus", (*monitor)(m))
}

// monitor keeps what the controller calls out of the way of users.
type monitor Metrics

func (m *monitor) Attach(c *controller.Controller) error {
	if m.metrics == nil {
		return errors.New("promadapter: Metrics that New did not make")
	}
	m.mu.Lock()
	err := errors.Join(m.errs...)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.numbers.Attach("promadapter", c)
}

func (m *monitor) Observe(s report.Step) {
	m.numbers.Observe(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.served = m.served || s.Op == report.OpServe || s.Phase == lastcall.PhaseServe
	m.summed = m.summed || s.Kind == report.KindSummary
}

// Describe sends the descriptions of all metrics.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range m.metrics {
		to <- d.Desc
	}
}

// Collect sends the metrics. It blocks for as long as servers need to answer, at most 10 ms.
// Before there is a controller there are none.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	last := m.summed
	m.mu.Unlock()
	if r, ok := m.numbers.Read(); ok {
		r.Each(func(id string, value float64, labels ...string) {
			d := m.metrics[id]
			to <- prometheus.MustNewConstMetric(d.Desc, d.kind, value, labels...)
		})
	}
	if !last {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.scraped:
	default:
		close(m.scraped)
	}
}

// answerTime is how long a scrape may go on after this collector has given its part: others of
// the registry may take longer, and the answer has to be written. answerPoll is how often that
// is looked at.
const (
	answerTime = time.Second
	answerPoll = 10 * time.Millisecond
)

// LastScrape returns a function for controller.WithFlusher that waits for one more scrape, so
// that Prometheus learns the final numbers: at most for d, which is usually the scrape
// interval, then a second at most until it is answered, and never past nine tenths of the time
// that the flusher has. It is not an error if none comes. With d of 0 or less, and if the
// shutdown came before any server served, it waits for none; less than a microsecond is an error
// from controller.New, if LastScrape is called before.
//
// The scrape has to be answered by a server that is still there: admin.New makes one that
// stops last.
func (m *Metrics) LastScrape(d time.Duration) func(context.Context) error {
	if err := foreign.CheckUnit("promadapter: LastScrape", d); err != nil {
		m.mu.Lock()
		m.errs = append(m.errs, err)
		m.mu.Unlock()
	}
	return func(ctx context.Context) error {
		m.mu.Lock()
		served := m.served
		m.mu.Unlock()
		if d <= 0 || !served {
			return nil
		}
		if end, ok := ctx.Deadline(); ok { // a flusher that takes all its time counts as late
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Until(end)*9/10)
			defer cancel()
		}
		limit := time.NewTimer(d)
		defer limit.Stop()
		select {
		case <-m.scraped:
			m.awaitAnswer(ctx)
		case <-limit.C:
		case <-ctx.Done():
		}
		return nil
	}
}

// awaitAnswer waits until a server that is still there has had a request, which is the scrape,
// and has none.
func (m *Metrics) awaitAnswer(ctx context.Context) {
	limit := time.NewTimer(answerTime)
	defer limit.Stop()
	for seen := false; ; {
		r, _ := m.numbers.Read() // of a server that has no time to answer it has an older answer
		runs := slices.ContainsFunc(r.Work, func(w numbers.Work) bool { return w.Running > 0 })
		if seen && !runs {
			return
		}
		seen = seen || runs
		select {
		case <-time.After(answerPoll):
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
