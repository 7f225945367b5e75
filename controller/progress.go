package controller

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

const (
	// progressEvery is how often progress is told at most, in the drain.
	progressEvery = 5 * time.Second
	// progressSoon is the same after the timer, while dependencies close, and for a
	// person who has typed Ctrl-C.
	progressSoon = time.Second
	// leastProgress is the least that WithProgress takes.
	leastProgress = 100 * time.Millisecond
	// lastLook is how long before the timer progress is told for the last time; a tenth of
	// the drain, if that is less.
	lastLook = time.Second
)

// WithProgress sets how often a Step of kind [report.KindProgress] is told at most while the
// drain lasts: once in 5 seconds without this option. 0 turns progress off. There is one
// only if something has changed since the last one, and always one right before the
// timer. After the timer, while dependencies close, and if the trigger was a Ctrl-C
// typed at a terminal, there is one each second, or as often as here if that is more
// often. Servers are asked InFlight for it. Less than 100 ms is an error.
func WithProgress(every time.Duration) Option {
	return func(c *config) error {
		if every != 0 && every < leastProgress {
			return fmt.Errorf("controller: WithProgress: %v is less than %v; 0 turns progress off", every, leastProgress)
		}
		if c.progress != nil {
			return errTwoProgresses
		}
		c.progress = &every
		return nil
	}
}

var errTwoProgresses = errors.New("controller: WithProgress was given twice")

// pulse is when progress is told, and what was told last.
type pulse struct {
	state  fsm.State       // the state for which last counts
	began  time.Time       // the beginning of the drain; zero before
	last   time.Time       // when it was told, or looked for, last, or when the state began
	looked bool            // the look right before the timer has begun
	asked  *report.Step    // the step that waits for answers; nil: none does
	calls  []*call         // those answers
	told   []lastcall.Work // what was told last
}

// every returns how often progress is told at most; 0 is never.
func (r *run) every() time.Duration {
	every := progressEvery
	if r.config.progress != nil {
		every = *r.config.progress
	}
	if r.trigger.Load().typed || r.machine.State() != fsm.GracefulShutdown {
		every = min(every, progressSoon)
	}
	return every
}

// lookAt returns when the look right before the timer is due.
func (r *run) lookAt() time.Time {
	return r.timerAt.Add(-min(lastLook, r.timerAt.Sub(r.pulse.began)/10))
}

// beat tells progress if it is time for it, and returns when it has to be called again;
// zero if never. The loop waits for nothing here.
func (r *run) beat() time.Time {
	p := &r.pulse
	if r.machine.State() == fsm.Serving || r.every() == 0 {
		return time.Time{}
	}
	now := time.Now()
	if p.began.IsZero() {
		p.began = now
	}
	if state := r.machine.State(); p.state != state {
		p.state, p.last = state, now // what is over soon is not worth a line
	}
	if p.asked != nil {
		until := p.asked.Start.Add(grace)
		if !allDone(p.calls) && now.Before(until) && p.asked.State == r.machine.State() {
			return until
		}
		r.tellProgress()
	}
	next := p.last.Add(r.every())
	final := r.machine.State() == fsm.GracefulShutdown && !p.looked
	if final {
		next = earlier(next, r.lookAt())
	}
	if now.Before(next) {
		return next
	}
	p.last, p.looked = now, p.looked || final && !now.Before(r.lookAt())
	p.asked, p.calls = r.newStep(report.KindProgress, "progress"), nil
	if r.machine.State() != fsm.Terminated {
		for _, s := range r.servers {
			if !s.hasEnded() {
				r.askProgress(s)
			}
		}
	}
	return r.beat()
}

// askProgress asks a server for its work in flight, unless it still has such a question.
func (r *run) askProgress(s *server) {
	if s.full == nil || s.inFlight != nil && !s.inFlight.over {
		return
	}
	r.inspect([]*server{s}, false, func(s *server, work []lastcall.Work) { s.seen = work })
	s.inFlight.lasts = true // nothing waits for it
	r.pulse.calls = append(r.pulse.calls, s.inFlight)
}

// tellProgress tells what the shutdown waits for, if that has changed, or if the timer is
// near.
func (r *run) tellProgress() {
	p := &r.pulse
	step := p.asked
	p.asked, p.calls = nil, nil
	r.calls = slices.DeleteFunc(r.calls, func(c *call) bool { return c.quiet && c.over && c.step.Result == report.ResultOK })
	if step.State != r.machine.State() {
		return // the transition has told more
	}
	work := r.waitsFor()
	final := p.looked && step.State == fsm.GracefulShutdown && !step.Start.Before(r.lookAt())
	if len(work) == 0 || slices.Equal(work, p.told) && !final {
		return
	}
	p.told, step.Work = work, work
	r.tell(*step)
}

// waitsFor returns what servers have in flight, as they have told last, and the calls that
// run.
func (r *run) waitsFor() []lastcall.Work {
	var all []lastcall.Work
	busy := map[string]bool{}
	if r.machine.State() != fsm.Terminated {
		for _, s := range r.servers {
			if running := report.StillRunning(s.seen); !s.hasEnded() && len(running) > 0 {
				busy[s.name] = true
				all = append(all, running...)
			}
		}
	}
	for _, c := range r.calls {
		switch {
		case c.over || c.quiet || c.lasts || c.step.Op == report.OpServe:
		case c.step.Op == report.OpGracefulStop && busy[c.step.Name]: // it waits for that work
		default:
			all = append(all, lastcall.Work{Name: c.step.Subject(), Kind: lastcall.WorkCall, Running: 1, Oldest: c.step.Start})
		}
	}
	return all
}
