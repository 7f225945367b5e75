package report

import (
	"encoding/json"
	"time"

	"github.com/lastcall-go/lastcall"

	"github.com/lastcall-go/lastcall/fsm"
)

// Version is the version of a report's JSON, in its key "version". It is raised for a new kind,
// result, outcome, state or phase, which a reader of the version before refuses, and when such
// a reader would misread the rest. A new key does not raise it.
const Version = 1

type jsonReport struct {
	Version    int         `json:"version"`
	Outcome    string      `json:"outcome"`
	ExitCode   int         `json:"exit_code"`
	Error      string      `json:"error,omitempty"`
	Cause      string      `json:"cause"`
	Forced     bool        `json:"forced"`
	Suspended  float64     `json:"suspended_seconds,omitempty"`
	Settle     SettleEnd   `json:"settle"`
	Path       []fsm.State `json:"path"`
	Budget     jsonBudget  `json:"budget"`
	Begun      time.Time   `json:"begun"`
	Triggered  time.Time   `json:"triggered"`
	Timer      time.Time   `json:"timer"`
	Deadline   time.Time   `json:"deadline"`
	Ended      time.Time   `json:"ended"`
	Took       float64     `json:"took_seconds"`
	Abandoned  []string    `json:"abandoned"`
	Work       []jsonWork  `json:"work"`
	Notes      []Note      `json:"notes"`
	Idle       []Note      `json:"idle_peers,omitempty"`
	Stacks     []Stack     `json:"stacks,omitempty"`
	Steps      []jsonStep  `json:"steps"`
	Deliveries []Delivery  `json:"deliveries"`
}

type jsonBudget struct {
	Total   float64 `json:"total_seconds"`
	Settle  float64 `json:"settle_seconds"`
	Quiet   float64 `json:"quiet_seconds"`
	Least   float64 `json:"min_settle_seconds"`
	Reserve float64 `json:"reserve_seconds"`
}

// jsonStep is a Step as JSON has it.
type jsonStep struct {
	Kind      Kind           `json:"kind"`
	Name      string         `json:"name"`
	Op        Op             `json:"op,omitempty"`
	State     fsm.State      `json:"state"`
	Phase     lastcall.Phase `json:"phase"`
	Event     *fsm.Event     `json:"event,omitempty"`
	Start     time.Time      `json:"start"`
	Elapsed   float64        `json:"elapsed_seconds"`
	Remaining float64        `json:"remaining_seconds"`
	Duration  float64        `json:"duration_seconds"`
	Result    string         `json:"result,omitempty"`
	Text      string         `json:"text,omitempty"`
	Error     string         `json:"error,omitempty"`
	Stack     string         `json:"stack,omitempty"`
	Abandoned bool           `json:"abandoned,omitempty"`
	Stacks    []Stack        `json:"stacks,omitempty"`
}

func jsonStepOf(s Step) jsonStep {
	j := jsonStep{
		Kind: s.Kind, Name: s.Name, Op: s.Op, State: s.State, Phase: s.Phase, Start: s.Start,
		Elapsed: s.Elapsed.Seconds(), Remaining: s.Remaining.Seconds(), Duration: s.Duration.Seconds(),
		Error: s.Text, Stack: s.Stack, Abandoned: s.Abandoned, Stacks: s.Stacks,
	}
	if s.Kind == KindTransition {
		j.Event = &s.Transition.Event
	}
	if s.Kind == KindRequest {
		j.Text, j.Error = s.Text, ""
	}
	if s.Kind == KindCall {
		j.Result = s.Result.String()
	}
	return j
}

// MarshalJSON writes the whole report. Durations are numbers of seconds, instants
// are RFC 3339, errors are their texts. docs/report.schema.json has the keys. Keys may be
// added, and will not be renamed without a new major version.
func (r Report) MarshalJSON() ([]byte, error) {
	steps := []jsonStep{}
	for _, s := range r.Steps {
		steps = append(steps, jsonStepOf(s))
	}
	return json.Marshal(r.json(steps))
}

// json returns the report as JSON has it, with these steps.
func (r Report) json(steps []jsonStep) jsonReport {
	out := jsonReport{
		Version: Version,
		Outcome: "none", ExitCode: r.ExitCode(), Cause: r.CauseText, Forced: r.Forced, Suspended: r.Suspended.Seconds(), Settle: r.Settle, Path: r.Path,
		Budget: jsonBudget{r.Budget.Total.Seconds(), r.Budget.Settle.Seconds(), r.Budget.Quiet.Seconds(), r.Budget.MinSettle.Seconds(), r.Budget.Reserve.Seconds()},
		Begun:  r.Begun, Triggered: r.Triggered, Timer: r.Timer, Deadline: r.Deadline, Ended: r.Ended, Took: r.Took().Seconds(),
		Abandoned: []string{}, Work: jsonWorkOf(r.Work), Notes: append([]Note{}, r.Notes...), Idle: r.Idle, Stacks: r.Stacks, Steps: steps, Deliveries: append([]Delivery{}, r.Deliveries...),
	}
	if out.Path == nil {
		out.Path = []fsm.State{}
	}
	if r.Outcome != 0 {
		out.Outcome = r.Outcome.String()
	}
	if err := r.Err(); err != nil {
		out.Error = err.Error()
	}
	for _, s := range r.Abandoned() {
		out.Abandoned = append(out.Abandoned, s.Subject())
	}
	return out
}

// jsonWork is a Work as JSON has it.
type jsonWork struct {
	Server    string            `json:"server"`
	Name      string            `json:"name"`
	Kind      lastcall.WorkKind `json:"kind"`
	Running   int               `json:"running"`
	Oldest    string            `json:"oldest,omitempty"`
	Peer      string            `json:"peer,omitempty"`
	Path      string            `json:"path,omitempty"`
	Served    int               `json:"served"`
	Before    int               `json:"before"`
	Arrived   int               `json:"arrived"`
	Late      int               `json:"late"`
	Completed int               `json:"completed"`
	Cancelled int               `json:"cancelled"`
	Cut       int               `json:"cut"`
	Slowest   []jsonEnded       `json:"slowest,omitempty"`
}

type jsonEnded struct {
	Began string `json:"began"`
	Ended string `json:"ended"`
	Fate  string `json:"fate"`
}

// jsonInstant returns an instant of a server's as text, because time.Time refuses to marshal
// some of those that it may return.
func jsonInstant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func jsonWorkOf(all []lastcall.Work) []jsonWork {
	out := []jsonWork{}
	for _, w := range all {
		oldest := ""
		if !w.Oldest.IsZero() {
			oldest = jsonInstant(w.Oldest)
		}
		var slowest []jsonEnded
		for _, e := range w.Slowest {
			if !e.Ended.IsZero() {
				slowest = append(slowest, jsonEnded{jsonInstant(e.Began), jsonInstant(e.Ended), e.Fate})
			}
		}
		out = append(out, jsonWork{
			Server: w.Server, Name: w.Name, Kind: w.Kind, Running: w.Running, Oldest: oldest, Peer: w.Peer, Path: w.Path,
			Served: w.Served, Before: w.Before, Arrived: w.Arrived, Late: w.Late, Completed: w.Completed, Cancelled: w.Cancelled, Cut: w.Cut,
			Slowest: slowest,
		})
	}
	return out
}
