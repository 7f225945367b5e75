package lastcall_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall/fsm"
)

// checkDrain is G3, and G4 for the drain.
func (o *oracle) checkDrain(t *rapid.T) {
	last := later(o.graceful, o.lastEnd())
	timer := later(o.graceful, o.timer)
	o.expired = slices.Contains(o.report.Path, fsm.TimerExpired)
	switch {
	case last.Before(timer) && o.expired:
		t.Fatalf("G3: all had ended %v before the timer, and the timer fired all the same\n%v", timer.Sub(last), o.report)
	case last.After(timer) && !o.expired:
		t.Fatalf("G3: something ended %v after the timer, and the path is %v", last.Sub(timer), o.report.Path)
	case !o.expired && !o.over.Equal(last):
		t.Fatalf("G4: the drain ended %v after the last end", o.over.Sub(last))
	}
	// A server stands behind others until they have ended, or the timer fires.
	for i, p := range o.s.servers {
		begin, ok := o.w.at("gs "+name(i), "begin")
		if !ok {
			t.Fatalf("G5: GracefulStop of %s was never called", name(i))
		}
		want := o.graceful
		for _, front := range p.behind {
			want = later(want, earlier(timer, o.ended(front)))
		}
		if !begin.Equal(want) {
			t.Fatalf("G4: GracefulStop of %s began %v after the drain, want %v", name(i), begin.Sub(o.graceful), want.Sub(o.graceful))
		}
	}
	if !o.expired {
		for i := range o.s.servers {
			for _, call := range []string{"stop ", "cancel ", "cut "} {
				if n := len(o.w.find(call+name(i), "begin")); n > 0 {
					t.Fatalf("G3: %s%s was called %d times although all had ended before the timer", call, name(i), n)
				}
			}
		}
		if o.report.Outcome != report.OutcomeDrained {
			t.Fatalf("G3: outcome %v, want drained", o.report.Outcome)
		}
		return
	}
	for _, s := range o.report.Steps {
		if s.Kind == report.KindTransition && s.State == fsm.TimerExpired && !s.Start.Equal(timer) {
			t.Fatalf("G4: TIMER_EXPIRED was entered %v after the timer", s.Start.Sub(timer))
		}
	}
}

// ended returns when a server had ended, or a time that never comes.
func (o *oracle) ended(server string) time.Time {
	i := int(server[0] - 'a')
	at := o.ends("gs "+server, "return")
	if len(at) == 0 {
		return o.end.Add(1 << 40)
	}
	if _, served := o.w.at("serve "+server, "begin"); served {
		return later(at[0], o.back("serve "+server, o.s.servers[i].serve))
	}
	return at[0]
}

// gone returns when nothing of a server ran any more.
func (o *oracle) gone(i int) time.Time {
	at := o.back("gs "+name(i), o.s.servers[i].graceful)
	if _, served := o.w.at("serve "+name(i), "begin"); served {
		at = later(at, o.back("serve "+name(i), o.s.servers[i].serve))
	}
	return at
}

