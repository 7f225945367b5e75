package controller

import (
	"slices"
	"time"
)

// logTime bounds the wait for the last log line.
const logTime = time.Second

// yields is how often foreign code that takes no time is let go on before it is
// called late. It needs one; see yield.
const yields = 8

// close closes the dependencies, the last registered first. Whatever was called
// before and has not come back by now is late.
func (r *run) close() {
	r.enter(PhaseClose)
	for i := 0; i < yields && !allDone(r.calls); i++ {
		yield()
		r.takeIn()
	}
	for _, c := range r.calls {
		r.expire(c)
	}
	closers := slices.Clone(r.config.closers)
	slices.Reverse(closers)
	r.inTurn(OpClose, closers, r.share(2))
}

// flush has the last log line written and then everything else that telemetry has
// kept back.
func (r *run) flush() {
	r.enter(PhaseFlush)
	n := 2
	if len(r.config.flushers) == 0 {
		n = 1
	}
	line := r.share(n)
	start := time.Now()
	r.record.sayLast(r.report())
	r.await(func() bool { return !r.record.log.busy() }, func() time.Time { return earlier(line(), start.Add(logTime)) })

	var calls []*call
	for _, f := range r.config.flushers {
		calls = append(calls, r.step(OpFlush, f, r.deadline))
	}
	r.awaitSteps(calls, r.share(1), nothing)
}

// finish ends everything that is the controller's own and returns the report.
func (r *run) finish() Report {
	r.takeIn()
	for _, c := range r.calls {
		if !c.over {
			c.step.Abandoned, c.step.Duration = true, time.Since(c.step.Start)
		}
	}
	for _, w := range r.workers {
		if w.endWork != nil {
			w.endWork(ErrTimer)
		}
	}
	r.signals.end()
	r.timer.Stop()
	for i := 0; i < yields && r.record.busy(); i++ {
		yield()
	}
	r.record.close(time.Now())
	return r.report()
}
