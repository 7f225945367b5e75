package controller

import (
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/report"
)

// start attaches and serves every server, and starts the workers. It is over when
// every server accepts work, or with the trigger.
func (r *run) start() {
	for _, s := range slices.Concat(r.lasts, r.servers) {
		if s.full == nil {
			r.startServing(s)
			continue
		}
		r.call(report.OpAttach, s.name,
			func() error { s.full.Attach(r.hostOf(s)); return nil },
			func(res result) { r.attached(s, res) })
	}
	for _, w := range r.workers {
		r.startWorker(w)
	}
	accept := func() bool {
		return !slices.ContainsFunc(r.servers, refuses) && !slices.ContainsFunc(r.lasts, refuses)
	}
	r.await(func() bool { return !r.at.IsZero() || accept() }, never)
}

// hostOf returns what a server is attached to.
func (r *run) hostOf(s *server) lastcall.Host {
	if s.last {
		return lastHost{r.Controller}
	}
	return r.Controller
}

// lastHost is the controller as servers that stop last have it: the timer does not cancel
// their work, which may run until the deadline.
type lastHost struct{ *Controller }

func (h lastHost) Life() lastcall.Life {
	return lastcall.NewLife(h.draining, func() (lastcall.Times, bool) {
		times, known := h.instants()
		times.Timer = times.Deadline
		return times, known
	})
}

// attached goes on with a server's Serve, unless the shutdown has begun.
func (r *run) attached(s *server, res result) {
	switch {
	case res.result != report.ResultOK:
		r.endedByItself(report.OpAttach, s.name, res)
	case r.trigger.Load() == nil:
		r.startServing(s)
	}
}

func (r *run) startServing(s *server) {
	if s.serve != nil {
		s.serving = r.call(report.OpServe, s.name, s.serve, func(res result) { r.served(s, res) })
		s.serving.lasts = s.last
	}
	r.beside(func() { // it ends with the trigger at the latest
		select {
		case <-s.accepting:
			s.accepts.Store(true)
			r.inbox.poke()
		case <-r.triggered:
			return
		}
		if s.on != nil && s.on.closedByServer(r.triggered) {
			r.request(trigger{at: time.Now(), cause: errElsewhere})
		}
	})
}

// served takes in that a Serve has returned.
func (r *run) served(s *server, res result) {
	step := s.serving.step
	switch {
	case res.err == lastcall.ErrServedElsewhere: //nolint:errorlint // errors.Is would call a method of the user's
		s.serving = nil
		step.Result, step.Err, step.Text = report.ResultOK, nil, ""
	case s.graceful == nil:
		r.endedByItself(report.OpServe, s.name, res)
	case step.Result == report.ResultFailed: // the end that was asked for
		step.Result = report.ResultOK
	}
	r.release()
}

// endedByItself makes the end of a server or worker a trigger, and a failure if
// it did not end well.
func (r *run) endedByItself(op report.Op, name string, res result) {
	if res.result != report.ResultOK {
		r.failed = true
	}
	r.request(trigger{at: res.at, cause: &report.EndedError{Op: op, Name: name, Result: res.result, Err: res.err, Text: res.text}})
}

// serve is ready until the trigger, if that has not come before.
func (r *run) serve() {
	r.becoming.Lock()
	if r.trigger.Load() == nil {
		r.enter(lastcall.PhaseServe)
		close(r.serving)
	}
	r.becoming.Unlock()
	r.await(func() bool { return !r.at.IsZero() }, never)
}

// announce takes readiness down and tells the workers to claim nothing new.
func (r *run) announce() {
	end := func() time.Time { return r.announceEnd }
	r.enter(lastcall.PhaseAnnounce)
	var calls []*call
	for _, w := range r.workers {
		if len(w.after) == 0 {
			r.endClaim(w)
		}
	}
	for _, s := range slices.Concat(r.servers, r.lasts) {
		if s.full != nil {
			calls = append(calls, r.step(report.OpAnnounce, stepConfig{name: s.name, run: s.full.Announce}, end(), nil))
		}
	}
	for _, a := range r.config.announcers {
		calls = append(calls, r.step(report.OpAnnouncer, a, end(), nil))
	}
	r.awaitSteps(calls, end, r.timeIsUp)
}

// timeIsUp reports whether the timer has fired.
func (r *run) timeIsUp() bool { return !time.Now().Before(r.timerAt) }

// settle goes on serving while the network learns that this server leaves.
func (r *run) settle() {
	budget := r.config.budget
	switch {
	case budget.Settle == 0:
		r.settled = report.SettleUnplanned
	case !foreign.IsClosed(r.serving):
		r.settled = report.SettleNotReady
	case r.typed():
		r.settled = report.SettleTyped
	case !r.serves():
		r.settled = report.SettleNobody
	case r.timeIsUp():
		r.settled = r.timerOrForce()
	default:
		r.enter(lastcall.PhaseSettle)
		r.settled = r.awaitSettled(time.Now())
	}
}

// awaitSettled waits for the end of phase settle.
func (r *run) awaitSettled(start time.Time) report.SettleEnd {
	budget := r.config.budget
	r.settleEnd = start.Add(r.settleTime)
	over := func() bool { return r.forced || !r.serves() }
	end := func() time.Time { return earlier(r.settleEnd, r.timerAt) }
	if budget.Quiet > 0 && r.awaitQuiet(start, over, end) {
		return report.SettleQuiet
	}
	switch {
	case r.await(over, end) && !r.serves():
		return report.SettleNobody
	case r.timeIsUp():
		return r.timerOrForce()
	case r.shortened:
		return report.SettleShortened
	default:
		return report.SettleTime
	}
}

func (r *run) timerOrForce() report.SettleEnd {
	if r.forced {
		return report.SettleForced
	}
	return report.SettleTimer
}

// awaitQuiet waits until no new work has come for Quiet, and reports whether that was
// so: if not, the phase is over, or it cannot be known. The servers are asked only in an
// instant in which it might be so.
func (r *run) awaitQuiet(start time.Time, over func() bool, end func() time.Time) bool {
	quiet, earliest := r.config.budget.Quiet, start.Add(r.config.budget.MinSettle)
	next := later(start.Add(quiet), earliest)
	for {
		if r.await(over, func() time.Time { return earlier(next, end()) }) || !time.Now().Before(end()) {
			return false
		}
		asked := time.Now() // what came while they were asked may not be in the answers
		latest, known := r.lastArrival(over, end)
		if !known {
			return false
		}
		next = latest.Add(quiet)
		if !asked.Before(next) {
			return true
		}
	}
}

// lastArrival asks all servers at the same time when work last came. It does not
// know if one of them cannot tell, or if the phase is over before all have told.
func (r *run) lastArrival(over func() bool, end func() time.Time) (latest time.Time, known bool) {
	var calls []*call
	answers := 0
	for _, s := range r.servers {
		if s.full == nil {
			continue // New has refused it
		}
		var at time.Time
		calls = append(calls, r.ask(report.OpLastArrival, s.name, func() { at = s.full.LastArrival() }, func() {
			if !at.IsZero() {
				answers++
				latest = later(latest, at)
			}
		}))
	}
	r.await(func() bool { return over() || allDone(calls) }, end)
	return latest, answers == len(calls)
}

// serves reports whether any server still serves, of which all have begun to.
func (r *run) serves() bool {
	return slices.ContainsFunc(r.servers, func(s *server) bool { return s.serving == nil || !s.serving.over })
}