// checkForce is G5, and G4 for the phases of TIMER_EXPIRED.
func (o *oracle) checkForce(t *rapid.T) {
	if !o.expired {
		return
	}
	timer := later(o.graceful, o.timer)
	for i := range o.s.servers {
		gs, _ := o.w.at("gs "+name(i), "begin")
		stops := o.w.find("stop "+name(i), "begin")
		in := o.ends("gs "+name(i), "return")
		tie := len(in) > 0 && in[0].Equal(timer)
		returned := len(in) > 0 && !in[0].After(timer)
		switch {
		case len(o.w.find("gs "+name(i), "begin")) != 1:
			t.Fatalf("G5: GracefulStop of %s was called %d times", name(i), len(o.w.find("gs "+name(i), "begin")))
		case len(stops) > 1:
			t.Fatalf("G5: Stop of %s was called %d times", name(i), len(stops))
		case len(stops) == 1 && returned && !tie:
			t.Fatalf("G5: Stop of %s was called although its GracefulStop had returned", name(i))
		case len(stops) == 0 && !returned:
			t.Fatalf("G5: Stop of %s was not called although its GracefulStop had not returned", name(i))
		case len(stops) == 1 && stops[0].at.Before(gs): // in the same instant the server may see either first
			t.Fatalf("G5: Stop of %s began before its GracefulStop", name(i))
		}
	}
	start := timer
	for _, p := range []struct {
		phase  lastcall.Phase
		call   string
		shares int
	}{{lastcall.PhaseCancel, "cancel ", 6}, {lastcall.PhaseStop, "stop ", 5}, {lastcall.PhaseCut, "cut ", 4}} {
		step, entered := o.phase[p.phase]
		if runs, tie := o.extendedRuns(start); p.phase == lastcall.PhaseCut && !tie && entered != runs {
			t.Fatalf("G3: phase cut was entered: %v, should be: %v", entered, runs)
		}
		if !entered {
			continue
		}
		if !step.Start.Equal(start) {
			t.Fatalf("G4: phase %v began %v after the phase before it", p.phase, step.Start.Sub(start))
		}
		var back, gone time.Time
		for i, s := range o.s.servers {
			c := map[string]conduct{"cancel ": s.cancel, "stop ": s.stop, "cut ": s.cut}[p.call]
			if _, called := o.w.at(p.call+name(i), "begin"); called {
				back = later(back, o.back(p.call+name(i), c))
				if !s.bare { // what can't be cut is waited for in phase wait
					gone = later(gone, o.gone(i))
				}
			}
		}
		if p.phase == lastcall.PhaseStop { // it waits a moment for what it has ended
			back = later(back, earlier(gone, later(back, start).Add(grace)))
		}
		start = later(start, earlier(back, o.shareEnd(start, p.shares, o.deadlineAt)))
	}
	last := o.lastWorker()
	for i := range o.s.servers {
		last = later(last, o.gone(i))
	}
	wait, entered := o.phase[lastcall.PhaseWait]
	if entered {
		if !wait.Start.Equal(start) {
			t.Fatalf("G4: phase wait began %v late", wait.Start.Sub(start))
		}
		start = later(start, earlier(last, o.shareEnd(start, 3, o.deadlineAt)))
	} else if last.After(start) {
		t.Fatalf("G2: phase wait was left out although something ran")
	}
	if !o.over.Equal(start) {
		t.Fatalf("G4: TERMINATED was entered %v after the trigger, want %v", o.over.Sub(o.trigger), start.Sub(o.trigger))
	}
	if o.report.Outcome <= report.OutcomeDrained || o.report.Outcome > report.OutcomeAbandoned || o.report.ExitCode() < report.ExitFailed {
		t.Fatalf("G3: forced, with outcome %v and exit code %d", o.report.Outcome, o.report.ExitCode())
	}
	if want := o.outcomes(last); !slices.Contains(want, o.report.Outcome) {
		t.Fatalf("G3: outcome %v, want one of %v: the last end came %v after the trigger\n%v", o.report.Outcome, want, last.Sub(o.trigger), o.report)
	}
	if abandoned := o.report.Outcome == report.OutcomeAbandoned; abandoned != last.After(start) && !last.Equal(start) {
		t.Fatalf("G2: outcome %v, the last end came %v after TERMINATED", o.report.Outcome, last.Sub(start))
	}
}

