package lastcall_test

import (
	"reflect"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"pgregory.net/rapid"
)

// quiet returns when settle should have ended, if without Quiet it would have
// ended at end, and whether Quiet ended it. What the servers answered is taken from
// their own notes.
func (o *oracle) quiet(t *rapid.T, start, end time.Time) (time.Time, bool) {
	quiet := o.s.budget.Quiet
	if quiet == 0 {
		return end, false
	}
	ask := start.Add(max(quiet, o.s.budget.MinSettle))
	for n := 0; ; n++ {
		if !ask.Before(end) {
			if asked := len(o.w.asked); n < asked && slices.ContainsFunc(o.w.asked, func(q *question) bool { return q.who == "arrival a" && q.begin.After(end) }) {
				t.Fatalf("G4: a server was asked for its last arrival when settle was over")
			}
			timed := end.Equal(start.Add(o.s.budget.Settle)) || end.Equal(o.trigger.Add(o.s.budget.Total-o.s.budget.Reserve))
			return end, ask.Equal(end) && !timed // a force, or the last Serve, in the instant in which they are asked
		}
		back, latest, known := ask, start, true
		for i := range o.s.servers {
			asked := o.w.questions("arrival " + name(i))
			if len(asked) <= n || !asked[n].begin.Equal(ask) {
				t.Fatalf("G4: server %s was not asked for its last arrival %v after the trigger, for the %dth time", name(i), ask.Sub(o.trigger), n+1)
			}
			if at, ok := asked[n].value.(time.Time); ok && asked[n].isBack(o.end) {
				back, latest = later(back, asked[n].back), later(latest, at)
			} else {
				known = false
			}
		}
		switch {
		case !known || back.After(end):
			o.askedTimes(t, n+1)
			return end, false
		case !ask.Before(latest.Add(quiet)):
			o.askedTimes(t, n+1)
			for i, p := range o.s.servers {
				for _, after := range p.arrivals {
					if at := o.servers[i].made.Add(after); at.Before(ask) && at.Add(quiet).After(ask) {
						t.Fatalf("G4: settle ended %v after work had come to server %s", ask.Sub(at), name(i))
					}
				}
			}
			return earlier(end, back), true
		}
		ask = later(back, latest.Add(quiet))
	}
}

// askedTimes checks that nobody polls.
func (o *oracle) askedTimes(t *rapid.T, want int) {
	for i := range o.s.servers {
		if got := len(o.w.questions("arrival " + name(i))); got != want {
			t.Fatalf("G4: server %s was asked %d times for its last arrival, want %d", name(i), got, want)
		}
	}
}

// extendedRuns says whether something of a server that can do more than stop ran
// in an instant. In a tie it may or may not have.
func (o *oracle) extendedRuns(at time.Time) (runs, tie bool) {
	for i, p := range o.s.servers {
		if !p.bare {
			gone := o.gone(i)
			runs, tie = runs || gone.After(at), tie || gone.Equal(at)
		}
	}
	return runs, tie && !runs
}

// outcomes returns what a forced run's outcome may be: more than one if the last
// end fell together with something else.
func (o *oracle) outcomes(last time.Time) []report.Outcome {
	if last.After(o.over) {
		return []report.Outcome{report.OutcomeAbandoned}
	}
	want := []report.Outcome{report.OutcomeCancelled}
	if stop, entered := o.phase[lastcall.PhaseStop]; entered {
		var gone time.Time
		for i := range o.s.servers {
			if _, called := o.w.at("stop "+name(i), "begin"); called {
				gone = later(gone, o.back("gs "+name(i), o.s.servers[i].graceful))
			}
		}
		switch {
		case gone.After(stop.Start):
			want = []report.Outcome{report.OutcomeStopped}
		case gone.Equal(stop.Start):
			want = append(want, report.OutcomeStopped)
		}
	}
	for i, p := range o.s.servers {
		cut := o.ends("cut "+name(i), "return")
		switch {
		case p.connections == 0 || len(cut) == 0:
		case cut[0].Before(o.over):
			want = []report.Outcome{report.OutcomeCut}
		case cut[0].Equal(o.over):
			want = append(want, report.OutcomeCut)
		}
	}
	if last.Equal(o.over) {
		want = append(want, report.OutcomeAbandoned)
	}
	return want
}

// checkCancel: the context of Cancel ends with the phase's share of the time, and
// to obey it is no failure.
func (o *oracle) checkCancel(t *rapid.T) {
	phase, entered := o.phase[lastcall.PhaseCancel]
	if !entered {
		return
	}
	end := o.shareEnd(phase.Start, 6, o.deadlineAt)
	for i, p := range o.s.servers {
		who := "cancel " + name(i)
		begins := o.w.find(who, "begin")
		if len(begins) == 0 {
			continue
		}
		if len(begins) > 1 || !begins[0].at.Equal(phase.Start) {
			t.Fatalf("G2: %s began %d times, first %v after the phase", who, len(begins), begins[0].at.Sub(phase.Start))
		}
		if len(o.w.find(who, "wrong context or cause")) > 0 {
			t.Fatalf("G2: %s was given the wrong context or cause", who)
		}
		back := o.back(who, p.cancel)
		by := begins[0].at.Add(p.cancel.after)
		switch {
		case p.cancel.callback == callWait || p.cancel.callback == callRunAdd: // which take time
		case by.After(o.end): // nobody was there any more to note it
		case p.cancel.manner == waits && !back.Equal(later(by, end)),
			p.cancel.manner == obeys && !back.Equal(earlier(by, later(end, begins[0].at))):
			t.Fatalf("G2: %s, whose context should end after %v, came back after %v", who, end.Sub(phase.Start), back.Sub(phase.Start))
		}
		for _, s := range o.report.Steps {
			if s.Op != report.OpCancel || s.Name != name(i) {
				continue
			}
			returned := len(o.ends(who, "return")) > 0
			if returned && back.Before(o.over) && s.Result != report.ResultOK {
				t.Fatalf("G8: %s came back before phase close, and is reported as %v", who, s)
			}
			if back.After(o.end) && s.Result != report.ResultTimedOut {
				t.Fatalf("G8: %s did not come back, and is reported as %v", who, s)
			}
			if left := o.over.Sub(end); returned && p.cancel.manner == waits && p.cancel.after <= end.Sub(phase.Start) && left >= 0 && s.Result != report.ResultOK {
				t.Fatalf("G8: %s came back with its context, and is reported as %v", who, s)
			}
		}
	}
}

