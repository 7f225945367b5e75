package controller

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/fsm"
)

// String returns a summary of a few lines: outcome, times, path, phases, and
// every failure by name.
func (r Report) String() string {
	if r.Outcome == 0 {
		return r.headline()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, exit code %d\n", r.headline(), r.ExitCode())
	fmt.Fprintf(&b, "  path      %s\n", strings.Join(r.pathNames(), " -> "))
	var phases []string
	for _, s := range r.Steps {
		if s.Kind == KindPhase && s.Phase >= PhaseAnnounce {
			phases = append(phases, s.Name+" "+round(s.Duration)+r.lastIn(s))
		}
	}
	fmt.Fprintf(&b, "  phases    %s\n", strings.Join(phases, ", "))
	for _, s := range r.Failures() {
		fmt.Fprintf(&b, "  failed    %s; begun in phase %v, ", s, s.Phase)
		if s.Start.After(r.Triggered) {
			fmt.Fprintf(&b, "took %s, ", round(s.Duration))
		}
		fmt.Fprintf(&b, "at +%s", round(s.Start.Add(s.Duration).Sub(r.Triggered)))
		if s.Abandoned {
			b.WriteString(", and has not returned")
		}
		b.WriteByte('\n')
	}
	for _, l := range r.Listeners {
		if l.Missed > 0 || l.Failed > 0 || l.Busy {
			fmt.Fprintf(&b, "  listener  %s\n", l)
		}
	}
	return b.String()
}

// lastIn names the server or worker for which phase drain or wait was waiting when
// it ended, if it ended because that came back.
func (r Report) lastIn(phase Step) string {
	if phase.Phase != PhaseDrain && phase.Phase != PhaseWait || phase.Duration == 0 {
		return ""
	}
	last := Step{}
	for _, s := range r.Steps {
		if s.Kind != KindCall || s.Abandoned || s.Op != OpWork && s.Op != OpServe && s.Op != OpGracefulStop {
			continue
		}
		end, phaseEnd := s.Start.Add(s.Duration), phase.Start.Add(phase.Duration)
		if !end.Before(phase.Start) && !end.After(phaseEnd) && (last.Kind == 0 || end.After(last.Start.Add(last.Duration))) {
			last = s
		}
	}
	if last.Kind == 0 || last.Result == ResultTimedOut && phase.Phase == PhaseDrain {
		return ""
	}
	return " (last: " + last.subject() + ")"
}

// headline is the report in one line.
func (r Report) headline() string {
	switch {
	case r.err != nil:
		return r.err.Error()
	case r.Outcome == 0:
		return "controller: no shutdown"
	}
	forced := ""
	if r.Forced {
		forced = ", forced"
	}
	return fmt.Sprintf("shutdown: %v%s in %s of %v (%s)", r.Outcome, forced, round(r.Took()), r.Budget.Total, oneLine(r.CauseText))
}

func (r Report) pathNames() []string {
	var names []string
	for _, s := range r.Path {
		names = append(names, s.String())
	}
	return names
}

// String says it in a few words, for example: observer "metrics" is busy, missed
// 3, failed 0 of 12.
func (d Delivery) String() string {
	name := string(d.Op)
	if d.Name != "" {
		name = fmt.Sprintf("%s %q", d.Op, d.Name)
	}
	busy := ""
	if d.Busy {
		busy = " has not returned,"
	}
	return fmt.Sprintf("%s%s missed %d, failed %d, took %d", name, busy, d.Missed, d.Failed, d.Told)
}

// MarshalJSON writes the whole report. Durations are numbers of seconds, instants
// are RFC 3339, errors are their texts.
func (r Report) MarshalJSON() ([]byte, error) {
	type step struct {
		Kind      Kind       `json:"kind"`
		Name      string     `json:"name"`
		Op        Op         `json:"op,omitempty"`
		State     fsm.State  `json:"state"`
		Phase     Phase      `json:"phase"`
		Event     *fsm.Event `json:"event,omitempty"`
		Start     time.Time  `json:"start"`
		Elapsed   float64    `json:"elapsed_seconds"`
		Remaining float64    `json:"remaining_seconds"`
		Duration  float64    `json:"duration_seconds"`
		Result    string     `json:"result,omitempty"`
		Error     string     `json:"error,omitempty"`
		Stack     string     `json:"stack,omitempty"`
		Abandoned bool       `json:"abandoned,omitempty"`
	}
	type budget struct {
		Total   float64 `json:"total_seconds"`
		Settle  float64 `json:"settle_seconds"`
		Reserve float64 `json:"reserve_seconds"`
	}
	type listener struct {
		Op     Op     `json:"op"`
		Name   string `json:"name,omitempty"`
		Told   int    `json:"told"`
		Failed int    `json:"failed"`
		Missed int    `json:"missed"`
		Busy   bool   `json:"busy"`
	}
	out := struct {
		Outcome   string      `json:"outcome"`
		ExitCode  int         `json:"exit_code"`
		Error     string      `json:"error,omitempty"`
		Cause     string      `json:"cause"`
		Forced    bool        `json:"forced"`
		Path      []fsm.State `json:"path"`
		Budget    budget      `json:"budget"`
		Begun     time.Time   `json:"begun"`
		Triggered time.Time   `json:"triggered"`
		Deadline  time.Time   `json:"deadline"`
		Ended     time.Time   `json:"ended"`
		Took      float64     `json:"took_seconds"`
		Abandoned []string    `json:"abandoned"`
		Steps     []step      `json:"steps"`
		Listeners []listener  `json:"listeners"`
	}{
		Outcome: "none", ExitCode: r.ExitCode(), Cause: r.CauseText, Forced: r.Forced, Path: r.Path,
		Budget: budget{r.Budget.Total.Seconds(), r.Budget.Settle.Seconds(), r.Budget.Reserve.Seconds()},
		Begun:  r.Begun, Triggered: r.Triggered, Deadline: r.Deadline, Ended: r.Ended, Took: r.Took().Seconds(),
		Abandoned: []string{}, Steps: []step{}, Listeners: []listener{},
	}
	if r.Outcome != 0 {
		out.Outcome = r.Outcome.String()
	}
	if err := r.Err(); err != nil {
		out.Error = err.Error()
	}
	for _, s := range r.Abandoned() {
		out.Abandoned = append(out.Abandoned, s.subject())
	}
	for _, s := range r.Steps {
		j := step{
			Kind: s.Kind, Name: s.Name, Op: s.Op, State: s.State, Phase: s.Phase, Start: s.Start,
			Elapsed: s.Elapsed.Seconds(), Remaining: s.Remaining.Seconds(), Duration: s.Duration.Seconds(),
			Error: s.Text, Stack: s.Stack, Abandoned: s.Abandoned,
		}
		if s.Kind == KindTransition {
			j.Event = &s.Transition.Event
		}
		if s.Kind == KindCall {
			j.Result = s.Result.String()
		}
		out.Steps = append(out.Steps, j)
	}
	for _, l := range r.Listeners {
		out.Listeners = append(out.Listeners, listener(l))
	}
	return json.Marshal(out)
}
