package controller

import (
	"context"
	"slices"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

// record is what a run remembers and tells: its steps and path, and a feed for each
// observer. A log is one of the observers.
type record struct {
	steps      []*report.Step
	phase      *report.Step // the one that is running
	path       []fsm.State
	causeText  string
	cause      *report.Step // the trigger, until it is told
	causeDue   time.Time    // when that is at the latest, with its text or without; zero: it is told, or not known
	causeTold  bool
	held       []report.Step // what has happened since the trigger, until the cause is told
	summed     bool          // the summary is told: the logs' last line
	feeds      []*feed
	deliveries []report.Delivery
}

func newRecord(c config, initial fsm.State, idle func()) record {
	r := record{path: []fsm.State{initial}}
	for _, o := range c.observers {
		r.feeds = append(r.feeds, &feed{observerConfig: o, idle: idle})
	}
	return r
}

// add adds a step where it belongs: it may have begun a while ago.
func (r *record) add(s *report.Step) {
	i := len(r.steps)
	for i > 0 && r.steps[i-1].Start.After(s.Start) {
		i--
	}
	r.steps = slices.Insert(r.steps, i, s)
}

// start has everything handed over that was told.
func (r *record) start() {
	for _, f := range r.feeds {
		f.start()
	}
}

// tell hands a step to every observer, once start is called. It never waits. The summary is
// the last step for a log: what flushers do is in the report only.
func (r *record) tell(s report.Step) {
	for _, f := range r.feeds {
		if f.op != report.OpLog || !r.summed {
			f.put(&s)
		}
	}
	r.summed = r.summed || s.Kind == report.KindSummary
}

// idle reports whether every observer has been told everything.
func (r *record) idle() bool { return r.patience().IsZero() }

// patience returns until when observers that take their time may delay the flush.
func (r *record) patience() time.Time { return r.latest((*feed).patience) }

// freshUntil returns until when an observer that is at work may be expected to finish
// at once; zero if none is.
func (r *record) freshUntil() time.Time { return r.latest((*feed).freshUntil) }

// latest returns the latest instant of those that a feed has.
func (r *record) latest(of func(*feed) time.Time) (at time.Time) {
	for _, f := range r.feeds {
		at = later(at, of(f))
	}
	return at
}

// close ends the last phase and the feeds.
func (r *record) close(now time.Time) {
	r.endPhase(now)
	for _, f := range r.feeds {
		r.deliveries = append(r.deliveries, f.close())
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
	m := r.now()
	return &report.Step{
		Kind: kind, Name: name, State: m.State, Phase: m.Phase,
		Start: m.At, Elapsed: m.Elapsed, Remaining: m.Remaining,
	}
}

// tellRequest remembers and tells that a request came after the trigger.
func (r *run) tellRequest(name, text string) {
	s := r.newStep(report.KindRequest, name)
	s.Text = text
	r.record.add(s)
	r.tell(*s)
	r.record.start() // it may be the last thing that happens
}

// now returns where the shutdown is.
func (r *run) now() report.Moment {
	m := report.Moment{At: time.Now()}
	m.State, m.Phase = r.progress.get()
	if !r.at.IsZero() {
		m.Elapsed, m.Remaining, m.Timer = m.At.Sub(r.at), r.deadline.Sub(m.At), max(0, r.timerAt.Sub(m.At))
	}
	return m
}

// tell hands a step to every observer, with where the shutdown is now. Between the
// trigger and the cause it is held back: the cause comes first.
func (r *run) tell(s report.Step) {
	s.Now = r.now()
	if r.trigger.Load() != nil && !r.record.causeTold {
		r.record.held = append(r.record.held, s)
		return
	}
	r.record.tell(s)
}

// report returns the Report as things are now.
func (r *run) report() report.Report {
	trigger := r.trigger.Load()
	made := report.Report{
		Cause: trigger.cause, CauseText: r.record.causeText,
		Outcome: r.outcome, Forced: r.forced, Suspended: r.suspended, Settle: r.settled,
		Path: slices.Clone(r.record.path), Deliveries: slices.Clone(r.record.deliveries),
		Budget: r.config.budget, Begun: r.begun, Triggered: r.at, Timer: r.timerAt, Deadline: r.deadline, Ended: time.Now(),
		Failed: r.failed, NotRun: r.broken,
	}
	made.Steps = make([]report.Step, 0, len(r.record.steps))
	for _, s := range r.record.steps {
		made.Steps = append(made.Steps, *s)
	}
	for _, s := range slices.Concat(r.servers, r.lasts) {
		made.Work = append(made.Work, s.atEnd.work...)
		for _, text := range s.idle {
			made.Idle = append(made.Idle, report.Note{Server: s.name, Text: text})
		}
		for _, text := range s.atEnd.notes {
			made.Notes = append(made.Notes, report.Note{Server: s.name, Text: text})
		}
	}
	if r.idle && r.outcome != report.OutcomeAbandoned && !slices.ContainsFunc(r.servers, (*server).hasLost) {
		made.Outcome = report.OutcomeIdle // and nothing has come since the timer fired
	}
	if r.outcome == report.OutcomeDrained && slices.ContainsFunc(r.servers, (*server).wasStopped) {
		made.Outcome = report.OutcomeStopped
	}
	made.Stacks = r.stacksFor(made)
	return made
}

// ownText returns the text of a cause, if that takes no call of a user's method.
func ownText(cause error) (text string, own bool) {
	switch cause := cause.(type) { //nolint:errorlint // what is wrapped would not do: the wrapper's method is the user's
	case *report.ContextError:
		if cause != nil && (cause.Err == context.Canceled || cause.Err == context.DeadlineExceeded) { //nolint:errorlint // the same
			return cause.Error(), true
		}
	case *report.EndedError:
		if cause != nil {
			return cause.Error(), true
		}
	case *report.SignalError:
		if cause != nil {
			if _, own := cause.Signal.(syscall.Signal); own {
				return cause.Error(), true
			}
		}
	}
	if slices.Contains([]error{report.ErrShutdown, report.ErrForced}, cause) {
		return cause.Error(), true
	}
	return "", false
}

// describeCause has the text of the cause taken, and then told. A cause that is not the
// library's own has a method of the user's for that, which gets tellTime: until then
// observers hear nothing, so that the cause is the first thing that they hear.
func (r *run) describeCause(cause error) {
	s := r.newStep(report.KindTrigger, "trigger")
	s.Start, s.Elapsed, s.Remaining = r.at, 0, r.deadline.Sub(r.at)
	s.Err = cause
	r.record.cause = s
	if text, own := ownText(cause); own {
		r.tellCause(text)
		return
	}
	r.record.causeDue = earlier(time.Now().Add(tellTime), r.share(2)()) // observers need time, too
	c := r.newCall(report.OpText, "cause", func() error { return cause }, func(res result) { r.tellCause(res.text) })
	c.quiet = true
	r.launch(c)
}

// giveUpCause has the cause told without its text.
func (r *run) giveUpCause() { r.tellCause("(its Error method has not returned)") }

// tellCause takes in the text of the cause, and tells observers why the shutdown
// began, once, and then what has happened since. A text that is late is in the summary; one
// that comes after that is nowhere, so that the report says what observers were told.
func (r *run) tellCause(text string) {
	if r.record.summed {
		return
	}
	r.record.causeText = text
	s := r.record.cause
	if s == nil {
		return // told without a text
	}
	known := r.report()
	known.Outcome = 0 // nothing has ended yet
	s.Text, s.Report = text, &known
	r.record.cause, r.record.causeDue, r.record.causeTold = nil, time.Time{}, true
	r.tell(*s)
	for _, held := range r.record.held {
		r.record.tell(held)
	}
	r.record.held = nil
}
