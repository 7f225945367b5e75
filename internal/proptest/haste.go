package proptest

import (
	"slices"
	"time"
)

// signal reports whether it is a signal.
func (a Ask) signal() bool { return a.What == "signal" || a.What == "interrupt" }

// triggers reports whether it begins a shutdown.
func (a Ask) triggers() bool { return a.What != "shorten" }

// findForce takes the first thing that forces the shutdown: a Force, or a SIGINT that is
// not the same request as the trigger. With Shorten the timer is where readers saw it last.
func (r *Run) findForce() {
	for _, a := range r.asks {
		at := later(a.At, r.Begun)
		forces := a.What == "force" || a.What == "interrupt" && at.Sub(r.requested) >= window(r.Setup.Budget.Total)
		if forces && r.force.IsZero() && !at.After(r.Ended) {
			r.force = at
		}
		if a.What == "shorten" && a.To.After(r.requested) && !a.At.After(r.Ended) {
			r.shortens = append(r.shortens, a)
		}
	}
	r.natural = r.trigger.Add(r.Setup.Budget.Total - r.Setup.Budget.Reserve)
	r.timer = r.natural
	if !r.force.IsZero() {
		r.timer = earlier(r.timer, r.force)
	}
	if r.shortened(r.Ended) {
		r.timer = r.Timer
	}
}

// shortened reports whether Shorten has brought the deadline forward before an instant, or
// in it.
func (r *Run) shortened(at time.Time) bool {
	return slices.ContainsFunc(r.shortens, func(a Ask) bool {
		return !a.At.After(at) && a.To.Before(r.trigger.Add(r.Setup.Budget.Total))
	})
}

// tie reports whether something that moves the deadline came in that instant.
func (r *Run) tie(at time.Time) bool {
	return at.Equal(r.force) || slices.ContainsFunc(r.shortens, func(a Ask) bool { return a.At.Equal(at) })
}

// rushed reports whether Shorten has left next to nothing of the time, in all or for what
// comes last: then what is begun is begun at the deadline, and observers have no time left.
func (r *Run) rushed() bool {
	if r.shortened(r.Ended) && r.deadline(r.Ended).Sub(r.terminated) < unit {
		return true
	}
	return slices.ContainsFunc(r.shortens, func(a Ask) bool { return a.To.Sub(later(a.At, r.trigger)) < unit })
}

// deadline returns the instant by which Run has to return, as it was known in an
// instant.
func (r *Run) deadline(at time.Time) time.Time {
	d := r.trigger.Add(r.Setup.Budget.Total)
	if !r.force.IsZero() && r.force.Before(at) {
		d = earlier(d, r.force.Add(r.Setup.Budget.Reserve))
	}
	for _, a := range r.shortens {
		if a.At.Before(at) || a.At.Before(r.trigger) {
			d = earlier(d, later(a.To, later(a.At, r.trigger)))
		}
	}
	return d
}
