package controller

import (
	"github.com/lastcall-go/lastcall/report"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
)

// record is what a run remembers and tells: its steps and path, and the feeds of
// those who listen.
type record struct {
	steps      []*report.Step
	phase      *report.Step // the one that is running
	path       []fsm.State
	causeText  string
	lastSaid   bool // nothing is logged any more
	observers  []*feed
	observe    []func(report.Step)
	log        *feed
	logger     *logger
	deliveries []report.Delivery
}

func newRecord(c config, idle func()) record {
	r := record{path: []fsm.State{transitions.Shutdown().Initial()}, log: &feed{op: report.OpLog, idle: idle}}
	if c.logger != nil {
		r.logger = &logger{*c.logger}
	}
	for _, o := range c.observers {
		r.observers = append(r.observers, &feed{op: report.OpObserve, name: o.name, idle: idle})
		r.observe = append(r.observe, o.observe)
	}
	return r
}

func (r *record) add(s *report.Step) { r.steps = append(r.steps, s) }

// addLate adds a step that began a while ago, where it belongs.
func (r *record) addLate(s *report.Step) {
	i := len(r.steps)
	for i > 0 && r.steps[i-1].Start.After(s.Start) {
		i--
	}
	r.steps = slices.Insert(r.steps, i, s)
}

// tell hands a step to everybody who listens. It never waits.
func (r *record) tell(s, now report.Step) {
	for i, f := range r.observers {
		observe := r.observe[i]
		f.put(func() { observe(s) })
	}
	r.say(func(l *logger) { l.step(s, now) })
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
func (r *record) sayLast(report report.Report) {
	r.say(func(l *logger) { l.summary(report) })
	r.lastSaid = true
}

// freshUntil returns until when a listener that is at work may be expected to
// finish at once; zero if none is.
func (r *record) freshUntil() time.Time {
	until := r.log.freshUntil()
	for _, f := range r.observers {
		until = later(until, f.freshUntil())
	}
	return until
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
func (r *run) newStep(kind report.Kind, name string) *report.Step {
	state, phase := r.progress.get()
	s := &report.Step{Kind: kind, Name: name, State: state, Phase: phase, Start: time.Now()}
	if !r.at.IsZero() {
		s.Elapsed, s.Remaining = s.Start.Sub(r.at), r.deadline.Sub(s.Start)
	}
	return s
}

// tell hands a step to everybody who listens, with where the shutdown is now.
func (r *run) tell(s report.Step) { r.record.tell(s, *r.newStep(s.Kind, s.Name)) }
