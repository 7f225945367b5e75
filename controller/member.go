package controller

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

// member is a server or a worker: what others can stand After.
type member interface {
	hasEnded() bool
	registered() *memberConfig
}

// server is a registered server and the calls that were made of it.
type server struct {
	serverConfig
	serving     *call // nil: another goroutine serves it
	graceful    *call
	cancelling  *call        // nil: Cancel was not called
	uncancelled bool         // Cancel is to be called, if the server is not gone by then
	turn        int          // when that is done at the latest, in parts of the phase; the first is 1
	stopBegan   atomic.Int64 // the place of Stop's call in the run's order; 0: it has not begun
	accepts     atomic.Bool

	asked    *call           // InFlight at the timer; nil: it is not called
	inFlight *call           // the question that was asked last
	seen     []lastcall.Work // what it told for progress
	workAsOf time.Time       // of what instant it has told its work in flight
	atEnd    *atEnd          // what it is asked last
	idle     []string        // the connections of idle peers at the timer, if there was nothing else
}

// atEnd is what a server is asked last, and what it has answered: what became of its work, and
// what it notes.
type atEnd struct {
	calls   []*call
	after   *call // its GracefulStop; the calls are made where that has returned, if it ends the drain
	adopted bool  // they are, and the loop knows of that
	work    []lastcall.Work
	notes   []string
}

// hasLost reports whether some of the server's work did not end by itself.
func (s *server) hasLost() bool {
	t := report.Sum(s.atEnd.work)
	return t.Cancelled+t.Cut+t.Running > 0
}

// wasStopped reports whether some of the server's work was ended by a Stop: before the timer,
// one that other code has called.
func (s *server) wasStopped() bool { return report.Sum(s.atEnd.work).Cut > 0 }

// worker is a registered worker and the call that runs it.
type worker struct {
	workerConfig
	call      *call
	stopClaim context.CancelCauseFunc
	stopWork  context.CancelCauseFunc
	claimOver bool
}

// hasEnded reports whether GracefulStop and Serve have returned: that is the end of a
// server in G3.
func (s *server) hasEnded() bool {
	return s.graceful.ended() && (s.serving == nil || s.serving.over)
}

func (w *worker) hasEnded() bool { return w.call == nil || w.call.over }

// isGone reports whether every call on the server that can return has returned: a
// GracefulStop that panicked will not.
func (s *server) isGone() bool {
	return s.graceful != nil && s.graceful.over && (s.serving == nil || s.serving.over)
}

// refuses reports whether a server does not accept work yet.
func refuses(s *server) bool { return !s.accepts.Load() }

// addMembers makes the members of what is registered.
func (r *run) addMembers() {
	byName := map[string]member{}
	for _, c := range r.config.servers {
		s := &server{serverConfig: c, atEnd: &atEnd{}}
		byName[s.name] = s
		if s.last {
			r.lasts = append(r.lasts, s)
			continue
		}
		r.servers, r.waiting = append(r.servers, s), append(r.waiting, s)
	}
	for _, c := range r.config.workers {
		w := &worker{workerConfig: c}
		byName[w.name] = w
		r.workers, r.waiting = append(r.workers, w), append(r.waiting, w)
	}
	for _, m := range r.waiting {
		c := m.registered()
		for _, name := range c.after {
			c.waitsFor = append(c.waitsFor, byName[name])
		}
	}
}

// release tells the members to end that wait for no other one any more, in the order of
// registration, servers first. Before the drain it does nothing.
func (r *run) release() {
	if r.machine.State() == fsm.Serving {
		return
	}
	r.waiting = slices.DeleteFunc(r.waiting, func(m member) bool {
		if slices.ContainsFunc(m.registered().waitsFor, func(other member) bool { return !other.hasEnded() }) {
			return false
		}
		switch m := m.(type) {
		case *server:
			r.gracefulStop(m)
		case *worker:
			r.endClaim(m)
		}
		return true
	})
}

// gracefulStop calls GracefulStop on a server, if that was not done before. If that ends the
// drain, the server is asked there and then what became of its work, and not once more when
// the loop has heard of it.
func (r *run) gracefulStop(s *server) {
	if s.graceful != nil {
		return
	}
	r.prepareAtEnd(s)
	questions, asks := s.atEnd, false
	s.graceful = r.newCall(report.OpGracefulStop, s.name, func() error {
		s.server.GracefulStop()
		asks = !s.last && r.up.Add(-1) == 0 && r.drainedBy.CompareAndSwap(nil, questions)
		return nil
	}, func(result) {
		r.release()
		r.endCancel(s)
		if asks {
			r.adopt(questions)
		}
	})
	s.graceful.next = func() []*call {
		if !asks {
			return nil
		}
		return questions.calls
	}
	questions.after = s.graceful
	r.launch(s.graceful)
}

