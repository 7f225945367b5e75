package controller

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/report"
)

// Run starts the servers and workers, serves until the first trigger, shuts everything down and
// returns the report, at or before trigger + Total, as exactly as the machine's timers fire. It
// can be called once; later calls return at once, with a Report whose Err is [ErrRan].
//
// The end of ctx is a trigger. Workers, announcers, closers and flushers get contexts with the
// values of ctx, but without its cancellation and deadline, so ctx may come from
// signal.NotifyContext.
//
// If Shutdown was called or ctx ended before Run, the trigger counts from Run's start, and no
// server or worker is started. GracefulStop is called all the same, and the dependencies are
// closed. Package grpcadapter closes its listener in GracefulStop; a listener that was given
// with On, or that only a Serving function knows, stays open.
//
// Run hears signals from its start on. An earlier signal does what the platform does by
// default, unless Starting was called or other code of the process listens. The platform has
// the signals back 10 ms after Run has returned. A signal that arrives within these 10 ms is
// raised again when they are over, so that it cannot replace the exit code of a process that is
// exiting.
//
// From the trigger until the process ends, a write to a standard output or error without a
// reader fails and does not end the process (SIGPIPE); the report counts the log lines that are
// lost. Before the trigger such a write fails as well, but if the trigger does not come within
// a second, the next one ends the process.
func (c *Controller) Run(ctx context.Context) report.Report {
	if ctx == nil {
		return c.notRun(errors.New("controller: Run was given a nil context"))
	}
	config, err := c.seal()
	if err != nil {
		return c.notRun(err)
	}
	if heard, err := c.heard(config); err != nil {
		c.report = report.Report{NotRun: err}
	} else {
		c.report = newRun(ctx, c, config, heard).run()
	}
	close(c.over)
	return c.report.Clone()
}

// seal ends the time of Add and returns what there is to run.
func (c *Controller) seal() (config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.isOver(); err != nil {
		return config{}, err
	}
	c.ran = true
	if c.starting != nil {
		close(c.starting.over)
	}
	return c.config, nil
}

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
	suspended   time.Duration // see stoppedSince

	giveBackAt     time.Time // when the signals that force become the platform's; zero: not yet, or no longer
	early          []ignored // signals that came before Run
	ignoredSignals [late + 1]int

	servers   []*server // without those that stop last
	lasts     []*server
	workers   []*worker
	tail      time.Duration // kept by phase flush for the line on stderr
	waiting   []member      // those that have not been told to end, as others that they stand After are up
	toStop    []*server
	calls     []*call
	endings   []*call               // whose contexts will end, the next one first
	ending    atomic.Int32          // goroutines of beside
	up        atomic.Int64          // servers whose GracefulStop has not returned, and workers
	drainedBy atomic.Pointer[atEnd] // what the server is asked whose GracefulStop has ended the drain; others if that has not
	order     atomic.Int64          // counts the calls of Stop that begin, and what comes back, as it happens
	cutAny    bool                  // phase cut has closed a connection
	idle      bool                  // the timer has found only idle peers

	codeTold     int  // the exit code in the summary
	answersFirst bool // what await waits for is moments away, so logs get to write afterwards

	settled report.SettleEnd
	outcome report.Outcome
	failed  bool // a server or worker failed by itself, or Fail began the shutdown
	broken  error

	record record
	pulse  pulse
	sight  sight
}

func newRun(ctx context.Context, c *Controller, config config, heard *starting) *run {
	r := &run{
		Controller: c,
		config:     config,
		alarm:      time.NewTimer(time.Hour), // await resets it
		outcome:    report.OutcomeDrained,
		signals:    heard.signals,
		pipes:      hearPipes(false),
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
	if foreign.IsClosed(r.ended) {
		r.contextEnded(r.begun)
	}
	r.takeIn()
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
