package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lastcall-go/lastcall/promadapter"
)

// newMetrics returns the metrics of the shutdown and of the work in flight, and a page for
// Prometheus with them and the length of the worker's queue.
func newMetrics(guests *guestBook) (*promadapter.Metrics, http.Handler, error) {
	m := promadapter.New()
	reg := prometheus.NewRegistry()
	if err := reg.Register(m); err != nil {
		return nil, nil, err
	}
	return m, promhttp.HandlerFor(reg, promhttp.HandlerOpts{}), reg.Register(queue{
		guests:  guests,
		waiting: prometheus.NewDesc("unthanked", "Guests who wait for their thanks.", nil, nil),
	})
}

// queue is the length of the worker's queue. The guest book closes before the admin
// server does; from then on there is none.
type queue struct {
	guests  *guestBook
	waiting *prometheus.Desc
}

func (q queue) Describe(to chan<- *prometheus.Desc) { to <- q.waiting }

func (q queue) Collect(to chan<- prometheus.Metric) {
	if n, err := q.guests.waiting(); err == nil {
		to <- prometheus.MustNewConstMetric(q.waiting, prometheus.GaugeValue, float64(n))
	}
}
