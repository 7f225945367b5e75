package promadapter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/internal/numbers"
	"github.com/lastcall-go/lastcall/report"
)

// metric is a description with the type of its values.
type metric struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc("lastcall_"+name, help, labels, nil), prometheus.GaugeValue}
}

func counter(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc("lastcall_"+name, help, labels, nil), prometheus.CounterValue}
}

// The metrics. docs/metrics.md has them in a table, which a test compares.
func all() map[string]metric {
	m := map[string]metric{}
	add := func(id string, one metric) { m[id] = one }
	add("begun", counter("work_begun_total", "Pieces of work that have begun: RPCs, requests, connections, tasks.", "server"))
	add("ended", counter("work_ended_total", "Pieces of work that have ended, or that the shutdown has given up (abandoned).", "server", "type", "method", "outcome"))
	add("flight", gauge("work_in_flight", "Pieces of work in flight.", "server", "type", "method"))
	add("trigger", gauge("work_at_trigger", "Pieces of work that were in flight when the shutdown began.", "server", "type", "method"))
	add("late", counter("work_late_total", "Pieces of work that began after the drain had.", "server", "type", "method"))
	add("calls", gauge("server_calls", "Calls of a server into other code that have not returned.", "server", "call"))
	add("ready", gauge("ready", "Whether traffic should come: 1 or 0."))
	add("state", gauge("state", "The state of the machine: 1 for the one that it is in.", "state"))
	add("phase", gauge("phase", "What the controller is doing: 1 for the phase that it is in.", "phase"))
	add("phaseStart", gauge("phase_start_timestamp_seconds", "When a phase began.", "phase"))
	add("phaseTime", gauge("phase_duration_seconds", "How long a phase took, or has taken so far.", "phase"))
	add("start", gauge("shutdown_start_timestamp_seconds", "When the shutdown was triggered."))
	add("timer", gauge("shutdown_timer_timestamp_seconds", "When the timer fires, or has fired."))
	add("remaining", gauge("shutdown_remaining_seconds", "Time left until the deadline of the shutdown."))
	add("stops", counter("forced_stops_total", "Calls of Stop on servers that the drain did not end."))
	add("done", counter("calls_total", "Calls of the controller into user code that are over, or late.", "op", "result"))
	add("exit", gauge("shutdown_exit_code", "The exit code, as far as it is known before the flushers run."))
	add("outcome", gauge("shutdown_outcome", "How the work in flight ended: 1 for the outcome.", "outcome"))
	return m
}

// collect sends the metrics of a reading.
func (m *Metrics) collect(r numbers.Reading, to chan<- prometheus.Metric) {
	send := func(id string, value float64, labels ...string) {
		d := m.metrics[id]
		to <- prometheus.MustNewConstMetric(d.Desc, d.kind, value, labels...)
	}
	one := func(yes bool) float64 {
		if yes {
			return 1
		}
		return 0
	}
	for server, n := range r.Begun {
		send("begun", float64(n), server)
	}
	for _, w := range r.Work {
		series := []string{w.Server, string(w.Kind), w.Name}
		for outcome, n := range map[string]int{"completed": w.Ended(), "cancelled": w.Cancelled, "cut": w.Cut, "abandoned": w.Abandoned} {
			send("ended", float64(n), append(series[:3:3], outcome)...)
		}
		send("flight", float64(w.Running), series...)
		send("trigger", float64(w.Before), series...)
		send("late", float64(w.Late), series...)
	}
	for _, w := range r.Held {
		send("calls", float64(w.Running), w.Server, w.Name)
	}
	send("ready", one(r.Ready))
	for _, s := range []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.TimerExpired, fsm.Terminated} {
		send("state", one(s == r.State), s.String())
	}
	for p := lastcall.PhaseStart; p <= lastcall.PhaseFlush; p++ {
		send("phase", one(p == r.Phase), p.String())
	}
	for _, p := range r.Phases {
		send("phaseStart", timestamp(p.Start), p.Phase.String())
		send("phaseTime", p.Duration.Seconds(), p.Phase.String())
	}
	if !r.Triggered.IsZero() {
		send("start", timestamp(r.Triggered))
		send("timer", timestamp(r.Timer))
		send("remaining", max(0, r.Deadline.Sub(r.At)).Seconds())
	}
	send("stops", float64(r.ForcedStops))
	for c, n := range r.Calls {
		send("done", float64(n), string(c.Op), c.Result.String())
	}
	if r.Summary == nil {
		return
	}
	send("exit", float64(r.Summary.ExitCode()))
	for o := report.OutcomeDrained; o <= report.OutcomeIdle; o++ {
		send("outcome", one(o == r.Summary.Outcome), o.String())
	}
}

// timestamp returns an instant as Prometheus has it, to the microsecond.
func timestamp(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