// checkEnding is G2 and G4 for closers and flushers, and with it the instant in
// which Run returns.
func (o *oracle) checkEnding(t *rapid.T) {
	at := o.over
	if c := o.phase[lastcall.PhaseClose]; !c.Start.Equal(at) {
		t.Fatalf("G4: phase close began %v late", c.Start.Sub(at))
	}
	end := o.shareEnd(at, 2, o.deadlineAt)
	groups := o.s.groups()
	for n, group := range groups {
		start := at
		for _, i := range group {
			at = later(at, o.checkStep(t, "closer "+name(i), o.s.closers[i], start, func() time.Time {
				return o.shareEnd(start, len(groups)-n, func(when time.Time) time.Time {
					if o.forced && !o.force.After(when) && o.force.After(o.over) {
						return o.shareEnd(o.over, 2, o.deadlineAt)
					}
					return o.over.Add(max(0, o.deadlineAt(o.over).Sub(o.over)) / 2)
				})
			}))
		}
	}
	if at.After(end) {
		t.Fatalf("G4: the oracle gives the closers %v too much", at.Sub(end))
	}
	if f := o.phase[lastcall.PhaseFlush]; !f.Start.Equal(at) {
		t.Fatalf("G4: phase flush began %v after the trigger, want %v", f.Start.Sub(o.trigger), at.Sub(o.trigger))
	}
	at = o.checkLog(t, at)
	last := at
	if len(o.s.flushers)+len(o.s.lasts) == 0 && o.s.logger && o.fresh(o.phase[lastcall.PhaseFlush].Start) {
		return // the oracle has no note of when the line was said
	}
	behind := min(1, len(o.s.lasts))
	for i, p := range o.s.flushers {
		last = later(last, o.checkStep(t, "flusher "+name(i), p, at, func() time.Time { return o.shareEnd(at, 1+behind, o.deadlineAt) }))
	}
	last = o.checkLasts(t, last)
	if o.fresh(last) || o.freshListener(last) {
		if o.end.Before(last) || o.end.After(last.Add(2*grace)) { // calls first, then those who are told of them
			t.Fatalf("G4: Run returned %v after the trigger, want %v to %v\n%v", o.end.Sub(o.trigger), last.Sub(o.trigger), grace, o.report)
		}
		return
	}
	if !o.end.Equal(last) {
		t.Fatalf("G4: Run returned %v after the trigger, want %v\n%v", o.end.Sub(o.trigger), last.Sub(o.trigger), o.report)
	}
}

// grace is how long Run waits for what may be expected to come back at once.
const grace = 10 * time.Millisecond

// fresh says whether a call had been begun less than grace before an instant, and
// had not come back by then.
func (o *oracle) fresh(at time.Time) bool {
	hostile := new(hostileError)
	if errors.As(o.report.Cause, &hostile) && at.Sub(o.trigger) < grace {
		return true
	}
	if slices.ContainsFunc(o.w.asked, func(q *question) bool {
		return !q.begin.After(at) && at.Sub(q.begin) < grace && !q.isBack(at)
	}) {
		return true
	}
	return slices.ContainsFunc(o.report.Steps, func(s report.Step) bool {
		if s.Op == report.OpServe && s.Name >= lastName(0) {
			return false // it goes on serving
		}
		since, end := s.Start, s.Start.Add(s.Duration)
		if cancel := o.phase[lastcall.PhaseCancel]; s.Op == report.OpCancel && (s.Abandoned || end.After(cancel.Start.Add(cancel.Duration))) {
			since = cancel.Start.Add(cancel.Duration) // its context ended then
		}
		return s.Kind == report.KindCall && !s.Start.After(at) && at.Sub(since) < grace && (s.Abandoned || end.After(at))
	})
}

// freshListener says whether an observer or the writer began with something less
// than grace before an instant, or later, and did not come back in that instant.
func (o *oracle) freshListener(at time.Time) bool {
	last := map[string]note{}
	for _, n := range o.w.notes {
		if n.who == "write" || strings.HasPrefix(n.who, "observer ") {
			last[n.who] = n
		}
	}
	for _, n := range last {
		if at.Sub(n.at) < grace && (n.what == "begin" || n.at.After(at)) {
			return true
		}
	}
	return false
}

// checkStep checks that a step began when it should, and returns when it was over
// or its time was.
func (o *oracle) checkStep(t *rapid.T, who string, p stepPlan, at time.Time, bound func() time.Time) time.Time {
	begins := o.w.find(who, "begin")
	if len(begins) != 1 || !begins[0].at.Equal(at) {
		t.Fatalf("G8: %s began %d times, want once, %v after the trigger\n%v", who, len(begins), at.Sub(o.trigger), o.report)
	}
	end := bound()
	if p.timeout > 0 {
		end = earlier(end, at.Add(p.timeout))
	}
	return earlier(end, o.back(who, p.how))
}