// checkWork: each server is asked for its work when it should be, and the report
// has what the last answer was, if that came in time.
func (o *oracle) checkWork(t *rapid.T) {
	asks := []time.Time{o.graceful, o.over}
	if o.expired {
		asks = []time.Time{o.graceful, later(o.graceful, o.timer), o.over}
	}
	work, notes := o.report.Work, o.report.Notes
	for i, p := range o.s.servers {
		if !p.bare {
			work, notes = o.checkAnswers(t, name(i), asks, work, notes)
		}
	}
	for i, p := range o.s.lasts {
		var asks []time.Time
		if o.lastsOver.Before(o.deadlineAt(o.lastsOver)) || len(o.w.questions("inflight "+lastName(i))) > 0 {
			asks = []time.Time{o.lastsOver}
		}
		if !p.bare {
			work, notes = o.checkAnswers(t, lastName(i), asks, work, notes)
		}
	}
	if len(work) > 0 || len(notes) > 0 {
		t.Fatalf("the report has the work %v and the notes %v too much", work, notes)
	}
}

// checkAnswers checks what one server was asked for and what the report has of it, and
// returns what the report has of others.
func (o *oracle) checkAnswers(t *rapid.T, server string, asks []time.Time, work []lastcall.Work, notes []report.Note) ([]lastcall.Work, []report.Note) {
	n := 0
	for n < len(work) && work[n].Server == server {
		n++
	}
	var got any
	if n > 0 {
		own := slices.Clone(work[:n])
		own[0].Server, own[1].Server = "somebody else", ""
		got = own
	}
	if want := o.checkAsked(t, report.OpInFlight, "inflight "+server, asks); !oneOf(got, want) {
		t.Fatalf("the report has the work %v of server %s, want one of %v", got, server, want)
	}
	work = work[n:]

	got, n = nil, 0
	var texts []string
	for n < len(notes) && notes[n].Server == server {
		texts = append(texts, notes[n].Text)
		got = texts
		n++
	}
	if want := o.checkAsked(t, report.OpNotes, "notes "+server, asks[max(0, len(asks)-1):]); !oneOf(got, want) {
		t.Fatalf("the report has the notes %v of server %s, want one of %v", got, server, want)
	}
	return work, notes[n:]
}

func oneOf(got any, want []any) bool {
	return slices.ContainsFunc(want, func(w any) bool { return reflect.DeepEqual(got, w) })
}

// checkAsked compares the questions that a server was asked with the steps of the
// report, and returns what the report may have as the last answer: nil if that was
// none or came too late, and more than one if others were asked in the same instant.
func (o *oracle) checkAsked(t *rapid.T, op report.Op, who string, at []time.Time) []any {
	asked := o.w.questions(who)
	if len(asked) != len(at) {
		t.Fatalf("%s was called %d times, want %d", who, len(asked), len(at))
	}
	var answers []any
	if len(asked) == 0 {
		answers = []any{nil}
	}
	for i, q := range asked {
		if !q.begin.Equal(at[i]) {
			t.Fatalf("%s was called %v after the trigger, want %v", who, q.begin.Sub(o.trigger), at[i].Sub(o.trigger))
		}
		same := 0 // questions of the same instant, which no time tells apart
		for _, other := range asked {
			if other.begin.Equal(q.begin) {
				same++
			}
		}
		var steps []report.Step
		for _, s := range o.report.Steps {
			if s.Op == op && s.Name == who[len(who)-1:] && s.Start.Equal(q.begin) {
				steps = append(steps, s)
			}
		}
		if len(steps) > same {
			t.Fatalf("G8: %d of %d calls of %s are in the report as failures", len(steps), same, who)
		}
		bad := q.value == nil || !q.isBack(o.end)
		if bad && len(steps) == 0 {
			t.Fatalf("G8: %s, called %v after the trigger, did not come back well, and the report does not say so", who, q.begin.Sub(o.trigger))
		}
		for _, s := range steps {
			if s.Result == report.ResultOK || s.Result == report.ResultFailed {
				t.Fatalf("G8: %s is in the report as %v", who, s)
			}
			if s.Result == report.ResultTimedOut && !s.Abandoned && s.Duration < grace && !o.deadlineAt(o.end).Equal(o.end) {
				t.Fatalf("G8: %s was given only %v", who, s.Duration)
			}
			if s.Abandoned && q.isBack(o.end.Add(-1)) && same == 1 {
				t.Fatalf("G10: %s is called abandoned, but came back", who)
			}
		}
		if !q.begin.Equal(at[len(at)-1]) {
			continue
		}
		if slices.ContainsFunc(steps, func(s report.Step) bool { return s.Phase >= lastcall.PhaseClose }) {
			return []any{nil}
		}
		if q.value != nil {
			answers = append(answers, q.value)
		}
	}
	return answers
}
