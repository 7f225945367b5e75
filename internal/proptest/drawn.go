package proptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/report/draw"
	"github.com/lastcall-go/lastcall/viz"
)

// DrawnTruly checks that the report is read back from its JSON as it was, and that its drawings tell what
// it tells.
func DrawnTruly(r *Run) error {
	if !r.sampled() {
		return nil
	}
	return TrueDrawings(r.Report)
}

// sampled chooses a tenth of the runs: to draw and read a report takes as long as the run.
func (r *Run) sampled() bool { return len(r.Report.Steps)%10 == 0 }

// RecordedTruly checks that the lines of Steps that an observer writes come to the report, as far as
// they go: up to the summary and the flushers, if the observer heard of them.
func RecordedTruly(r *Run) error {
	if !r.sampled() {
		return nil
	}
	var file bytes.Buffer
	lines := report.NewRecorder(&file, 1<<30)
	summed := false
	for _, h := range r.heard {
		lines.Observe(h.Step)
		summed = summed || h.Step.Kind == report.KindSummary
	}
	if err := lines.Err(); err != nil || !summed {
		return err
	}
	got, err := report.ReadRecord(&file)
	switch want := r.Report; {
	case err != nil:
		return err
	case !slices.Equal(got.Path, want.Path):
		return fmt.Errorf("the lines have the path %v, the report %v", got.Path, want.Path)
	case got.Outcome != want.Outcome || got.Forced && !want.Forced || got.CauseText != want.CauseText:
		return fmt.Errorf("the lines have %v, %v, %q, the report %v, %v, %q", got.Outcome, got.Forced, got.CauseText, want.Outcome, want.Forced, want.CauseText)
	case got.Ended.After(want.Ended):
		return fmt.Errorf("the lines end at %v, the report at %v", got.Ended, want.Ended)
	}
	return TrueDrawings(got)
}

// TrueDrawings returns in what the drawings of a report, or its JSON, differ from it.
func TrueDrawings(r report.Report) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var back report.Report
	if err := json.Unmarshal(text, &back); err != nil {
		return err
	}
	if again, err := json.Marshal(back); err != nil || !bytes.Equal(text, again) {
		return errors.Join(err, fmt.Errorf("read from JSON and written again:\n%s\nwas\n%s", again, text))
	}
	for _, check := range []func(report.Report) error{trueSequence, trueGantt, truePath} {
		if err := check(back); err != nil {
			return err
		}
	}
	return nil
}

func unescape(text string) string {
	return regexp.MustCompile(`#(\d+);`).ReplaceAllStringFunc(text, func(code string) string {
		n, _ := strconv.Atoi(code[1 : len(code)-1])
		return string(rune(n))
	})
}

// plus returns an instant as drawings show it.
func plus(r report.Report, t time.Time) string {
	d := t.Sub(r.Triggered).Round(time.Microsecond)
	text := strings.TrimRight(strings.TrimRight(fmt.Sprintf("%d.%06d", d/time.Millisecond, d%time.Millisecond), "0"), ".")
	return "+" + text + " ms"
}

// said is a message or a note: who is concerned, and what it says.
type said struct{ who, arrow, text string }

func trueSequence(r report.Report) error {
	text, err := draw.Sequence(r)
	if err != nil || len(text) >= draw.MaxLength {
		return errors.Join(err, fmt.Errorf("sequence: %d characters", len(text)))
	}
	arrows := regexp.MustCompile(`^    (P\d+)(->>|-->>|-x|--x)(P\d+): (.*)$`)
	noted := regexp.MustCompile(`^    Note over (P\d+): (.*)$`)
	named := regexp.MustCompile(`^    participant (P\d+) as (.*)$`)
	timed := regexp.MustCompile(`^(?:by )?\+([0-9.]+) ms`)
	names := make(map[string]string)
	var all []said
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n")[1:] {
		if m := named.FindStringSubmatch(line); m != nil {
			names[m[1]] = unescape(m[2])
		} else if m := arrows.FindStringSubmatch(line); m != nil {
			who := names[m[1]]
			if who == "lastcall" {
				who = names[m[3]]
			}
			all = append(all, said{who, m[2], unescape(m[4])})
		} else if m := noted.FindStringSubmatch(line); m != nil {
			all = append(all, said{names[m[1]], "", unescape(m[2])})
		} else {
			return fmt.Errorf("sequence: the line %q is not known", line)
		}
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("sequence: %s in\n%s", fmt.Sprintf(format, args...), text)
	}
	last := 0.0
	for _, s := range all {
		if m := timed.FindStringSubmatch(s.text); m != nil {
			at, _ := strconv.ParseFloat(m[1], 64)
			if at < last {
				return wrong("%q stands behind %v ms", s.text, last)
			}
			last = at
		}
	}
	end := all[len(all)-1].text
	if want := fmt.Sprintf("%s %v, exit code %d, deadline %s", plus(r, r.Ended), r.Outcome, r.ExitCode(), plus(r, r.Deadline)); r.Outcome != 0 && end != want {
		return wrong("the end is %q, want %q", end, want)
	}
	if want := plus(r, r.Triggered) + " "; !strings.HasPrefix(all[0].text, want) || all[0].who != "Trigger" {
		return wrong("it begins with %v", all[0])
	}
	rest := all[1 : len(all)-1]
	for _, step := range r.Steps { // states and phases, in their order
		var want string
		switch {
		case step.Start.Before(r.Triggered):
		case step.Kind == report.KindTransition:
			want = fmt.Sprintf("%v (%v)", step.State, step.Transition.Event)
		case step.Kind == report.KindPhase:
			want = "phase " + step.Phase.String()
		}
		if want == "" {
			continue
		}
		i := slices.IndexFunc(rest, func(s said) bool {
			return s.who == "lastcall" && strings.HasPrefix(s.text, plus(r, step.Start)+" ") && strings.Contains(s.text, want)
		})
		if i < 0 {
			return wrong("%s at %s is not there in its place", want, plus(r, step.Start))
		}
		rest = rest[i+1:]
	}
	for _, e := range ended(r) {
		text := fmt.Sprintf("%s %s: %s, ran for %s", plus(r, e.Ended), strings.Join(strings.Fields(e.name), " "), e.Fate, strings.TrimPrefix(plus(r, r.Triggered.Add(e.Ended.Sub(e.Began))), "+"))
		if !slices.ContainsFunc(all, func(s said) bool {
			return s.text == text && strings.HasSuffix(s.who, strings.Join(strings.Fields(e.server), " ")) && (s.arrow == "-->>") == (e.Fate == "completed")
		}) {
			return wrong("%q of %q is not there", text, e.server)
		}
	}
	return calledTruly(r, all, wrong)
}