// checkLog is G11, and returns when the flushers may start.
func (o *oracle) checkLog(t *rapid.T, at time.Time) time.Time {
	if !o.s.logger {
		return at
	}
	shares := 1 + min(1, len(o.s.flushers)) + min(1, len(o.s.lasts))
	next, goesOn := o.end, shares > 1
	switch {
	case len(o.s.flushers) > 0:
		next, _ = o.w.at("flusher a", "begin")
	case len(o.s.lasts) > 0:
		next, _ = o.w.at("gs y", "begin")
	}
	moved := at
	for _, n := range o.w.notes {
		if (n.who == "write" && n.what == "begin" || n.who == "log") && !n.at.After(next) {
			moved = later(moved, n.at)
		}
	}
	if o.fresh(at) {
		return next
	}
	bound := earlier(o.shareEnd(at, shares, o.deadlineAt), moved.Add(time.Second))
	if o.s.log.manner == returns && o.s.log.after == 0 && o.s.log.callback == callNothing {
		if !next.Equal(at) && goesOn {
			t.Fatalf("G4: a log that takes every line at once held up the flushers by %v", next.Sub(at))
		}
		return at
	}
	if next.After(bound) && goesOn {
		t.Fatalf("G11: the log held up the flushers by %v, longer than %v", next.Sub(at), bound.Sub(at))
	}
	if o.s.log.manner == hangs && !next.Equal(bound) {
		t.Fatalf("G11: a log that hangs was given %v for the last line, want %v", next.Sub(at), bound.Sub(at))
	}
	return next
}

// checkSaidLast is G11: the summary was handed over before the first flusher
// began, unless the writer took too long, and no flusher's failure was logged.
func (o *oracle) checkSaidLast(t *rapid.T) {
	if !o.s.logger {
		return
	}
	said, flushed := -1, len(o.w.notes)
	for i, n := range o.w.notes {
		if n.who == "log" && strings.Contains(n.what, "shutdown complete") {
			said = i
		}
		if strings.HasPrefix(n.who, "flusher ") && n.what == "begin" {
			flushed = min(flushed, i)
		}
		if n.who == "log" && strings.Contains(n.what, `"op":"flusher"`) {
			t.Fatalf("G11: a flusher's failure was logged: %s", n.what)
		}
	}
	if o.s.log.manner == returns && o.s.log.after == 0 && o.s.log.callback == callNothing && (said < 0 || said > flushed) {
		t.Fatalf("G11: the last line was note %d, the first flusher note %d", said, flushed)
	}
}

// checkExit computes the exit code by its stated precedence.
func (o *oracle) checkExit(t *rapid.T) {
	want := report.ExitOK
	questions := []report.Op{report.OpInFlight, report.OpNotes, report.OpLastArrival, report.OpText}
	for _, s := range o.report.Failures() {
		if s.Result != report.ResultTimedOut || !slices.Contains(questions, s.Op) {
			want = report.ExitStep
		}
	}
	if o.expired {
		want = report.ExitForced
	}
	if o.report.Outcome == report.OutcomeAbandoned { // checkForce has compared that
		want = report.ExitAbandoned
	}
	switch failed, tie := o.failedByItself(); {
	case tie:
		return
	case failed:
		want = report.ExitFailed
	}
	if got := o.report.ExitCode(); got != want {
		t.Fatalf("G8: exit code %d, want %d\n%v", got, want, o.report)
	}
	if (o.report.Err() == nil) != (want == report.ExitOK) {
		t.Fatalf("G8: exit code %d and error %v", want, o.report.Err())
	}
}

// failedByItself says whether a server or worker ended badly before it was asked
// to end. In a tie it may have been either.
func (o *oracle) failedByItself() (failed, tie bool) {
	for _, a := range o.s.asks {
		if at := later(o.begun.Add(a.at-o.s.runAt), o.begun); a.what == "fail" && at.Equal(o.trigger) {
			failed, tie = o.causes == 1, o.causes > 1
		}
	}
	for _, s := range o.report.Steps {
		bad := s.Result == report.ResultFailed || s.Result == report.ResultPanicked || s.Result == report.ResultGoexit
		switch s.Op {
		case report.OpAttach:
			failed = failed || bad
		case report.OpServe:
			// After GracefulStop an error is no failure; a panic is a failed step only.
			gs, _ := o.w.at("gs "+s.Name, "begin")
			end := s.Start.Add(s.Duration)
			failed = failed || bad && (s.Result == report.ResultFailed || end.Before(gs))
			tie = tie || bad && s.Result != report.ResultFailed && end.Equal(gs)
		case report.OpWork:
			end := s.Start.Add(s.Duration)
			bad = bad && !o.s.workers[s.Name[0]-'a'].waitsForClaim // such a one had been told to end
			failed = failed || bad && !end.After(o.trigger)
			tie = tie || bad && end.Equal(o.trigger) && o.causes > 1
		}
	}
	return failed, tie
}

