package controller

import (
	"context"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

// run is one shutdown, owned by the goroutine that called Run: the loop. It calls no
// user code. Everything that can happen reaches it in await.
type run struct {
	*Controller
	config  config
	alarm   *time.Timer // wakes await
	alarmAt time.Time   // when it should; zero: it is not set
	asleep  time.Time   // when it last woke before it waited for that
	signals signals
	pipes   <-chan os.Signal // see hearPipes; nil once there is a trigger
	ended   <-chan struct{}  // the end of Run's context; nil once there is a trigger
	outer   context.Context  // Run's context
	base    context.Context  // the same without its end, with the Life

	begun       time.Time // Run's start
	at          time.Time // the trigger's instant; zero before
	announceEnd time.Time
	settleTime  time.Duration // how long settle may last
	settleEnd   time.Time     // when it ends at the latest; zero before it begins
	timerAt     time.Time
	deadline    time.Time
	forced      bool
	shortened   bool
	toldZero    bool          // of a Shorten to the zero time
	suspended   time.Duration // see noticeSuspension
	ready       bool          // phase serve was reached

	giveBackAt     time.Time // when the signals that force become the platform's; zero: not yet, or no longer
	early          []ignored // signals that came before Run
	ignoredSignals [late + 1]int

	servers []*server // without those that stop last
	lasts   []*server
	workers []*worker
	tail    time.Duration // kept by phase flush for the line on stderr
	waiting []member      // those that stand After others and have not been told to end
	toStop  []*server
	calls   []*call
	endings endings      // contexts that will end
	ending  atomic.Int32 // goroutines of beside
	up      atomic.Int64 // servers whose GracefulStop has not returned, and workers
	order   atomic.Int64 // counts the calls of Stop that begin, and what comes back, as it happens
	cutAny  bool         // phase cut has closed a connection
	idle    bool         // the timer has found only idle peers

	answersFirst bool // what await waits for is moments away, so logs get to write afterwards

	settled report.SettleEnd
	outcome report.Outcome
	failed  bool // a server or worker failed by itself, or Fail began the shutdown
	broken  error

	record record
	pulse  pulse
	sight  sight
}

func newRun(ctx context.Context, c *Controller, config config, heard heard) *run {
	r := &run{
		Controller: c,
		config:     config,
		alarm:      time.NewTimer(time.Hour), // await resets it
		outcome:    report.OutcomeDrained,
		signals:    heard.signals,
		pipes:      hearPipes(),
		early:      heard.ignored,
		outer:      ctx,
		ended:      ctx.Done(),
		base:       lastcall.NewContext(context.WithoutCancel(ctx), c.Life()),
		begun:      time.Now(),
	}
	r.addMembers()
	r.up.Store(int64(len(r.servers)))
	r.record = newRecord(config, c.machine.State(), r.inbox.poke)
	r.warnOfParent(heard.background)
	return r
}

// run walks the phases, in order.
func (r *run) run() report.Report {
	r.takeInEarly()
	for _, s := range r.early {
		r.ignore(s)
	}
	r.enter(lastcall.PhaseStart)
	if r.at.IsZero() {
		r.start()
		r.serve()
	}
	r.announce()
	r.settle()
	if r.drain() {
		r.fire(fsm.Drained)
	} else {
		r.force()
		r.fire(fsm.Stopped)
	}
	r.inspectAtEnd(r.servers)
	r.close()
	r.flush()
	r.endLasts()
	return r.finish()
}

// enter begins a phase.
func (r *run) enter(p lastcall.Phase) {
	r.progress.set(r.machine.State(), p)
	s := r.newStep(report.KindPhase, p.String())
	r.record.endPhase(s.Start)
	r.record.phase = s
	r.record.add(s)
	r.tell(*s)
}

// fire takes the row of the table that the event has in the present state, and
// returns it: the caller makes the call that it names. The table allows every event
// that the phases fire; if the machine refuses one all the same, the report says so,
// the row is zero and names no call, and the shutdown goes on.
func (r *run) fire(e fsm.Event) fsm.Transition {
	row, err := r.machine.Fire(e)
	if err != nil {
		r.broken = err
		return fsm.Transition{}
	}
	r.progress.set(row.To, r.firstPhase(row.To))
	s := r.newStep(report.KindTransition, row.Event.String())
	s.Transition = row
	if row.From == fsm.Serving {
		s.Settle = r.settled
	}
	r.record.endPhase(s.Start)
	r.record.path = append(r.record.path, row.To)
	r.record.add(s)
	r.tell(*s)
	return row
}

// firstPhase returns the phase with which a state begins.
func (r *run) firstPhase(s fsm.State) lastcall.Phase {
	switch s {
	case fsm.GracefulShutdown:
		return lastcall.PhaseDrain
	case fsm.TimerExpired:
		return r.firstForce()
	case fsm.Terminated:
		return lastcall.PhaseClose
	default:
		return lastcall.PhaseStart
	}
}

// start attaches and serves every server, and starts the workers. It is over when
// every server accepts work, or with the trigger.
func (r *run) start() {
	for _, s := range slices.Concat(r.lasts, r.servers) {
		if s.full == nil {
			r.startServing(s)
			continue
		}
		s.attaching = r.call(report.OpAttach, s.name,
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
	if slices.Contains(r.lasts, s) {
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
		s.serving, s.elsewhere = nil, true
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
		r.ready = true
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

// drain refuses new work, and reports whether all work in flight ended before the
// timer. What ended later did so after the instant at which adapters take their time to be
// up, and may have been interrupted, though the loop has heard of both at once.
func (r *run) drain() bool {
	row := r.fire(fsm.GracefulShutdownCalled)
	r.enter(lastcall.PhaseDrain)
	close(r.draining)
	r.inspectInFlight(false)
	if row.Call == fsm.CallGracefulStop {
		// GracefulStop is called on every server, each on a goroutine of its own: now on
		// those that stand After nothing, in the order of registration, and on each of
		// the others as soon as the last one that it stands After has ended.
		for _, s := range r.servers {
			if len(s.after) == 0 {
				r.gracefulStop(s)
			}
		}
		r.release()
	}
	return r.await(r.allEnded, func() time.Time { return r.timerAt }) && r.lastEnd().Before(r.timerAt)
}