// endedWork is a piece of work that has ended.
type endedWork struct {
	server, name string
	lastcall.EndedWork
}

// ended returns the work of clients that ended during the shutdown, if little enough of that is
// known for all of it to be drawn.
func ended(r report.Report) (all []endedWork) {
	for _, w := range r.Work {
		for _, e := range w.Slowest {
			if w.Kind != lastcall.WorkInfra && !e.Ended.Before(r.Triggered) && !e.Ended.After(r.Ended) {
				all = append(all, endedWork{w.Server, w.Name, e})
			}
		}
	}
	if len(all) > 10 || slices.ContainsFunc(all, func(e endedWork) bool { return len(e.server+e.name) > 40 }) {
		return nil
	}
	return all
}

// calledTruly compares the calls with the messages, unless some are folded.
func calledTruly(r report.Report, all []said, wrong func(string, ...any) error) error {
	if slices.ContainsFunc(all, func(s said) bool { return strings.Contains(s.text, "calls are left out") }) {
		return nil
	}
	for _, c := range r.Steps {
		over := c.Start.Add(c.Duration)
		if c.Kind != report.KindCall || over.Before(r.Triggered) {
			continue
		}
		begin, end, both := plus(r, c.Start)+" "+string(c.Op), plus(r, over)+" "+string(c.Op)+": "+c.Result.String(), plus(r, c.Start)+" to "+plus(r, over)+" "+string(c.Op)+": "+c.Result.String()
		is := func(s said, text string, whole bool) bool {
			bad := strings.HasSuffix(s.arrow, "x")
			return strings.HasSuffix(s.who, strings.Join(strings.Fields(c.Name), " ")) && (s.text == text || !whole && strings.HasPrefix(s.text, text) && bad == (c.Failed() || c.Abandoned))
		}
		at := func(text string, whole bool) int {
			return slices.IndexFunc(all, func(s said) bool { return is(s, text, whole) })
		}
		switch {
		case c.Result == 0: // its end is not known
		case at(both, false) >= 0, at(end, false) >= 0 && (c.Start.Before(r.Triggered) || c.Duration == 0):
		case at(begin, true) < 0 || at(end, false) < at(begin, true):
			return wrong("%v from %s to %s is not there", c, plus(r, c.Start), plus(r, over))
		}
	}
	return nil
}

func truePath(r report.Report) error {
	m, err := draw.Path(r)
	if err != nil {
		return err
	}
	class, taken, at := viz.Visited, 0, r.Triggered
	in := map[string]time.Duration{}
	state := fsm.Serving
	classes := map[string]viz.Class{state.String(): class}
	for _, s := range r.Steps {
		if s.Kind != report.KindTransition {
			continue
		}
		if s.State == fsm.TimerExpired {
			class = viz.Forced
		}
		in[state.String()], at = s.Start.Sub(at), s.Start
		if !slices.ContainsFunc(m.Edges, func(e viz.Edge) bool {
			return e.From == state.String() && e.To == s.State.String() && e.Class == class && strings.HasSuffix(e.Label, ", "+plus(r, s.Start))
		}) {
			return fmt.Errorf("path: %v at %s is not in %+v", s, plus(r, s.Start), m.Edges)
		}
		state, taken = s.State, taken+1
		classes[state.String()] = class
	}
	in[state.String()] = r.Ended.Sub(at)
	if !state.Terminal() {
		classes[state.String()] = viz.Current
	}
	for _, e := range m.Edges {
		if e.Class != viz.Plain {
			taken--
		}
	}
	if taken != 0 {
		return fmt.Errorf("path: %d edges too few are marked in %+v", taken, m.Edges)
	}
	for _, s := range m.States {
		want := strings.TrimPrefix(plus(r, r.Triggered.Add(in[s.Name])), "+")
		if s.Class != classes[s.Name] || s.Class != viz.Plain && (len(s.Notes) != 1 || !strings.HasPrefix(s.Notes[0], want)) {
			return fmt.Errorf("path: the state %+v has not the class %v and the time %s", s, classes[s.Name], want)
		}
	}
	return nil
}
