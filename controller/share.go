package controller

import (
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/report"
)

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

// What is kept for the time after phase close, if a quarter of what is left is not less:
// flushTime for flushers and for servers that stop last, tellTime for the last log lines
// where there are neither.
const (
	flushTime = 2 * time.Second
	tellTime  = 100 * time.Millisecond
)

// closing divides the time of phase close among steps that run one after the other. Half
// of it is divided equally, as the floor that no step before can use; the other half is
// for whoever needs it.
type closing struct {
	run             *run
	start, deadline time.Time
	steps           int // that had not ended at start
	kept            time.Duration
}

func (r *run) closing(steps int) *closing {
	kept := tellTime
	if len(r.config.flushers)+len(r.lasts) > 0 {
		kept = flushTime
	}
	return &closing{run: r, start: time.Now(), deadline: r.deadline, steps: steps, kept: kept}
}

// divide returns the end of the phase and the floor of each step, while a step runs that
// has so many behind it. If the deadline has moved, what is left is divided anew among
// these.
func (c *closing) divide(behind int) (end time.Time, floor time.Duration) {
	if !c.deadline.Equal(c.run.deadline) {
		c.start, c.deadline, c.steps = time.Now(), c.run.deadline, behind+1
	}
	left := max(0, c.deadline.Sub(c.start))
	left -= min(c.kept, left/4)
	return c.start.Add(left), left / time.Duration(2*c.steps)
}

// until returns until when a step may run that begins now and has so many behind it.
func (c *closing) until(behind int) func() time.Time {
	return c.run.divided(func() time.Time {
		end, floor := c.divide(behind)
		return end.Add(-floor * time.Duration(behind))
	})
}

// inTurn calls groups of closers one after the other, those of a group at the same time.
// When one has overrun its time, and less than grace is left for each of those behind it,
// these are begun in order without waiting for one another.
func (r *run) inTurn(groups [][]stepConfig) {
	plan := r.closing(len(groups))
	var before *call
	for i, steps := range groups {
		behind := len(groups) - 1 - i
		until := plan.until(behind)
		var calls []*call
		for _, s := range steps {
			calls = append(calls, r.step(report.OpClose, s, until(), nil))
		}
		r.awaitSteps(calls, until, nothing)
		_, floor := plan.divide(behind)
		overrun := !time.Now().Before(until()) && slices.ContainsFunc(calls, func(c *call) bool { return !c.over })
		if !overrun || floor >= grace {
			continue
		}
		end := plan.until(0)
		calls = nil
		for _, s := range slices.Concat(groups[i+1:]...) {
			before = r.step(report.OpClose, s, end(), before)
			calls = append(calls, before)
		}
		r.awaitSteps(calls, end, nothing)
		return
	}
}
