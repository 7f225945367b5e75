package controller

import (
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// toldTime is how long an observer may take for one step before the flush no longer
// waits for it, and how long the end of Run waits for a log's line.
const toldTime = time.Second

// grace is how long user code that takes next to no time may need to get the
// processor and return before it is called late. A shutdown in which all goes
// well may be over before a goroutine that it started has run.
const grace = 10 * time.Millisecond

// answerTime is how long the summary and the end of Run wait for what servers answer about
// their work: without it the report has none of it.
const answerTime = 500 * time.Millisecond

// close closes the dependencies, the last registered first. What was called before and
// has not returned by now is late, unless it was called just now.
func (r *run) close() {
	r.enter(lastcall.PhaseClose)
	r.expireOld(r.calls)
	r.inTurn(r.config.closers)
}

// inTurn calls groups of closers one after the other, the last registered first, those of a
// group at the same time. When one has overrun its time, and less than grace is left for each of those behind it,
// these are begun in order without waiting for one another.
func (r *run) inTurn(groups [][]stepConfig) {
	plan := r.closing(len(groups))
	for behind, steps := range slices.Backward(groups) {
		until := plan.until(behind)
		var calls []*call
		for _, s := range slices.Backward(steps) {
			calls = append(calls, r.step(report.OpClose, s, until(), nil))
		}
		r.awaitSteps(calls, until, nothing)
		_, floor := plan.divide(behind)
		overrun := !time.Now().Before(until()) && slices.ContainsFunc(calls, func(c *call) bool { return !c.over })
		if !overrun || floor >= grace {
			continue
		}
		end := plan.until(0)
		var before *call
		calls = nil
		for _, s := range slices.Backward(slices.Concat(groups[:behind]...)) {
			before = r.step(report.OpClose, s, end(), before)
			calls = append(calls, before)
		}
		r.awaitSteps(calls, end, nothing)
		return
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

// expireOld expires the calls among these that have not returned, but for those that
// were begun less than grace ago, and a Cancel whose context has ended since then: a
// force may end a phase as it begins.
func (r *run) expireOld(calls []*call) {
	r.takeIn() // the loop itself may have had to wait for the processor
	now := time.Now()
	for _, c := range calls {
		if !c.lasts && c.hasBegun() && !now.Before(c.soon()) {
			r.expire(c)
		}
	}
}

// flush waits until observers have been told everything, and then calls the flushers.
func (r *run) flush() {
	r.enter(lastcall.PhaseFlush)
	r.lookAtObservers()
	if r.config.saysReason(false) {
		r.keepTail()
	}
	n := 1
	if len(r.config.flushers) > 0 {
		n++
	}
	if len(r.lasts) > 0 {
		n++
	}
	tellUntil := r.share(n)
	if len(r.record.feeds) > 0 || r.record.cause != nil {
		half := r.share(n + 1)                                                        // a flusher needs some of what is left
		fresh := func() time.Time { return later(r.freshUntil(), r.record.causeDue) } // the summary tells what they did, and why
		over := func() bool { return !time.Now().Before(fresh()) }
		bound := func() time.Time { return earlier(fresh(), half()) }
		r.answersFirst = true
		r.await(over, within(grace, bound))
		r.answersFirst = false
		r.await(over, bound)
		for _, c := range r.calls {
			if c.grace > 0 { // the deadline is sooner than the answer, and the report is to have what the summary has
				r.expire(c)
			}
		}
	}
	r.expireOld(r.calls)
	if r.record.cause != nil { // the deadline is sooner than its text
		r.giveUpCause()
	}
	r.tellOfObservers()
	s := r.newStep(report.KindSummary, "summary")
	known := r.report()
	s.Report, r.codeTold = &known, known.ExitCode()
	r.tell(*s)
	if r.codeTold == report.ExitOK && r.config.saysReason(true) {
		r.keepTail() // what comes now may change the code
	}
	r.record.start()
	if n > 1 {
		r.await(r.record.idle, func() time.Time { return earlier(tellUntil(), r.record.patience()) })
	}
	if len(r.config.flushers) > 0 {
		n--
	}
	end := r.share(n)
	var calls []*call
	for _, f := range r.config.flushers {
		calls = append(calls, r.step(report.OpFlush, f, end(), nil))
	}
	r.awaitSteps(calls, end, nothing)
}

// keepTail keeps some of what is left for the line on stderr.
func (r *run) keepTail() { r.tail = min(tellTime, max(0, time.Until(r.deadline))/4) }

// lastTime bounds the GracefulStop of servers that stop last, and lastStopTime what
// Stop may need after that.
const (
	lastTime     = 100 * time.Millisecond
	lastStopTime = time.Second
)

// endLasts stops the servers that outlive the others, all at the same time.
func (r *run) endLasts() {
	if len(r.lasts) == 0 {
		return
	}
	for _, s := range r.lasts {
		r.gracefulStop(s)
	}
	r.await(func() bool { return gone(r.lasts) }, within(lastTime, r.share(2)))
	var stops []*call
	for _, s := range r.lasts {
		if !s.graceful.ended() {
			stops = append(stops, r.call(report.OpStop, s.name, func() error { s.halt(&r.order); return nil }, nil))
		}
	}
	r.await(func() bool { return gone(r.lasts) && allDone(stops) }, within(lastStopTime, r.share(1)))
	if time.Now().Before(r.deadline) {
		r.inspectAtEnd(r.lasts) // finish waits for the answers, as long as for anything that takes next to no time
	}
}

// finish ends everything that is the controller's own and returns the report.
func (r *run) finish() report.Report {
	r.await(r.nothingFresh, r.freshUntil)
	for _, w := range r.workers {
		if !w.hasEnded() {
			r.endWork(w, lastcall.ErrTimer)
		}
	}
	r.takeIn()
	for _, c := range r.calls {
		if fresh := c.quiet && c.lasts && time.Now().Before(c.soon()); !fresh { // a question of progress that was asked just now
			r.expire(c)
		}
	}
	r.lookAtObservers()
	r.record.start()
	said := r.sayReason()
	now := time.Now()
	saying := now
	heard := func() time.Time {
		until := earlier(r.record.freshUntil(), now.Add(toldTime))
		if r.ending.Load() > 0 {
			until = later(until, now.Add(grace))
		}
		if !said.over {
			until = later(until, saying.Add(tellTime))
		}
		return earlier(until, r.deadline)
	}
	wait := func() { r.await(func() bool { return !time.Now().Before(heard()) }, heard) }
	for wait(); !said.over && time.Since(heard()) > grace && time.Now().Before(r.deadline); wait() {
		saying = time.Now() // if the loop wakes late, what writes the line has had no processor either
	}
	for _, c := range r.calls {
		c.step.Abandoned = !c.over
	}
	r.signals.release()
	r.alarm.Stop()
	r.record.close(time.Now())
	switch {
	case !said.over:
		r.record.deliveries = append(r.record.deliveries, report.Delivery{Op: report.OpStderr, Busy: true})
	case said.failed:
		r.record.deliveries = append(r.record.deliveries, report.Delivery{Op: report.OpStderr, Failed: 1})
	}
	return r.report()
}

// freshUntil returns until when a call that has not returned may be expected to do so
// at once: it was begun less than grace ago or, if it is a Cancel, its context ended
// less than grace ago. Zero if there is no such call. The Serve of a server that stops
// last does not count: endLasts waits for it.
func (r *run) freshUntil() time.Time {
	var until time.Time
	for _, c := range r.calls {
		if !c.reported && !c.lasts {
			until = later(until, c.soon())
		}
	}
	return earlier(until, r.deadline)
}

// nothingFresh reports whether there is no such call.
func (r *run) nothingFresh() bool { return !time.Now().Before(r.freshUntil()) }
