package lastcall_test

import (
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
)

// oracle says what should have happened, from what was drawn and from what the
// foreign code noted itself. Of the report it believes nothing that it can find
// out otherwise. All instants are virtual and compare with ==.
type oracle struct {
	*observed
	trigger  time.Time
	causes   int // how many things asked in the instant of the trigger
	force    time.Time
	forced   bool
	timer    time.Time
	expired  bool // the timer fired before everything had ended
	ready    bool
	phase    map[lastcall.Phase]report.Step
	graceful time.Time // when GRACEFUL_SHUTDOWN was entered
	over     time.Time // when TERMINATED was entered

	lastsOver time.Time // when those that are Last were, or their time
}

func newOracle(o *observed) *oracle {
	or := &oracle{observed: o, phase: o.phases()}
	_, or.ready = or.phase[lastcall.PhaseServe]
	for _, s := range o.report.Steps {
		if s.Kind == report.KindTransition {
			switch s.State {
			case fsm.GracefulShutdown:
				or.graceful = s.Start
			case fsm.Terminated:
				or.over = s.Start
			}
		}
	}
	or.findTrigger()
	return or
}

// findTrigger takes the earliest of everything that asks for a shutdown.
func (o *oracle) findTrigger() {
	var asked []time.Time
	for _, at := range o.w.triggers {
		asked = append(asked, later(at, o.begun))
	}
	for server, p := range o.s.all() {
		if p.bare && !p.closure {
			continue
		}
		asked = append(asked, o.ends("attach "+server, "panic", "goexit")...)
		if !p.elsewhere && p.serve.manner != badText {
			if at, ok := o.w.at("gs "+server, "begin"); ok {
				for _, end := range o.ends("serve "+server, "return", "panic", "goexit") {
					if p.serve.manner != yields && !end.After(at) {
						asked = append(asked, end)
					}
				}
			}
		}
	}
	for i, p := range o.s.workers {
		if !p.waitsForClaim && p.how.manner != badText {
			asked = append(asked, o.ends("worker "+name(i), "panic", "goexit")...)
			if p.how.manner == fails || p.endsProcess {
				asked = append(asked, o.ends("worker "+name(i), "return")...)
			}
		}
	}
	o.trigger = slices.MinFunc(asked, time.Time.Compare)
	for _, at := range asked {
		if at.Equal(o.trigger) {
			o.causes++
		}
	}
	o.timer = o.trigger.Add(o.s.budget.Total - o.s.budget.Reserve)
	for _, at := range o.w.forces {
		at = later(at, o.begun)
		if at.After(o.end) {
			continue
		}
		if !o.forced || at.Before(o.force) {
			o.force, o.forced = at, true
		}
	}
	if o.forced && o.force.Before(o.timer) {
		o.timer = o.force
	}
}

// ends returns when somebody came back in one of these ways.
func (o *oracle) ends(who string, ways ...string) []time.Time {
	var at []time.Time
	for _, way := range ways {
		for _, n := range o.w.find(who, way) {
			at = append(at, n.at)
		}
	}
	return at
}

// back returns when somebody had come back, or a time that never comes. An error
// whose text hangs has not come back.
func (o *oracle) back(who string, c conduct) time.Time {
	if c.manner != badText {
		if at := o.ends(who, "return", "panic", "goexit"); len(at) > 0 {
			return at[0]
		}
	}
	return o.end.Add(1 << 40)
}

// deadlineAt returns the deadline as it was known in an instant.
func (o *oracle) deadlineAt(at time.Time) time.Time {
	deadline := o.trigger.Add(o.s.budget.Total)
	if o.forced && !o.force.After(at) {
		deadline = earlier(deadline, o.force.Add(o.s.budget.Reserve))
	}
	return deadline
}

// shareEnd returns when something that started then and may use a k-th of what is
// left has to end, if it does not end by itself before.
func (o *oracle) shareEnd(start time.Time, k int, whole func(at time.Time) time.Time) time.Time {
	part := func(at time.Time) time.Time {
		return start.Add(max(0, whole(at).Sub(start)) / time.Duration(k))
	}
	end := part(start)
	if o.forced && o.force.After(start) && o.force.Before(end) {
		end = later(o.force, earlier(end, part(o.force)))
	}
	return end
}

func (o *oracle) check(t *rapid.T) {
	o.checkBounded(t)
	o.checkLegal(t)
	o.checkKnown(t)
	o.checkServing(t)
	o.checkDrain(t)
	o.checkForce(t)
	o.checkEnding(t)
	o.checkOnce(t)
	o.checkExit(t)
	o.checkIsolated(t)
	o.checkTold(t)
	o.checkNothingLeft(t)
	o.checkSaidLast(t)
	o.checkCancel(t)
	o.checkWork(t)
}

