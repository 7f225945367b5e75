package controller

import (
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// Shorten brings the deadline forward, as the process will be killed sooner than the
// budget assumes: a grace period that was cut, a node that shuts down, a spot instance
// that is taken back. What is left of settle, of the drain and of Reserve shrinks in the
// same proportion, so each still gets its part. The deadline never moves back: one that is
// not before the present one changes nothing. With one that has passed Run returns at
// once. The zero time is a mistake of the caller: observers are told of it, once, and it
// changes nothing.
//
// Before a trigger it is kept, and is no trigger: a shutdown that begins before that
// deadline ends by it. One that begins later has nothing to do with it, and has its whole
// budget. Call Shutdown as well to begin at once.
//
// It returns at once and may be called at any time by any goroutine: by handlers, closers,
// observers, more than once. Observers are told when, and until when, with why.
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
	r.record.causeDue = earlier(r.record.causeDue, r.share(2)())
	r.tellRequest("Shorten", fmt.Sprintf("%s, %v sooner: %s", r.untilWhen(), was.Sub(to), s.why))
}