// adopt takes over the questions that are asked where GracefulStop has returned, once. The loop
// may hear of GracefulStop when it has asked the server anew, or not at all.
func (r *run) adopt(questions *atEnd) {
	if questions.adopted {
		return
	}
	questions.adopted = true
	for _, c := range questions.calls {
		step := r.newStep(report.KindCall, c.step.Name)
		step.Op = c.step.Op
		if questions.after.over {
			step.Start = questions.after.end()
		}
		c.step, c.since = step, step.Start
	}
	r.calls = append(r.calls, questions.calls...)
}

// endCancel ends the context of Cancel if GracefulStop has returned: what Cancel waits for.
func (r *run) endCancel(s *server) {
	if s.cancelling != nil && s.graceful.ended() && s.cancelling.ctx.Err() == nil {
		s.cancelling.since = time.Now()
		r.endContext(s.cancelling, context.Canceled, nil)
	}
}

// halt calls Stop, after the goroutine that calls GracefulStop has come to the call.
// Which of the two the server then sees first is the scheduler's choice.
func (s *server) halt(order *atomic.Int64) {
	<-s.graceful.begun // closed by the first statement of a goroutine that has been started
	s.awaitAsked()
	s.stopBegan.Store(order.Add(1))
	s.server.Stop()
}

// awaitAsked blocks until the goroutine that asks for the work in flight at the timer has
// come to the question: its first statement. So the answer is of what the timer
// interrupts, also where that is gone in the same instant.
func (s *server) awaitAsked() {
	if s.asked != nil {
		<-s.asked.begun
	}
}

// endedBeforeStop reports whether GracefulStop came back before Stop was called, so
// that Stop ended nothing.
func (s *server) endedBeforeStop() bool {
	last := s.graceful
	if !last.ended() { // what it has ended is unknown; what Serve did is not
		last = s.serving
	}
	stop := s.stopBegan.Load()
	return last != nil && last.over && (stop == 0 || last.order < stop)
}

func (r *run) startWorker(w *worker) {
	var claim, work context.Context
	work, w.stopWork = context.WithCancelCause(r.labelled(report.OpWork, w.name))
	claim, w.stopClaim = context.WithCancelCause(work)
	r.up.Add(1)
	w.call = r.call(report.OpWork, w.name, func() error {
		defer r.up.Add(-1)
		err := w.run(claim, work)
		told := claim.Err() != nil || r.outer.Err() != nil // claim ends with work
		if failed := (*lastcall.FailedError)(nil); err != nil && told && !errors.As(err, &failed) {
			return &harmless{err}
		}
		return err
	}, func(res result) {
		r.beside(func() { w.stopWork(nil) })
		obeyed := res.result == report.ResultOK && res.err != nil
		if (res.result != report.ResultOK || w.endsProcess) && !obeyed && !w.claimOver {
			r.endedByItself(report.OpWork, w.name, res)
		}
		r.release()
	})
}

// endClaim tells a worker to claim nothing new.
func (r *run) endClaim(w *worker) {
	if w.claimOver { // its work may have been ended, with another cause
		return
	}
	w.claimOver = true
	if w.stopClaim != nil {
		r.beside(func() { w.stopClaim(lastcall.ErrClaim) })
	}
}

// endWork ends the context of a worker's work.
func (r *run) endWork(w *worker, cause error) {
	w.claimOver = true
	if w.stopWork != nil {
		r.beside(func() { w.stopWork(cause) })
	}
}

func (r *run) allEnded() bool {
	return !slices.ContainsFunc(r.servers, func(s *server) bool { return !s.hasEnded() }) && r.workersGone()
}

// lastEnd returns when the last server or worker has ended, of which all have.
func (r *run) lastEnd() (last time.Time) {
	for _, s := range r.servers {
		last = later(later(last, s.graceful.end()), s.serving.end())
	}
	for _, w := range r.workers {
		last = later(last, w.call.end())
	}
	return last
}

func (r *run) allGone() bool { return gone(r.servers) && r.workersGone() }

// gone reports whether every call on these servers has returned.
func gone(servers []*server) bool {
	return !slices.ContainsFunc(servers, func(s *server) bool { return !s.isGone() })
}

func (r *run) workersGone() bool {
	return !slices.ContainsFunc(r.workers, func(w *worker) bool { return !w.hasEnded() })
}
