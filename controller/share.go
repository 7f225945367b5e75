package controller

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

// inTurn runs steps one after the other. With n steps left each may use the n-th
// part of the time until end.
func (r *run) inTurn(op Op, steps []stepConfig, end func() time.Time) {
	for i, s := range steps {
		start, left := time.Now(), time.Duration(len(steps)-i)
		own := func() time.Time { return start.Add(max(0, end().Sub(start)) / left) }
		r.awaitSteps([]*call{r.step(op, s, own())}, own, nothing)
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
