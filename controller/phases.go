package controller

import (
	"context"
	"errors"
	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/fsm"
)

// run walks the phases, in order.
func (r *run) run() report.Report {
	r.enter(lastcall.PhaseStart)
	r.takeInEarly()
	if r.at.IsZero() {
		r.start()
		r.serve()
	}
	r.announce()
	r.settle()
	if r.drain() {
		r.fire(fsm.Drained)
	} else {
		r.fire(fsm.Timeout)
		r.cancel()
		r.stop()
		r.cut()
		r.wait()
		r.fire(fsm.Stopped)
	}
	r.close()
	r.flush()
	return r.finish()
}

// start calls Attach and then Serve of every server, and starts the workers. It
// is over when every Serve has been called, or with the trigger.
func (r *run) start() {
	var attaching []*call
	for _, s := range slices.Concat(r.lasts, r.servers) {
		a, ok := s.server.(Attacher)
		if !ok {
			r.startServing(s)
			continue
		}
		attaching = append(attaching, r.call(report.OpAttach, s.name,
			func() error { a.Attach(lastcall.Life{r.life}); return nil },
			func(res result) { r.attached(s, res) }))
	}
	for _, w := range r.workers {
		r.startWorker(w)
	}
	r.await(func() bool { return !r.at.IsZero() || allDone(attaching) }, never)
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
}

// served takes in that a Serve has returned.
func (r *run) served(s *server, res result) {
	step := s.serving.step
	switch {
	case res.err == lastcall.ErrServedElsewhere: //nolint:errorlint // errors.Is would call a foreign method
		s.serving, s.foreign = nil, true
		step.Result, step.Err, step.Text = report.ResultOK, nil, ""
	case s.graceful == nil:
		r.endedByItself(report.OpServe, s.name, res)
	case step.Result == report.ResultFailed: // the end that was asked for
		step.Result = report.ResultOK
	}
	r.stopNext()
}

func (r *run) startWorker(w *worker) {
	var claim, work context.Context
	work, w.endWork = context.WithCancelCause(r.base)
	claim, w.endClaim = context.WithCancelCause(work)
	obeyed := false // it returned the error of a context that told it to end
	w.call = r.call(report.OpWork, w.name, func() error {
		err := w.run(claim, work)
		for _, ctx := range []context.Context{claim, work, r.outer} {
			obeyed = obeyed || ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)))
		}
		return err
	}, func(res result) {
		r.end(func() { w.endWork(nil) })
		switch {
		case res.result == report.ResultFailed && obeyed:
			if w.call.step.Result == report.ResultFailed {
				w.call.step.Result = report.ResultOK
			}
		case (res.result != report.ResultOK || w.endsProcess) && !w.claimOver:
			r.endedByItself(report.OpWork, w.name, res)
		}
	})
}

// endedByItself makes the end of a server or worker a trigger, and a failure if
// it did not end well.
func (r *run) endedByItself(op report.Op, name string, res result) {
	if res.result != report.ResultOK {
		r.failed = true
	}
	r.request(trigger{at: res.at, cause: &EndedError{Op: op, Name: name, Result: res.result, Err: res.err, Text: res.text}})
}

// serve is ready until the trigger.
func (r *run) serve() {
	if !r.at.IsZero() {
		return
	}
	r.ready = true
	r.enter(lastcall.PhaseServe)
	r.await(func() bool { return !r.at.IsZero() }, never)
}

// announce takes readiness down and tells the workers to claim nothing new.
func (r *run) announce() {
	end := r.at.Add(r.config.budget.announce())
	r.describeCause()
	r.enter(lastcall.PhaseAnnounce)
	var waitFor []*call
	for _, w := range r.workers {
		w.claimOver = true
		if w.endClaim != nil {
			r.end(func() { w.endClaim(ErrClaim) })
		}
	}
	for _, s := range slices.Concat(r.servers, r.lasts) {
		if a, ok := s.server.(Announcer); ok {
			waitFor = append(waitFor, r.step(report.OpAnnounce, stepConfig{name: s.name, run: a.Announce}, end))
		}
	}
	for _, a := range r.config.announcers {
		waitFor = append(waitFor, r.step(report.OpAnnouncer, a, end))
	}
	r.awaitSteps(waitFor, func() time.Time { return end }, r.timeIsUp)
}

// timeIsUp says whether the timer has fired.
func (r *run) timeIsUp() bool { return !time.Now().Before(r.timerAt) }
