package controller

import (
	"time"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
)

// record is what a run remembers and tells: its steps and path, and the feeds of
// those who listen.
type record struct {
	steps      []*Step
	phase      *Step // the one that is running
	path       []fsm.State
	causeText  string
	causeTold  bool
	lastSaid   bool // nothing is logged any more
	observers  []*feed
	observe    []func(Step)
	log        *feed
	logger     *logger
	deliveries []Delivery
}

func newRecord(c config, idle func()) record {
	r := record{path: []fsm.State{transitions.Shutdown().Initial()}, log: &feed{op: OpLog, idle: idle}}
	if c.logger != nil {
		r.logger = &logger{*c.logger}
	}
	for _, o := range c.observers {
		r.observers = append(r.observers, &feed{op: OpObserve, name: o.name, idle: idle})
		r.observe = append(r.observe, o.observe)
	}
	return r
}

func (r *record) add(s *Step) { r.steps = append(r.steps, s) }

// tell hands a step to everybody who listens. It never waits.
func (r *record) tell(s Step) {
	for i, f := range r.observers {
		observe := r.observe[i]
		f.put(func() { observe(s) })
	}
	r.say(func(l *logger) { l.step(s) })
}

// say hands a line to the logger, if there is one and the last line has not been
// said. It never waits.
func (r *record) say(line func(*logger)) {
	if r.logger != nil && !r.lastSaid {
		l := r.logger
		r.log.put(func() { line(l) })
	}
}

// sayLast hands the summary to the logger.
func (r *record) sayLast(report Report) {
	r.say(func(l *logger) { l.summary(report) })
	r.lastSaid = true
}

// busy says whether an observer has not finished what it was given.
func (r *record) busy() bool {
	for _, f := range r.observers {
		if f.busy() {
			return true
		}
	}
	return false
}

// close ends the last phase and the feeds.
func (r *record) close(now time.Time) {
	r.endPhase(now)
	for _, f := range r.observers {
		r.deliveries = append(r.deliveries, f.close())
	}
	if r.logger != nil {
		r.deliveries = append(r.deliveries, r.log.close())
	}
}

func (r *record) endPhase(now time.Time) {
	if r.phase != nil {
		r.phase.Duration = now.Sub(r.phase.Start)
		r.phase = nil
	}
}

// newStep returns a step that begins now.
func (r *run) newStep(kind Kind, name string) *Step {
	state, phase := r.progress.get()
	s := &Step{Kind: kind, Name: name, State: state, Phase: phase, Start: time.Now()}
	if !r.at.IsZero() {
		s.Elapsed, s.Remaining = s.Start.Sub(r.at), r.deadline.Sub(s.Start)
	}
	return s
}

func (r *run) tell(s Step) { r.record.tell(s) }

// enter begins a phase.
func (r *run) enter(p Phase) {
	r.progress.set(r.machine.State(), p)
	s := r.newStep(KindPhase, p.String())
	r.record.endPhase(s.Start)
	r.record.phase = s
	r.record.add(s)
	r.tell(*s)
}

// fire takes a transition. The table allows every one that the phases ask for;
// if the engine refuses all the same, the report says so and the shutdown goes on.
func (r *run) fire(e fsm.Event) {
	if _, err := r.machine.Fire(e); err != nil {
		r.broken = err
	}
}

// entered is the machine's hook. It only starts things: what the state calls.
func (r *run) entered(t fsm.Transition) {
	first := map[fsm.State]Phase{
		fsm.GracefulShutdown: PhaseDrain,
		fsm.TimerExpired:     PhaseCancel,
		fsm.Terminated:       PhaseClose,
	}[t.To]
	r.progress.set(t.To, first)
	s := r.newStep(KindTransition, t.Event.String())
	s.Transition = t
	r.record.endPhase(s.Start)
	r.record.path = append(r.record.path, t.To)
	r.record.add(s)
	r.tell(*s)
	switch t.Call {
	case fsm.NoCall:
	case fsm.CallGracefulStop:
		r.enter(PhaseDrain)
		r.beginDrain()
	case fsm.CallStop:
		r.beginForce()
	}
}

// describeCause turns the cause into text and tells it. For a cause that is not
// the controller's own that calls a foreign method, and the call is returned.
func (r *run) describeCause(end time.Time) []*call {
	cause := r.trigger.Load().cause
	if text, own := ownText(cause); own {
		r.record.causeText = text
		r.tellCause()
		return nil
	}
	c := r.begin(OpText, "cause", func() error { return cause }, func(res result) {
		r.record.causeText = res.text
		r.tellCause()
	})
	c.quiet, c.due = true, end
	return []*call{c}
}

// tellCause logs why the server shuts down, once.
func (r *run) tellCause() {
	if r.record.causeTold {
		return
	}
	r.record.causeTold = true
	if r.record.causeText == "" {
		r.record.causeText = "(its Error method has not returned)"
	}
	text := r.record.causeText
	r.record.say(func(l *logger) { l.cause(text) })
}
