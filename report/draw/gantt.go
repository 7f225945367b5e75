package draw

import (
	"fmt"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/viz"
)

// Gantt returns a mermaid gantt chart: the phases, a bar for every call of a server, worker,
// closer and flusher, the work that took longest and that which still runs, the timer and the
// deadline. The axis begins at the trigger.
func Gantt(r report.Report) (string, error) {
	return fitting(r, func(n int) string { return newGantt(r).draw(n) })
}

// gantt is the chart of one report.
type gantt struct {
	out  strings.Builder
	r    report.Report
	unit time.Duration // what mermaid takes for a millisecond
	bars int
}

// shortAxis is how long a shutdown may be to be drawn in microseconds: mermaid knows no
// shorter unit than the millisecond, and its axis counts seconds to 60.
const shortAxis = 60 * time.Millisecond

// visible is the part of the axis that a bar takes at least.
const visible = 300

func newGantt(r report.Report) *gantt {
	g := &gantt{r: r, unit: time.Millisecond}
	if g.length() < shortAxis {
		g.unit = time.Microsecond
	}
	return g
}

// length is how long the chart is: to the end, or to the timer and the deadline if those
// are drawn.
func (g *gantt) length() time.Duration {
	length := g.r.Took()
	if g.limits() {
		length = max(length, g.r.Deadline.Sub(g.r.Triggered))
	}
	return length
}

// limits reports whether the timer and the deadline are drawn to scale. If the shutdown
// was over in a small part of its time they would leave no room for it.
func (g *gantt) limits() bool {
	return g.r.Took() >= g.r.Deadline.Sub(g.r.Triggered)/4
}

func (g *gantt) draw(n int) string {
	axis := "%S.%L"
	if g.unit == time.Millisecond && g.length() >= time.Minute {
		axis = "%M:%S"
	}
	fmt.Fprintf(&g.out, "gantt\n    title %s\n    dateFormat x\n    axisFormat %s\n    todayMarker off\n", viz.EscapeMermaid(headline(g.r)), axis)
	g.section("phases")
	for _, s := range g.r.Steps {
		if s.Kind == report.KindPhase && !end(s).Before(g.r.Triggered) && s.Phase >= lastcall.PhaseAnnounce {
			tags := ""
			if s.Phase >= lastcall.PhaseCancel && s.Phase <= lastcall.PhaseWait {
				tags = "crit, "
			}
			g.bar(fmt.Sprintf("%v", s.Phase), tags, s.Start, end(s))
		}
	}
	shown, folded := shownCalls(g.r, n)
	calls := make(map[string][]report.Step) // by section
	for _, i := range shown {
		s := g.r.Steps[i]
		calls[sectionOf(s.Op)] = append(calls[sectionOf(s.Op)], s)
	}
	for _, name := range []string{"servers", "workers", "announcers", "closers", "flushers", "others"} {
		if len(calls[name]) > 0 {
			g.section(name)
		}
		for _, s := range calls[name] {
			tags := "done, "
			switch {
			case s.Abandoned:
				tags = "crit, active, "
			case ill(s):
				tags = "crit, "
			}
			g.bar(subject(s)+": "+how(s), tags, s.Start, end(s))
		}
	}
	if len(folded) > 0 {
		g.section("folded")
		g.bar(leftOut(folded), "", g.r.Triggered, g.r.Ended)
	}
	for i, e := range slowest(g.r, n/perWork) {
		if i == 0 {
			g.section("slowest work")
		}
		tags := "done, "
		if e.bad() {
			tags = "crit, "
		}
		g.bar(fmt.Sprintf("%s of %s: %s", short(e.Name), short(e.Server), clip(e.Fate)), tags, e.Began, e.Ended)
	}
	g.running(n / 2)
	g.marks()
	return g.out.String()
}

func sectionOf(op report.Op) string {
	switch op {
	case report.OpWork:
		return "workers"
	case report.OpAnnouncer:
		return "announcers"
	case report.OpClose:
		return "closers"
	case report.OpFlush:
		return "flushers"
	default:
		if ofServer(op) {
			return "servers"
		}
		return "others"
	}
}

// running draws the work that has not come back, from when the oldest of it began.
func (g *gantt) running(n int) {
	for i, w := range report.StillRunning(g.r.Work) {
		if i == 0 {
			g.section("still running")
		}
		if i == n {
			g.bar(fmt.Sprintf("%d more names of work are left out", len(report.StillRunning(g.r.Work))-i), "crit, active, ", g.r.Triggered, g.r.Ended)
			return
		}
		g.bar(fmt.Sprintf("%s of %s, %d running", short(w.Name), short(w.Server), w.Running), "crit, active, ", w.Oldest, g.r.Ended)
	}
}

// marks draws the timer and the deadline, and the end of the run.
func (g *gantt) marks() {
	g.section("limits")
	end := "Run returns"
	if g.r.Outcome == 0 && g.r.NotRun == nil {
		end = "the record ends"
	}
	for _, m := range []struct {
		name string
		at   time.Time
	}{{"timer", g.r.Timer}, {end, g.r.Ended}, {"deadline", g.r.Deadline}} {
		text, when := m.name+" "+at(g.r, m.at), m.at
		if !g.limits() && m.at.After(g.r.Ended) {
			text, when = text+" (beyond this axis)", g.r.Ended
		}
		g.bars++
		fmt.Fprintf(&g.out, "    %s :milestone, b%d, %d, 0ms\n", viz.EscapeMermaid(text), g.bars, g.scale(when))
	}
}

func (g *gantt) section(name string) { fmt.Fprintf(&g.out, "    section %s\n", name) }

// bar draws a bar, whose name tells when it begins and ends. What began before the
// trigger is drawn from there on, and what is too short to be seen a little longer.
func (g *gantt) bar(name, tags string, from, to time.Time) {
	g.bars++
	begin, since := from, at(g.r, from)
	if from.Before(g.r.Triggered) {
		begin, since = g.r.Triggered, "before"
	}
	first := g.scale(begin)
	last := max(g.scale(to), first+max(1, int64(g.length()/g.unit)/visible))
	fmt.Fprintf(&g.out, "    %s :%sb%d, %d, %d\n", viz.EscapeMermaid(fmt.Sprintf("%s (%s to %s)", name, since, at(g.r, to))), tags, g.bars, first, last)
}

func (g *gantt) scale(t time.Time) int64 {
	return int64(max(0, t.Sub(g.r.Triggered)) / g.unit)
}