// checkOnce is G6.
func (o *oracle) checkOnce(t *rapid.T) {
	for _, r := range o.waited {
		if !reflect.DeepEqual(r, o.report) { //nolint:govet // the same error values are what G6 promises
			t.Fatalf("G6: Wait returned another report:\n%v\n%v", r, o.report)
		}
	}
	if o.causes > 1 { // any of them may have been the first
		return
	}
	ok := true
	cause := o.report.Cause
	var signal *report.SignalError
	var ended *report.EndedError
	switch {
	case errors.As(cause, &signal), errors.As(cause, &ended):
	case errors.Is(cause, errAsked), errors.Is(cause, report.ErrForced):
	default:
		ok = cause != nil
	}
	for _, a := range o.s.asks {
		if at := later(o.begun.Add(a.at-o.s.runAt), o.begun); at.Equal(o.trigger) {
			switch a.what {
			case "signal":
				ok = signal != nil
			case "shutdown", "fail":
				ok = errors.Is(cause, errAsked)
			case "force":
				ok = errors.Is(cause, report.ErrForced)
			}
		}
	}
	if !ok {
		t.Fatalf("G6: the cause is %v", cause)
	}
}

// checkIsolated is G8: every failure is in the report with the step's name, and
// nothing else is called one.
func (o *oracle) checkIsolated(t *rapid.T) {
	check := func(op report.Op, kind string, plans []stepPlan) {
		for i, p := range plans {
			var found *report.Step
			for _, s := range o.report.Steps {
				if s.Op == op && s.Name == name(i) {
					found = &s
				}
			}
			if found == nil {
				t.Fatalf("G8: %s %s is not in the report", kind, name(i))
			}
			o.checkResult(t, kind+" "+name(i), p.how, *found)
		}
	}
	check(report.OpAnnouncer, "announcer", o.s.announcers)
	check(report.OpClose, "closer", o.s.closers)
	check(report.OpFlush, "flusher", o.s.flushers)
	for _, s := range o.report.Steps {
		switch s.Op {
		case report.OpStop:
			o.checkResult(t, "stop "+s.Name, o.s.plan(s.Name).stop, s)
		case report.OpCancel:
			o.checkResult(t, "cancel "+s.Name, o.s.servers[s.Name[0]-'a'].cancel, s)
		case report.OpCut:
			o.checkResult(t, "cut "+s.Name, o.s.servers[s.Name[0]-'a'].cut, s)
		case report.OpGracefulStop:
			if back := o.ends("gs "+s.Name, "return"); len(back) > 0 && (back[0].Before(o.timer) || s.Name >= lastName(0)) {
				o.checkResult(t, "gs "+s.Name, o.s.plan(s.Name).graceful, s)
			}
		}
	}
}

// checkResult compares a step's result with how the call came back.
func (o *oracle) checkResult(t *rapid.T, who string, c conduct, s report.Step) {
	want := []report.Result{report.ResultTimedOut}
	if c.manner != badText {
		switch {
		case len(o.ends(who, "panic")) > 0:
			want = []report.Result{report.ResultPanicked}
		case len(o.ends(who, "goexit")) > 0:
			want = []report.Result{report.ResultGoexit}
		case len(o.ends(who, "return")) > 0 && (c.manner == fails || c.manner == obeys):
			// obeys: it may have returned the end of its context, in the same instant or later
			want = []report.Result{report.ResultFailed, report.ResultTimedOut}
			if c.manner == obeys {
				want = append(want, report.ResultOK)
			}
		case len(o.ends(who, "return")) > 0:
			want = []report.Result{report.ResultOK, report.ResultTimedOut}
		}
	}
	if o.back(who, c).Equal(o.end) { // it came back as Run did
		want = append(want, report.ResultTimedOut)
	}
	if !slices.Contains(want, s.Result) {
		t.Fatalf("G8: %s is reported as %v, want one of %v", who, s, want)
	}
	if s.Result == report.ResultTimedOut && !s.Abandoned && len(o.ends(who, "return")) > 0 && c.manner == returns && s.Duration < c.after {
		t.Fatalf("G8: %s is reported with %v, took %v", who, s, c.after)
	}
	if s.Result == report.ResultPanicked && (s.Stack == "" || s.Text != "as drawn") {
		t.Fatalf("G8: the panic of %s is reported without its stack or value: %v", who, s)
	}
}

