package numbers

import (
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

// Kind is what the values of a metric are.
type Kind uint8

// The kinds of metrics.
const (
	Counter Kind = iota + 1 // never falls
	UpDown                  // of several processes they add up
	Gauge                   // they do not
)

// Metric is a number, or one for each of its labels' values.
type Metric struct {
	ID     string // what Prometheus calls it, without lastcall_
	OTel   string // what OpenTelemetry calls it, without lastcall.; "" if it does not have it
	Kind   Kind
	Unit   string // in UCUM, with annotations for what is counted
	Help   string
	Labels []string
}

// Metrics returns all metrics. docs/metrics.md has them in tables, which tests compare.
func Metrics() []Metric {
	const work, calls, flag, seconds = "{work}", "{call}", "1", "s"
	series := []string{"server", "type", "method"}
	return []Metric{
		{"work_begun_total", "work.begun", Counter, work, "Pieces of work that have begun: RPCs, requests, connections, tasks.", series[:1]},
		{"work_ended_total", "work.ended", Counter, work, "Pieces of work that have ended, or that the shutdown has given up (abandoned).", append(series[:3:3], "outcome")},
		{"work_in_flight", "work.in_flight", UpDown, work, "Pieces of work in flight.", series},
		{"work_at_trigger", "work.at_trigger", UpDown, work, "Pieces of work that were in flight when the shutdown began.", series},
		{"work_late_total", "work.late", Counter, work, "Pieces of work that began after the drain had.", series},
		{"server_calls", "server.calls", UpDown, calls, "Calls of a server into other code that have not returned.", []string{"server", "call"}},
		{"ready", "ready", UpDown, flag, "Whether traffic should come: 1 or 0.", nil},
		{"state", "state", UpDown, flag, "The state of the machine: 1 for the one that it is in.", []string{"state"}},
		{"phase", "phase", UpDown, flag, "What the controller is doing: 1 for the phase that it is in.", []string{"phase"}},
		{"phase_start_timestamp_seconds", "", Gauge, seconds, "When a phase began.", []string{"phase"}},
		{"phase_duration_seconds", "phase.duration", Gauge, seconds, "How long a phase took, or has taken so far.", []string{"phase"}},
		{"shutdown_start_timestamp_seconds", "shutdown.start_time", Gauge, seconds, "When the shutdown was triggered, in Unix time.", nil},
		{"shutdown_timer_timestamp_seconds", "", Gauge, seconds, "When the timer fires, or has fired.", nil},
		{"shutdown_remaining_seconds", "shutdown.remaining", Gauge, seconds, "Time left until the deadline of the shutdown.", nil},
		{"forced_stops_total", "shutdown.forced_stops", Counter, calls, "Calls of Stop on servers that the drain did not end.", nil},
		{"calls_total", "calls", Counter, calls, "Calls of the controller into user code that are over, or late.", []string{"op", "result"}},
		{"shutdown_exit_code", "shutdown.exit_code", Gauge, flag, "The exit code, as far as it is known before the flushers run.", nil},
		{"shutdown_outcome", "shutdown.outcome", UpDown, flag, "How the work in flight ended: 1 for the outcome.", []string{"outcome"}},
	}
}

// Each calls send for every value, with the ID of its metric and the values of its labels.
// Instants are in Unix time, to the microsecond.
func (r *Reading) Each(send func(id string, value float64, labels ...string)) {
	for server, n := range r.Begun {
		send("work_begun_total", float64(n), server)
	}
	for _, w := range r.Work {
		series := []string{w.Server, string(w.Kind), w.Name}
		for outcome, n := range map[string]int{"completed": w.Ended(), "cancelled": w.Cancelled, "cut": w.Cut, "abandoned": w.Abandoned} {
			send("work_ended_total", float64(n), append(series[:3:3], outcome)...)
		}
		send("work_in_flight", float64(w.Running), series...)
		send("work_at_trigger", float64(w.Before), series...)
		send("work_late_total", float64(w.Late), series...)
	}
	for _, w := range r.Held {
		send("server_calls", float64(w.Running), w.Server, w.Name)
	}
	send("ready", one(r.Ready))
	for _, s := range []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.TimerExpired, fsm.Terminated} {
		send("state", one(s == r.State), s.String())
	}
	for p := lastcall.PhaseStart; p <= lastcall.PhaseFlush; p++ {
		send("phase", one(p == r.Phase), p.String())
	}
	for _, p := range r.Phases {
		send("phase_start_timestamp_seconds", timestamp(p.Start), p.Phase.String())
		send("phase_duration_seconds", p.Duration.Seconds(), p.Phase.String())
	}
	if !r.Triggered.IsZero() {
		send("shutdown_start_timestamp_seconds", timestamp(r.Triggered))
		send("shutdown_timer_timestamp_seconds", timestamp(r.Timer))
		send("shutdown_remaining_seconds", max(0, r.Deadline.Sub(r.At)).Seconds())
	}
	send("forced_stops_total", float64(r.ForcedStops))
	for c, n := range r.Calls {
		send("calls_total", float64(n), string(c.Op), c.Result.String())
	}
	if r.Summary == nil {
		return
	}
	send("shutdown_exit_code", float64(r.Summary.ExitCode()))
	for o := report.OutcomeDrained; o <= report.OutcomeIdle; o++ {
		send("shutdown_outcome", one(o == r.Summary.Outcome), o.String())
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func timestamp(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