// checkBounded is G1.
func (o *oracle) checkBounded(t *rapid.T) {
	if deadline := o.deadlineAt(o.end); o.end.After(deadline) {
		t.Fatalf("G1: Run returned %v after the deadline\n%v", o.end.Sub(deadline), o.report)
	}
	if !o.report.Triggered.Equal(o.trigger) {
		t.Fatalf("G1: the budget counts from %v, but the trigger was at %v", o.report.Triggered.Sub(o.begun), o.trigger.Sub(o.begun))
	}
}

// checkLegal is G7, and the order of phases of G2.
func (o *oracle) checkLegal(t *rapid.T) {
	table := transitions.Shutdown()
	state := table.Initial()
	path := []fsm.State{state}
	var phase lastcall.Phase
	var began time.Time
	for _, s := range o.report.Steps {
		if s.Start.Before(began) {
			t.Fatalf("G2: %v stands behind a step that began after it", s)
		}
		began = s.Start
		switch s.Kind {
		case report.KindTransition:
			row, ok := table.Next(state, s.Transition.Event)
			if !ok || row != s.Transition || s.State != row.To {
				t.Fatalf("G7: %v was taken from %v", s, state)
			}
			state = row.To
			path = append(path, state)
		case report.KindPhase:
			if s.Phase <= phase {
				t.Fatalf("G2: phase %v after %v", s.Phase, phase)
			}
			if s.State != state || stateOf(s.Phase) != state {
				t.Fatalf("G2: phase %v in state %v, the machine being in %v", s.Phase, s.State, state)
			}
			phase = s.Phase
		}
	}
	if !state.Terminal() || !slices.Equal(path, o.report.Path) {
		t.Fatalf("G7: the path is %v, the report says %v", path, o.report.Path)
	}
	last := sample{state: fsm.Serving, phase: lastcall.PhaseStart}
	rank := map[fsm.State]int{fsm.Serving: 1, fsm.GracefulShutdown: 2, fsm.TimerExpired: 3, fsm.Terminated: 4}
	wasReady := false
	for _, s := range o.samples {
		if rank[s.state] < rank[last.state] || s.phase < last.phase {
			t.Fatalf("G7: a reader saw %v, %v after %v, %v", s.state, s.phase, last.state, last.phase)
		}
		if rank[stateOf(s.phase)] < rank[s.state] { // the state was read first, and may have moved on
			t.Fatalf("G7: a reader saw phase %v after state %v", s.phase, s.state)
		}
		if s.ready && s.at.After(o.trigger) {
			t.Fatalf("G7: a reader saw ready, then phase %v, %v after the trigger", s.phase, s.at.Sub(o.trigger))
		}
		if !s.ready && wasReady && s.at.Before(o.trigger) {
			t.Fatalf("G7: a reader saw ready go away before the trigger")
		}
		wasReady = wasReady || s.ready
		last = s
	}
}

// checkKnown compares what readers were told of the timer and the deadline.
func (o *oracle) checkKnown(t *rapid.T) {
	natural := o.trigger.Add(o.s.budget.Total - o.s.budget.Reserve)
	for _, s := range o.samples {
		if s.at.Equal(o.trigger) || o.forced && s.at.Equal(o.force) { // before or after that
			continue
		}
		var deadline, timer time.Time
		if s.at.After(o.trigger) {
			deadline, timer = o.deadlineAt(s.at), natural
		}
		if o.forced && s.at.After(o.force) {
			timer = earlier(natural, o.force)
		}
		if !s.deadline.Equal(deadline) || !s.timer.Equal(timer) {
			t.Fatalf("G1: a reader was told, %v after the trigger, that the deadline is at +%v and the timer at +%v; want +%v and +%v", s.at.Sub(o.trigger),
				s.deadline.Sub(o.trigger), s.timer.Sub(o.trigger), deadline.Sub(o.trigger), timer.Sub(o.trigger))
		}
	}
}

func stateOf(p lastcall.Phase) fsm.State {
	switch {
	case p <= lastcall.PhaseSettle:
		return fsm.Serving
	case p == lastcall.PhaseDrain:
		return fsm.GracefulShutdown
	case p <= lastcall.PhaseWait:
		return fsm.TimerExpired
	default:
		return fsm.Terminated
	}
}