// checkTold is G9.
func (o *oracle) checkTold(t *rapid.T) {
	all := marks(o.report.Steps)
	for i, p := range o.s.observers {
		got := marks(o.seen[i])
		if len(got) > len(all) || !slices.Equal(got, all[:len(got)]) {
			t.Fatalf("G9: observer %s was told %v, want a beginning of %v", name(i), got, all)
		}
		d := o.report.Listeners[i]
		if d.Name != name(i) || d.Op != report.OpObserve {
			t.Fatalf("G9: listener %d is %v", i, d)
		}
		inHand := 0
		if d.Busy {
			inHand = 1
		}
		if d.Told+d.Failed+inHand != len(o.seen[i]) {
			t.Fatalf("G9: observer %s saw %d steps, the report says %+v", name(i), len(o.seen[i]), d)
		}
		quick := p.how.after == 0 && p.how.manner != hangs && p.how.callback != callWait
		inTime := o.end.Before(o.deadlineAt(o.end)) // there was time to tell the last steps
		if quick && inTime && (d.Busy || d.Missed != 0 || len(got) != len(all)) {
			t.Fatalf("G9: observer %s, which takes no time, saw %d of %d marks: %v", name(i), len(got), len(all), d)
		}
		if d.Told+d.Failed+inHand+d.Missed < len(all) {
			t.Fatalf("G9: observer %s was given %d marks, the report counts %+v", name(i), len(all), d)
		}
	}
}

// badText says whether a step's error has a text that never comes.
func (o *oracle) badText(s report.Step) bool {
	i := int(s.Name[0] - 'a')
	switch s.Op {
	case report.OpServe:
		return o.s.plan(s.Name).serve.manner == badText
	case report.OpAnnounce:
		return o.s.plan(s.Name).announce.manner == badText
	case report.OpWork:
		return o.s.workers[i].how.manner == badText
	case report.OpAnnouncer:
		return o.s.announcers[i].how.manner == badText
	case report.OpClose:
		return o.s.closers[i].how.manner == badText
	case report.OpFlush:
		return o.s.flushers[i].how.manner == badText
	default:
		return false
	}
}

// checkNothingLeft is G10.
func (o *oracle) checkNothingLeft(t *rapid.T) {
	named := len(o.report.Abandoned())
	for _, d := range o.report.Listeners {
		if d.Busy {
			named++
		}
	}
	if o.alive > named {
		t.Fatalf("G10: %d goroutines are alive, the report names %d: %v", o.alive, named, subjects(o.report.Abandoned()))
	}
	for _, s := range o.report.Abandoned() {
		if !s.Failed() {
			t.Fatalf("G10: %v was abandoned but did not fail", s)
		}
		if s.Op == report.OpInFlight || s.Op == report.OpNotes || s.Op == report.OpLastArrival {
			continue // checkWork
		}
		who := map[report.Op]string{
			report.OpGracefulStop: "gs ", report.OpServe: "serve ", report.OpStop: "stop ", report.OpAttach: "attach ",
			report.OpAnnounce: "announce ", report.OpAnnouncer: "announcer ", report.OpWork: "worker ",
			report.OpCancel: "cancel ", report.OpCut: "cut ", report.OpClose: "closer ", report.OpFlush: "flusher ",
		}[s.Op] + s.Name
		if back := o.ends(who, "return", "panic", "goexit"); len(back) > 0 && back[0].Before(o.end) && !o.badText(s) {
			t.Fatalf("G10: %v is called abandoned, but came back %v before the end", s, o.end.Sub(back[0]))
		}
	}
}
