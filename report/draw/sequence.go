package draw

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/viz"
)

// Sequence returns a mermaid sequence diagram of who called whom, when, and how that
// ended, in the order in which it happened.
func Sequence(r report.Report) (string, error) {
	return fitting(r, func(n int) string { return newSequence(r, n).draw() })
}

// message is one line of the diagram.
type message struct {
	at   time.Time
	step int   // its place in the report; -1 of work
	work ended // that has ended
	end  bool  // of a call: it ended; otherwise it, or whatever else it is, began
	both bool  // of a call that begins and ends with nothing in between
}

// sequence is the diagram of one report.
type sequence struct {
	r            report.Report
	folded, open []report.Step // calls that are not drawn, and calls without an end
	messages     []message
	participants []string
	ids          map[string]string
	out          strings.Builder
}

func newSequence(r report.Report, n int) *sequence {
	d := &sequence{r: r, ids: make(map[string]string)}
	calls, folded := shownCalls(r, n)
	d.folded = folded
	var ends []message
	for i, s := range r.Steps {
		before := s.Start.Before(r.Triggered)
		_, call := slices.BinarySearch(calls, i)
		if call && s.Result != 0 {
			ends = append(ends, message{at: end(s), step: i, end: true})
		}
		if call && s.Result == 0 {
			d.open = append(d.open, s)
		}
		if !before && (call || s.Kind == report.KindTransition || s.Kind == report.KindPhase || s.Kind != report.KindCall && s.Text != "") {
			d.messages = append(d.messages, message{at: s.Start, step: i})
		}
	}
	for _, e := range slowest(r, n/perWork) {
		d.insert(message{at: e.Ended, step: -1, end: true, work: e})
	}
	for _, m := range ends {
		d.insert(m)
	}
	return d
}

// insert puts the end of a call where it belongs among what began at the same time: right
// behind its own beginning, else before the end that it brought about, else behind the
// force that brought it about.
func (d *sequence) insert(m message) {
	first, _ := slices.BinarySearchFunc(d.messages, m.at, func(o message, t time.Time) int { return o.at.Compare(t) })
	same := d.messages[first:]
	if n := slices.IndexFunc(same, func(o message) bool { return !o.at.Equal(m.at) }); n >= 0 {
		same = same[:n]
	}
	enters := func(state fsm.State) int {
		return slices.IndexFunc(same, func(o message) bool {
			return o.step >= 0 && d.r.Steps[o.step].Kind == report.KindTransition && d.r.Steps[o.step].State == state
		})
	}
	began := slices.IndexFunc(same, func(o message) bool { return o.step == m.step && !o.end })
	place := 0
	switch terminated := enters(fsm.Terminated); {
	case began >= 0:
		place = began + 1
	case terminated >= 0:
		place = terminated
	case enters(fsm.TimerExpired) >= 0:
		place = len(same)
	default:
		for place < len(same) && same[place].end {
			place++
		}
	}
	d.messages = slices.Insert(d.messages, first+place, m)
}

func (d *sequence) draw() string {
	d.join()
	d.id("Trigger")
	d.id("lastcall")
	d.line("Trigger", "->>", "lastcall", signed(0)+" "+clip(d.r.CauseText))
	d.work(func(t report.Total) (string, bool) {
		return fmt.Sprintf("%s %d in flight", signed(0), t.Before), t.Before > 0
	})
	for _, m := range d.messages {
		d.message(m)
	}
	if len(d.folded) > 0 {
		d.note("lastcall", leftOut(d.folded))
	}
	for _, s := range d.open {
		d.note(who(s), string(s.Op)+": no end is recorded")
	}
	for i, n := range slices.Concat(d.r.Notes, d.r.Idle) {
		if i == maxItems/4 {
			d.note("lastcall", fmt.Sprintf("%d more notes are left out", len(d.r.Notes)+len(d.r.Idle)-i))
			break
		}
		d.note(participant("server", n.Server), clip(n.Text))
	}
	if d.r.Suspended > 0 {
		d.note("lastcall", "the process was suspended for "+ms(d.r.Suspended))
	}
	d.line("lastcall", "-->>", "Trigger", at(d.r, d.r.Ended)+" "+outcome(d.r)+", deadline "+at(d.r, d.r.Deadline))
	var head strings.Builder
	head.WriteString("sequenceDiagram\n")
	for _, p := range d.participants {
		fmt.Fprintf(&head, "    participant %s as %s\n", d.ids[p], viz.EscapeMermaid(short(p)))
	}
	return head.String() + d.out.String()
}

