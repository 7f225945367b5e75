package controller

import "github.com/lastcall-go/lastcall/report"
import "time"

// share returns the end of a phase that starts now and may use the k-th part of
// the time that is left. It is asked anew each time, because a force may move the
// deadline.
func (r *run) share(k int) func() time.Time {
	start := time.Now()
	return func() time.Time {
		return start.Add(max(0, r.deadline.Sub(start)) / time.Duration(k))
	}
}

// inTurn runs groups of steps one after the other, the steps of a group at the same
// time. With n groups left each may use the n-th part of the time until end.
func (r *run) inTurn(op report.Op, groups [][]stepConfig, end func() time.Time) {
	for i, steps := range groups {
		start, left := time.Now(), time.Duration(len(groups)-i)
		own := func() time.Time { return start.Add(max(0, end().Sub(start)) / left) }
		var calls []*call
		for _, s := range steps {
			calls = append(calls, r.step(op, s, own()))
		}
		r.awaitSteps(calls, own, nothing)
	}
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
