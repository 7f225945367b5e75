package controller

import (
	"runtime"
	"slices"
	"sync/atomic"
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
	// lastLook is how long before the timer progress is told for the last time; a quarter of
	// the drain, if that is less.
	lastLook = time.Second
	// lookEach is what a look takes for each goroutine on a busy machine.
	lookEach = 40 * time.Microsecond
	// lookTime is how long progress waits for the lines of code at most.
	lookTime = 500 * time.Millisecond
)

// TellProgress makes observers get a Step of kind [report.KindProgress] soon, with the lines of
// code where goroutines stand, even if nothing has changed. It does not block. Outside of Run
// there are no observers to tell.
func (c *Controller) TellProgress() {
	c.lookAsked.Store(true)
	c.inbox.poke()
}

// pulse is when progress is told, and what was told last.
type pulse struct {
	state    fsm.State       // the state for which last counts
	began    time.Time       // the beginning of the drain; zero before
	last     time.Time       // when it was told, or looked for, last, or when the state began
	looked   bool            // the look right before the timer has begun
	urgent   bool            // it is to be told now, with the lines of code
	asked    *progressStep   // the one that waits for answers; nil: none does
	lastWork []lastcall.Work // what was told last
}

// progressStep is progress that waits for what servers answer and for where goroutines
// stand.
type progressStep struct {
	step  *report.Step
	calls []*call
	until time.Time // when it is told at the latest
	look  bool      // it is told with the lines of code, also if nothing has changed
}

// every returns how often progress is told at most; 0 is never.
func (r *run) every() time.Duration {
	every := progressEvery
	if r.config.every != nil {
		every = *r.config.every
	}
	if r.typed() || r.machine.State() > fsm.GracefulShutdown {
		every = min(every, progressSoon)
	}
	return every
}

// typed reports whether a person is waiting, who has typed Ctrl-C at a terminal.
func (r *run) typed() bool {
	t := r.trigger.Load()
	return t != nil && t.typed
}

// lookAt returns when the look right before the timer is due: with very many goroutines so
// much earlier that it is over when the timer fires.
func (r *run) lookAt() time.Time {
	at := before(r.pulse.began, r.timerAt, 4)
	if n := runtime.NumGoroutine(); n > 10*manyGoroutines {
		most := r.timerAt.Sub(r.pulse.began) / 2
		at = earlier(at, r.timerAt.Add(-min(time.Duration(n)*lookEach, most)))
	}
	return at
}

// before returns when to look at what may last until an instant: a moment before that, or a part
// of its time, if that is less.
func before(start, end time.Time, part time.Duration) time.Time {
	return end.Add(-min(lastLook, end.Sub(start)/part))
}

// beat tells progress if it is time for it, and returns when it has to be called again;
// zero if never. The loop waits for nothing here.
func (r *run) beat() time.Time {
	p := &r.pulse
	state, now := r.machine.State(), time.Now()
	p.urgent = r.lookAsked.Swap(false) || p.urgent
	if p.asked != nil {
		if at := r.progressDue(); now.Before(at) {
			return at
		}
		r.tellProgress()
	}
	if p.urgent {
		r.askForProgress(true)
		return r.beat()
	}
	if state == fsm.Serving || r.every() == 0 {
		return time.Time{}
	}
	if p.began.IsZero() {
		p.began = now
	}
	if p.state != state {
		p.state, p.last = state, now // what is over soon is not worth a line
	}
	next := p.last.Add(r.every())
	last := state == fsm.GracefulShutdown && !p.looked
	if last {
		next = earlier(next, r.lookAt())
	}
	if now.Before(next) {
		return next
	}
	p.looked = p.looked || last && !now.Before(r.lookAt())
	r.askForProgress(last && p.looked)
	return r.beat()
}

// askForProgress asks servers for their work in flight, but for one that still has such a
// question, and has goroutines looked at.
func (r *run) askForProgress(look bool) {
	p := &r.pulse
	now := time.Now()
	p.last, p.urgent = now, false
	p.asked = &progressStep{step: r.newStep(report.KindProgress, "progress"), look: look, until: now.Add(grace)}
	if look {
		p.asked.until = now.Add(lookTime)
		if r.machine.State() == fsm.GracefulShutdown && !r.timerAt.Before(now) { // not later than the timer
			p.asked.until = earlier(p.asked.until, now.Add(r.timerAt.Sub(now)/2))
		}
		r.look(r.machine.State() != fsm.Serving)
	}
	if r.machine.State() == fsm.Terminated {
		return
	}
	for _, s := range r.servers {
		if s.full == nil || s.hasEnded() || s.inFlight != nil && !s.inFlight.over {
			continue
		}
		r.inspect([]*server{s}, false, func(s *server, work []lastcall.Work) { s.seen = work })
		s.inFlight.lasts = true // nothing waits for it
		p.asked.calls = append(p.asked.calls, s.inFlight)
	}
}

// progressDue returns when the progress that waits for answers is told: at once when all of
// them have come, or if the state has changed, which tells more.
func (r *run) progressDue() time.Time {
	p := r.pulse.asked
	answered := p.step.Start.Add(grace)
	if allDone(p.calls) {
		answered = p.step.Start
	}
	switch {
	case p.step.State != r.machine.State():
		return p.step.Start
	case p.look && r.sight.looking:
		return p.until
	default:
		return earlier(p.until, answered)
	}
}

// tellProgress tells what the shutdown waits for, if that has changed, if it is the one
// with the lines of code, or if the trigger was typed.
func (r *run) tellProgress() {
	p := &r.pulse
	asked, step := p.asked, p.asked.step
	p.asked = nil
	r.calls = slices.DeleteFunc(r.calls, func(c *call) bool { return c.quiet && c.over && c.step.Result == report.ResultOK })
	if step.State != r.machine.State() {
		return
	}
	work := r.waitsFor()
	if len(work) == 0 || slices.Equal(work, p.lastWork) && !asked.look && !r.typed() {
		return
	}
	p.lastWork, step.Work = work, work
	if asked.look {
		step.Stacks = r.stacksOfWork(work, runs)
	}
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

// progress is state and phase in one word, so that a reader sees a pair that
// belongs together.
type progress struct{ word atomic.Uint32 }

func (p *progress) set(s fsm.State, ph lastcall.Phase) { p.word.Store(uint32(s)<<8 | uint32(ph)) }

func (p *progress) get() (fsm.State, lastcall.Phase) {
	word := p.word.Load()
	return fsm.State(word >> 8 & 0xff), lastcall.Phase(word & 0xff)
}