// join makes one message of the beginning and the end of a call between which there is
// nothing else.
func (d *sequence) join() {
	for i := 1; i < len(d.messages); i++ {
		if a, b := d.messages[i-1], d.messages[i]; !a.end && b.end && a.step == b.step {
			d.messages[i-1].both = true
			d.messages = slices.Delete(d.messages, i, i+1)
		}
	}
}

func (d *sequence) message(m message) {
	when := at(d.r, m.at)
	if m.step < 0 {
		line := map[bool]string{false: "-->>", true: "--x"}[m.work.bad()]
		d.line(participant("server", m.work.Server), line, "Clients", fmt.Sprintf("%s %s: %s, ran for %s", when, short(m.work.Name), clip(m.work.Fate), ms(m.work.Ended.Sub(m.work.Began))))
		return
	}
	s := d.r.Steps[m.step]
	switch {
	case s.Kind == report.KindTransition:
		text := fmt.Sprintf("%s %v (%v)", when, s.State, s.Transition.Event)
		if s.Transition.Event == fsm.Timeout {
			text = fmt.Sprintf("%s the timer fires, %v (%v)", when, s.State, s.Transition.Event)
		}
		d.note("lastcall", text)
		if s.State == fsm.Terminated {
			d.work(func(t report.Total) (string, bool) {
				text := fmt.Sprintf("by %s: %d completed, %d cancelled, %d cut, %d still running", when, t.Completed, t.Cancelled, t.Cut, t.Running)
				return text, t.Before+t.Arrived > 0
			})
		}
	case s.Kind == report.KindPhase:
		text := fmt.Sprintf("%s phase %v", when, s.Phase)
		if s.Phase == lastcall.PhaseAnnounce {
			text += ", not ready"
		}
		d.note("lastcall", text)
	case s.Kind == report.KindWarning:
		d.note("lastcall", when+" "+clip(s.Text))
	case s.Kind != report.KindCall:
		d.line("Trigger", "->>", "lastcall", when+" "+clip(s.String()))
	case m.both:
		if s.Duration > 0 {
			when += " to " + at(d.r, end(s))
		}
		d.line("lastcall", arrow("->>", "-x", s), who(s), fmt.Sprintf("%s %s: %s", when, s.Op, how(s)))
	case m.end:
		d.line(who(s), arrow("-->>", "--x", s), "lastcall", fmt.Sprintf("%s %s: %s", when, s.Op, how(s)))
	default:
		d.line("lastcall", "->>", who(s), when+" "+string(s.Op))
	}
}

// work writes to the clients what a server tells of its work.
func (d *sequence) work(tell func(report.Total) (string, bool)) {
	var servers []string
	work := make(map[string][]lastcall.Work)
	for _, w := range d.r.Work {
		if work[w.Server] == nil {
			servers = append(servers, w.Server)
		}
		work[w.Server] = append(work[w.Server], w)
	}
	for i, server := range servers {
		if i == maxItems/4 {
			d.note("lastcall", fmt.Sprintf("the work of %d more servers is left out", len(servers)-i))
			return
		}
		if text, ok := tell(report.Sum(work[server])); ok {
			d.line(participant("server", server), "-->>", "Clients", text)
		}
	}
}

func arrow(well, badly string, s report.Step) string {
	if ill(s) {
		return badly
	}
	return well
}

// who names whom a call goes to.
func who(s report.Step) string {
	if ofServer(s.Op) {
		return participant("server", s.Name)
	}
	return participant(string(s.Op), s.Name)
}

func participant(what, name string) string {
	return strings.TrimSpace(what + " " + name)
}

func (d *sequence) id(name string) string {
	if d.ids[name] == "" {
		d.participants = append(d.participants, name)
		d.ids[name] = fmt.Sprintf("P%d", len(d.participants))
	}
	return d.ids[name]
}

func (d *sequence) line(from, arrow, to, text string) {
	a, b := d.id(from), d.id(to)
	fmt.Fprintf(&d.out, "    %s%s%s: %s\n", a, arrow, b, viz.EscapeMermaid(text))
}

func (d *sequence) note(over, text string) {
	fmt.Fprintf(&d.out, "    Note over %s: %s\n", d.id(over), viz.EscapeMermaid(text))
}
