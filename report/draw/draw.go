// Package draw draws what happened in a shutdown from its report: as a sequence diagram,
// as a gantt chart, and as the state diagram with the path that was taken. The drawings
// are mermaid text; "lastcall draw" prints them.
//
// Nothing is drawn that the report does not tell. Times are milliseconds after the
// trigger. A drawing stays below the 50,000 characters that GitHub draws: what is too much
// is folded, the slowest calls and those that failed last of all, and the drawing tells how
// many it leaves out.
package draw

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// Limits of a drawing: how long mermaid lets a text be before it refuses it, how many
// calls and pieces of work are drawn one by one, and how long a name and a text are.
const (
	MaxLength = 50_000
	maxItems  = 60
	perWork   = 4 // calls for each piece of work
	maxName   = 60
	maxText   = 120
)

// check returns an error if there is nothing to draw.
func check(r report.Report) error {
	switch {
	case r.NotRun != nil:
		return fmt.Errorf("draw: the report is not that of a shutdown: %s", clip(r.NotRun.Error()))
	case r.Triggered.IsZero():
		return errors.New("draw: the report is not that of a shutdown")
	}
	return nil
}

// fitting draws with fewer and fewer things until the drawing is short enough.
func fitting(r report.Report, drawn func(items int) string) (string, error) {
	if err := check(r); err != nil {
		return "", err
	}
	for n := maxItems; ; n /= 2 {
		if text := drawn(n); len(text) < MaxLength || n == 0 {
			return text, nil
		}
	}
}

// at returns an instant as drawings show it: "+2010 ms".
func at(r report.Report, t time.Time) string { return signed(t.Sub(r.Triggered)) }

func signed(d time.Duration) string {
	if d < 0 {
		return ms(d)
	}
	return "+" + ms(d)
}

// ms returns a duration in milliseconds, to the microsecond.
func ms(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Round(time.Microsecond))/float64(time.Millisecond), 'f', -1, 64) + " ms"
}

// clip shortens a text, and takes it into one line.
func clip(text string) string {
	const limit = maxText
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	return string([]rune(text)[:limit-1]) + "…"
}

// short shortens a name. Names that are alike often differ at the end, so that stays.
func short(name string) string {
	text := []rune(strings.Join(strings.Fields(name), " "))
	if len(text) <= maxName {
		return string(text)
	}
	return string(text[:maxName*2/3]) + "…" + string(text[len(text)-maxName/3+1:])
}

// headline says what the shutdown came to.
func headline(r report.Report) string {
	text := outcome(r)
	if r.Forced {
		text += ", forced"
	}
	if r.Suspended > 0 {
		text += ", suspended for " + ms(r.Suspended)
	}
	return fmt.Sprintf("%s, %s of %s (%s)", text, ms(r.Took()), ms(r.Budget.Total), clip(r.CauseText))
}

func outcome(r report.Report) string {
	if r.Outcome == 0 {
		return "no outcome yet"
	}
	return fmt.Sprintf("%v, exit code %d", r.Outcome, r.ExitCode())
}

// subject names a call: "closer postgres".
func subject(s report.Step) string {
	return strings.TrimSpace(string(s.Op) + " " + short(s.Name))
}

// ofServer reports whether a call is one of a server.
func ofServer(op report.Op) bool {
	return slices.Contains([]report.Op{report.OpAttach, report.OpServe, report.OpAnnounce, report.OpGracefulStop, report.OpCancel, report.OpStop,
		report.OpCut, report.OpInFlight, report.OpNotes, report.OpLastArrival}, op)
}

// how says how a call ended.
func how(s report.Step) string {
	text := s.Result.String()
	switch {
	case s.Result == 0:
		text = "no end is recorded"
	case s.Abandoned:
		text += ", has not returned"
	}
	if s.Text != "" {
		text += ": " + clip(s.Text)
	}
	return text
}

// end returns when a call ended, or when its time was over.
func end(s report.Step) time.Time { return s.Start.Add(s.Duration) }

// ill reports whether a call is drawn as one that went wrong.
func ill(s report.Step) bool { return s.Failed() || s.Abandoned }

// shownCalls returns the places in r.Steps of the calls that are drawn, at most n, and the
// calls that are folded. Those that ended before the trigger are neither. Calls that went
// wrong are drawn first, then those that took longest.
func shownCalls(r report.Report, n int) (shown []int, folded []report.Step) {
	for i, s := range r.Steps {
		if s.Kind == report.KindCall && !end(s).Before(r.Triggered) {
			shown = append(shown, i)
		}
	}
	if len(shown) <= n {
		return shown, nil
	}
	within := func(s report.Step) time.Duration { return min(s.Duration, end(s).Sub(r.Triggered)) }
	slices.SortStableFunc(shown, func(i, j int) int {
		a, b := r.Steps[i], r.Steps[j]
		if ill(a) != ill(b) {
			return map[bool]int{true: -1, false: 1}[ill(a)]
		}
		return cmp.Compare(within(b), within(a))
	})
	for _, i := range shown[n:] {
		folded = append(folded, r.Steps[i])
	}
	shown = shown[:n]
	slices.Sort(shown)
	return shown, folded
}

// ended is a piece of work that ended after the trigger.
type ended struct {
	lastcall.Work
	lastcall.EndedWork
}

// bad reports whether it did not end by itself.
func (e ended) bad() bool { return e.Fate != "completed" }

// slowest returns the pieces of work that took longest after the trigger, at most n, the
// slowest first.
func slowest(r report.Report, n int) (all []ended) {
	for _, w := range r.Work {
		if w.Kind == lastcall.WorkInfra || w.Kind == lastcall.WorkCall {
			continue
		}
		for _, e := range w.Slowest {
			if !e.Ended.Before(r.Triggered) && !e.Ended.After(r.Ended) {
				all = append(all, ended{w, e})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b ended) int { return cmp.Compare(b.Lasted(r.Triggered), a.Lasted(r.Triggered)) })
	return all[:min(n, len(all))]
}

// leftOut says what was folded: "40 calls are left out: 38 closer, 2 flusher, 1 of them failed".
func leftOut(folded []report.Step) string {
	var ops []string
	count := make(map[report.Op]int)
	wrong := 0
	for _, s := range folded {
		if count[s.Op]++; count[s.Op] == 1 {
			ops = append(ops, string(s.Op))
		}
		if ill(s) {
			wrong++
		}
	}
	for i, op := range ops {
		ops[i] = fmt.Sprintf("%d %s", count[report.Op(op)], op)
	}
	text := fmt.Sprintf("%d calls are left out (%s)", len(folded), clip(strings.Join(ops, ", ")))
	if wrong > 0 {
		text += fmt.Sprintf(", %d of them went wrong", wrong)
	}
	return text
}