// checkServing is G4 for what comes before the drain: announce begins with the
// trigger, and each phase ends in the instant in which it has to.
func (o *oracle) checkServing(t *rapid.T) {
	for server, p := range o.s.all() {
		if _, served := o.w.at("serve "+server, "begin"); o.ready && !served && !p.elsewhere && (!p.bare || p.closure) {
			t.Fatalf("G2: phase serve was entered, and Serve of %s was not called", server)
		}
	}
	announce := o.phase[lastcall.PhaseAnnounce]
	if !announce.Start.Equal(o.trigger) {
		t.Fatalf("G4: announce began %v after the trigger", announce.Start.Sub(o.trigger))
	}
	bound := o.trigger.Add((o.s.budget.Total - o.s.budget.Reserve) / 10)
	end := o.trigger
	for server, p := range o.s.all() {
		if !p.bare {
			end = later(end, earlier(bound, o.back("announce "+server, p.announce)))
		}
	}
	for i, p := range o.s.announcers {
		own := bound
		if p.timeout > 0 {
			own = earlier(bound, o.trigger.Add(p.timeout))
		}
		end = later(end, earlier(own, o.back("announcer "+name(i), p.how)))
	}
	end = earlier(end, later(o.trigger, o.timer))

	next := o.graceful
	settle, settled := o.phase[lastcall.PhaseSettle]
	if settled {
		next = settle.Start
	}
	if !next.Equal(end) {
		t.Fatalf("G4: announce ended %v after the trigger, want %v", next.Sub(o.trigger), end.Sub(o.trigger))
	}
	last, serves := o.lastServing()
	may := o.s.budget.Settle > 0 && o.ready && serves && !last.Before(end) && !o.timer.Before(end)
	tie := last.Equal(end) || o.timer.Equal(end)
	if settled && !may || !settled && may && !tie {
		t.Fatalf("G4: settle was entered: %v, should be: %v", settled, may)
	}
	quiet := false
	if settled {
		want := earlier(earlier(end.Add(o.s.budget.Settle), last), o.timer)
		want, quiet = o.quiet(t, end, want)
		if !o.graceful.Equal(want) {
			t.Fatalf("G4: settle ended %v after the trigger, want %v", o.graceful.Sub(o.trigger), want.Sub(o.trigger))
		}
	}
	if want := o.settleEnds(end, settled, quiet); !slices.Contains(want, o.report.Settle) {
		t.Fatalf("G4: settle is said to have ended with %q, want one of %q", o.report.Settle, want)
	}
}

// settleEnds returns why settle ended, or was left out, if announce ended then: more than
// one reason if they fell into the same instant.
func (o *oracle) settleEnds(announced time.Time, settled, quiet bool) []report.SettleEnd {
	switch {
	case o.s.budget.Settle == 0:
		return []report.SettleEnd{report.SettleUnplanned}
	case !o.ready:
		return []report.SettleEnd{report.SettleNotReady}
	}
	var all []report.SettleEnd
	natural := o.trigger.Add(o.s.budget.Total - o.s.budget.Reserve)
	last, serves := o.lastServing()
	if !serves || !settled && !last.After(o.graceful) || settled && last.Equal(o.graceful) {
		all = append(all, report.SettleNobody)
	}
	if serves && last.Before(o.graceful) {
		return all // nobody served when announce was over, which is asked first
	}
	if quiet {
		all = append(all, report.SettleQuiet)
	}
	if o.forced && !o.force.After(o.graceful) {
		all = append(all, report.SettleForced)
	}
	switch {
	case natural.Equal(o.graceful):
		all = append(all, report.SettleTimer)
	case settled && announced.Add(o.s.budget.Settle).Equal(o.graceful):
		all = append(all, report.SettleTime)
	}
	return all
}

// lastServing returns when the last server's Serve returned, and whether there is
// any server that serves.
func (o *oracle) lastServing() (time.Time, bool) {
	var last time.Time
	found := false
	for i, p := range o.s.servers {
		switch _, served := o.w.at("serve "+name(i), "begin"); {
		case p.bare && !p.closure, p.elsewhere && o.attached(i):
			return o.end.Add(1 << 40), true
		case served:
			last, found = later(last, o.back("serve "+name(i), p.serve)), true
		}
	}
	return last, found
}

// attached says whether Attach came back before the trigger, so that Serve was
// called.
func (o *oracle) attached(i int) bool {
	if o.s.servers[i].closure { // there is no Attach
		return slices.ContainsFunc(o.report.Steps, func(s report.Step) bool { return s.Op == report.OpServe && s.Name == name(i) })
	}
	at, ok := o.w.at("attach "+name(i), "return")
	return ok && (at.Before(o.trigger) || o.ready)
}

// lastEnd returns when the last server and worker had ended, by G3's definition.
func (o *oracle) lastEnd() time.Time {
	var last time.Time
	for i, p := range o.s.servers {
		at := o.ends("gs "+name(i), "return")
		if len(at) == 0 {
			return o.end.Add(1 << 40)
		}
		last = later(last, at[0])
		if _, served := o.w.at("serve "+name(i), "begin"); served {
			last = later(last, o.back("serve "+name(i), p.serve))
		}
	}
	return later(last, o.lastWorker())
}

func (o *oracle) lastWorker() time.Time {
	var last time.Time
	if !o.workersBegan() {
		return last
	}
	for i, p := range o.s.workers {
		last = later(last, o.back("worker "+name(i), p.how))
	}
	return last
}

// workersBegan says whether the workers were started: not if the trigger came
// before Run.
func (o *oracle) workersBegan() bool {
	return slices.ContainsFunc(o.report.Steps, func(s report.Step) bool { return s.Op == report.OpWork })
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
