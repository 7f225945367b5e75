package controller

import (
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// beginShutdown starts the clock.
func (r *run) beginShutdown(t *trigger) {
	r.at = later(t.at, r.begun)
	b := r.config.budget
	r.announceEnd, r.settleTime = r.at.Add(b.Announce()), b.Settle
	r.setTimes(r.at.Add(b.Total-b.Reserve), r.at.Add(b.Total))
	r.takeShortenings() // the cause tells until when
	r.ended, r.pipes = nil, nil
	r.failed = r.failed || t.failed
	r.describeCause(t.cause)
}

// forceAt moves the timer and the deadline to what a force leaves of them. When no signal
// can be the same request any more, those that force are the platform's again.
func (r *run) forceAt(f force) {
	r.forced = true
	at := later(f.at, r.begun)
	r.setTimes(earlier(r.timerAt, at), earlier(r.deadline, at.Add(r.config.budget.Reserve)))
	r.giveBackAt = at.Add(sameKey)
	r.tellRequest("Force", f.by+r.untilWhen())
}

// untilWhen returns, for people, by when Run returns.
func (r *run) untilWhen() string {
	return "Run returns by " + r.deadline.Format("2006-01-02T15:04:05.000Z07:00")
}

func (r *run) setTimes(timer, deadline time.Time) {
	r.timerAt, r.deadline = timer, deadline
	r.times.Store(&lastcall.Times{Trigger: r.at, Timer: timer, Deadline: deadline})
	r.record.causeDue = earlier(r.record.causeDue, r.share(2)())
}

// share returns the end of a phase that starts now and may use the k-th part of the
// time that is left.
func (r *run) share(k int) func() time.Time {
	return r.divided(func() time.Time {
		now := time.Now()
		return now.Add(max(0, r.deadline.Sub(now)-r.tail) / time.Duration(k))
	})
}

// divided returns the end of what may use a part of the time that is left. It is asked
// anew each time: if the deadline has moved, what is left then is divided anew. If it has
// come nearer, that gives no more time than there was: contexts were told of that, and may
// have ended. Only after a suspension there is more.
func (r *run) divided(part func() time.Time) func() time.Time {
	end, deadline := part(), r.deadline
	return func() time.Time {
		switch {
		case r.deadline.Before(deadline):
			end = earlier(end, part())
		case r.deadline.After(deadline):
			end = part()
		}
		deadline = r.deadline
		return end
	}
}

// Shorten brings the deadline forward, because the process will be killed sooner than the
// budget assumes: a grace period was cut, a node shuts down, a spot instance is taken back.
// What is left of settle, of the drain and of Reserve shrinks in the same proportion, so each
// still gets its part. The deadline never moves back: one that is not before the present one
// changes nothing. With a deadline that has passed Run returns at once. The zero time is a
// mistake of the caller: it changes nothing, and observers are told of it once.
//
// Shorten is not a trigger. Called before one, it applies to a shutdown that begins before that
// deadline, which then ends by it. A shutdown that begins later has its whole budget. Call
// Shutdown as well to begin at once.
//
// It returns at once. Any goroutine may call it at any time and more than once: handlers,
// closers, observers. Observers are told of each change: the new deadline, and why.
func (c *Controller) Shorten(deadline time.Time, why string) {
	now := time.Now()
	c.mu.Lock()
	c.shortenings = append(c.shortenings, shortening{at: now, deadline: deadline, why: why})
	if len(c.shortenings) > c.manyShortenings {
		c.sweepShortenings(now)
	}
	c.mu.Unlock()
	c.inbox.poke()
}

// shortening is a call of Shorten.
type shortening struct {
	at, deadline time.Time
	why          string
}

// sweepShortenings drops what changes nothing: the deadlines that have passed without a
// trigger, and all but the first of those that are equal. It does so each time when there are
// twice as many as it left, so that a call costs the same however many came before it. The
// mutex is held.
func (c *Controller) sweepShortenings(now time.Time) {
	untriggered, seen := c.trigger.Load() == nil, map[time.Time]bool{}
	c.shortenings = slices.DeleteFunc(c.shortenings, func(s shortening) bool {
		at := s.deadline.Round(0).UTC() // equal instants are the same value
		drop := seen[at] || untriggered && !s.deadline.IsZero() && !s.deadline.After(now)
		seen[at] = true
		return drop
	})
	c.manyShortenings = 2*len(c.shortenings) + 100
}

// takeShortenings takes in what Shorten was called with, as it matters to the shutdown.
func (r *run) takeShortenings() {
	r.mu.Lock()
	all := r.shortenings
	r.shortenings = nil
	r.mu.Unlock()
	for _, s := range all {
		r.shorten(s, r.trigger.Load().at)
	}
}

// shorten brings the deadline forward, and everything that comes before it in the same
// proportion.
func (r *run) shorten(s shortening, triggered time.Time) {
	from := later(s.at, r.at)
	to := later(s.at.Add(s.deadline.Sub(s.at)), from) // by the monotonic clock, which is not set, also if it was read from text
	switch {
	case s.deadline.IsZero():
		if !r.toldZero {
			r.toldZero = true
			r.tellRequest("Shorten", "the deadline is the zero time, which changes nothing: "+s.why)
		}
		return
	case s.at.Before(triggered) && !s.deadline.After(triggered), !to.Before(r.deadline):
		return
	}
	was, left, less := r.deadline, r.deadline.Sub(from), to.Sub(from)
	scaled := func(d time.Duration) time.Duration {
		if d <= 0 { // it is over
			return d
		}
		hi, lo := bits.Mul64(uint64(d), uint64(less)) //nolint:gosec // neither is negative
		d64, _ := bits.Div64(hi, lo, uint64(left))    //nolint:gosec // less than d, as less is less than left
		return time.Duration(d64)                     //nolint:gosec // the same
	}
	nearer := func(at time.Time) time.Time { return from.Add(scaled(at.Sub(from))) }
	r.shortened = true
	r.announceEnd, r.settleTime = nearer(r.announceEnd), scaled(r.settleTime)
	if !r.settleEnd.IsZero() {
		r.settleEnd = nearer(r.settleEnd)
	}
	r.setTimes(nearer(r.timerAt), to)
	r.tellRequest("Shorten", fmt.Sprintf("%s, %v sooner: %s", r.untilWhen(), was.Sub(to), s.why))
}

const (
	// stall is how much later than its timer the loop must wake for the process to count
	// as suspended: more than a busy machine makes of it.
	stall = 500 * time.Millisecond
	// resumeTime is how long a process that was suspended until its deadline, or nearly so,
	// may take for the rest of the shutdown.
	resumeTime = time.Second
)

// stoppedSince reports whether the process has not run since an instant in which the loop was
// at work, or its timer should have woken it; zero is none. It was well at another one. Then it
// moves the deadline to resumeTime from now, if it would be sooner: nothing that is left to do
// would have any time otherwise. Steps that run get back the time in which they could not.
// Before the trigger nothing is at stake.
func (r *run) stoppedSince(instant, well time.Time) bool {
	late := time.Since(instant)
	if instant.IsZero() || late <= stall || r.at.IsZero() {
		return false
	}
	now := time.Now()
	r.suspended = max(r.suspended, late)
	if resumed := now.Add(resumeTime); r.deadline.Before(resumed) {
		r.setTimes(r.timerAt, resumed)
	}
	lost := now.Sub(well)         // at most
	for _, c := range r.endings { // by as much for all: their order stays
		c.ends = c.ends.Add(lost)
	}
	for _, c := range r.calls { // what takes next to no time has had none: an answer for the summary, too
		if !c.reported {
			c.since = c.since.Add(lost)
		}
	}
	s := r.newStep(report.KindWarning, "suspended")
	s.Text = fmt.Sprintf("the process was suspended: it woke %s after its timer", report.Round(late))
	r.tell(*s)
	return true
}

// within is a bound that is so much later than now, or another one if that is earlier.
func within(d time.Duration, bound func() time.Time) func() time.Time {
	limit := time.Now().Add(d)
	return func() time.Time { return earlier(limit, bound()) }
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// soonest is earlier, where the zero time stands for never.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
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
