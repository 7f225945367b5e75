package proptest

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/fsm"
)

// Plan is what was drawn.
type Plan interface{ World() World }

// World is everything around a controller. Make it in a bubble.
type World interface {
	Setup() *Setup                         // what is registered; called once
	Signals() <-chan os.Signal             // where the controller's signals come from
	Begin(ctl *Controller) context.Context // the world begins to turn; returns the context for Run
	End()                                  // lets everything go that hangs
	Log() *Log                             // what it has noted
	Arrivals() []time.Time                 // when work came to servers
}

// Run is one shutdown, seen from outside.
type Run struct {
	Setup        *Setup
	World        World
	Begun, Ended time.Time // when Run was called, and when it returned
	Report       Report
	Timer        time.Time // as TimerAt had it when Run had returned
	Waited       []Report  // what those got who waited
	Samples      []Sample
	Above, Below []string // goroutines that were alive when Run had returned: of package controller, and of the packages below

	*Log     // frozen
	arrivals []time.Time

	// What follows from that.
	trigger    time.Time
	requested  time.Time // the same, or when it was asked for before Run
	shortens   []Ask     // those that matter, up to Run's end
	causes     []cause   // those of the instant of the trigger
	force      time.Time // zero: none that came before Run had returned
	natural    time.Time // when the timer fires without a force, and without Shorten
	timer      time.Time
	drained    time.Time // when the drain began: the first GracefulStop, if there is any
	expiry     time.Time // when the timer took effect: never before drained
	expired    bool      // the timer fired, says the report
	terminated time.Time // when phase close began: the first closer, if there is any
}

// cause is something that asks for a shutdown.
type cause struct {
	at   time.Time
	what string
	span *Span // what ended by itself; nil: it was a request
}

// Sample is what a reader saw.
type Sample struct {
	At              time.Time
	State           fsm.State
	Phase           phase
	Ready           bool
	Refuses         string    // a server that did not accept work; "": none
	Deadline, Timer time.Time // zero: not known
}

// Sample reads the controller's state again and again, on and off the grid, until Run
// is over.
func (r *Run) Sample(ctl *Controller) {
	ticker := time.NewTicker(unit / 2)
	defer ticker.Stop()
	for {
		s := Sample{Ready: ctl.Ready()} // in this order: each may only be earlier than the one behind
		s.Refuses = r.refuses()
		s.State, s.Phase, s.At = ctl.State(), ctl.Phase(), time.Now()
		s.Deadline, _ = ctl.Deadline()
		s.Timer, _ = ctl.TimerAt()
		r.Samples = append(r.Samples, s)
		select {
		case <-ticker.C:
		case <-ctl.Done():
			return
		}
	}
}

// refuses returns the name of a server that does not accept work, or "".
func (r *Run) refuses() string {
	for _, s := range r.Setup.Servers {
		select {
		case <-s.server.Accepting():
		default:
			return s.Name
		}
	}
	return ""
}

// Freeze takes what the world has noted until now, and finds what follows from it.
func (r *Run) Freeze() {
	r.Log, r.arrivals = r.World.Log().freeze(), r.World.Arrivals()
	r.findTrigger()
	r.findForce()
	r.expired = slices.Contains(r.Report.Path, fsm.TimerExpired)
	r.drained, r.terminated = r.entered(fsm.GracefulShutdown), r.entered(fsm.Terminated)
	for _, s := range r.all(opGracefulStop) {
		if !r.server(s.Name).Last {
			r.drained = earlier(r.drained, s.In)
		}
	}
	for _, s := range r.all(opClose) {
		r.terminated = earlier(r.terminated, s.In)
	}
	r.expiry = later(r.drained, r.timer)
}

// entered returns when the world's observer was told that a state was entered; the end if
// it was not.
func (r *Run) entered(state fsm.State) time.Time {
	for _, h := range r.heard {
		if h.Step.Kind == report.KindTransition && h.Step.State == state {
			return h.Step.Start
		}
	}
	return r.Ended
}

// findTrigger takes the earliest of everything that asks for a shutdown.
func (r *Run) findTrigger() {
	var all []cause
	for _, a := range r.asks {
		switch {
		case a.signal():
			all = append(all, cause{later(a.At, r.Begun), "signal", nil})
		case a.triggers():
			all = append(all, cause{later(a.At, r.Begun), a.What, nil})
		}
	}
	for _, s := range r.spans {
		if s.How != Running && r.endsByItself(s) {
			all = append(all, cause{s.Out, "end", s})
		}
	}
	r.trigger = slices.MinFunc(all, func(a, b cause) int { return a.at.Compare(b.at) }).at
	r.causes = slices.DeleteFunc(all, func(c cause) bool { return !c.at.Equal(r.trigger) })
	r.requested = r.trigger
	for _, a := range r.asks {
		if a.triggers() && !a.signal() && a.What != "context" {
			r.requested = earlier(r.requested, a.At)
		}
	}
}

// endsByItself reports whether the end of a call asks for a shutdown, if nothing has
// asked before.
func (r *Run) endsByItself(s *Span) bool {
	switch s.Op {
	case opAttach:
		return s.How != Returned
	case opServe:
		gs := r.graceful(s.Name)
		return s.Value != elsewhere && s.out < gs.in
	case opWork:
		obeyed, _ := r.obeyed(s)
		return (s.How != Returned && !obeyed || r.worker(s.Name).EndsProcess) && (s.Claim.IsZero() || !s.Claim.Before(s.Out))
	default:
		return false
	}
}

// forced reports whether the shutdown was forced before an instant, or in it.
func (r *Run) forced(at time.Time) bool { return !r.force.IsZero() && !r.force.After(at) }

// all returns the calls of some kinds, in the order in which they came in, but for the
// questions that New asks.
func (r *Run) all(ops ...op) []*Span {
	var found []*Span
	for _, s := range r.spans {
		if slices.Contains(ops, s.Op) && s.in > r.turns {
			found = append(found, s)
		}
	}
	return found
}

// named returns the calls of one kind and name.
func (r *Run) named(o op, name string) []*Span {
	return slices.DeleteFunc(r.all(o), func(s *Span) bool { return s.Name != name })
}

// first returns the first call of one kind and name, or nil.
func (r *Run) first(o op, name string) *Span {
	for _, s := range r.spans {
		if s.Op == o && s.Name == name {
			return s
		}
	}
	return nil
}

// graceful returns the call of a server's GracefulStop; one that never comes in if there
// was none.
func (r *Run) graceful(name string) *Span {
	if s := r.first(opGracefulStop, name); s != nil {
		return s
	}
	return &Span{Op: opGracefulStop, Name: name, In: r.never(), in: math.MaxInt}
}

// server returns a server that was registered.
func (r *Run) server(name string) Server {
	return r.Setup.Servers[slices.IndexFunc(r.Setup.Servers, func(s Server) bool { return s.Name == name })]
}

// servers returns those that do not stop last, or those that do.
func (r *Run) servers(last bool) []Server {
	return slices.DeleteFunc(slices.Clone(r.Setup.Servers), func(s Server) bool { return s.Last != last })
}

func (r *Run) worker(name string) Worker {
	return r.Setup.Workers[slices.IndexFunc(r.Setup.Workers, func(w Worker) bool { return w.Name == name })]
}

// never is later than every instant of the run.
func (r *Run) never() time.Time { return r.Ended.Add(1 << 50) }

// out returns when a call had come back, or never.
func (r *Run) out(s *Span) time.Time {
	if s == nil || s.How == Running {
		return r.never()
	}
	return s.Out
}

// over returns when a call had come back or its time was over, whatever came first. The
// context of a Cancel ends before that time if its GracefulStop has returned.
func (r *Run) over(s *Span) time.Time {
	if !s.Told.IsZero() && (s.Op != opCancel || s.Cause != context.Canceled) { //nolint:errorlint // it is not wrapped
		return earlier(r.out(s), s.Told)
	}
	return r.out(s)
}

// ended returns when a server had ended, or never: its GracefulStop has returned, and its
// Serve has come back.
func (r *Run) ended(name string) time.Time {
	gs := r.graceful(name)
	if gs.How != Returned {
		return r.never()
	}
	return later(gs.Out, r.serveOut(name))
}

// gone returns when nothing of a server ran any more, or never.
func (r *Run) gone(name string) time.Time {
	return later(r.out(r.graceful(name)), r.serveOut(name))
}

// serveOut returns when a server's Serve had come back; zero if it was not called.
func (r *Run) serveOut(name string) time.Time {
	if s := r.first(opServe, name); s != nil {
		return r.out(s)
	}
	return time.Time{}
}

// lastEnd returns when the last server and the last worker had ended, or never.
func (r *Run) lastEnd() time.Time {
	last := r.lastWorker()
	for _, s := range r.servers(false) {
		last = later(last, r.ended(s.Name))
	}
	return last
}

// lastWorker returns when the last worker had ended; zero if there is none.
func (r *Run) lastWorker() (last time.Time) {
	for _, s := range r.all(opWork) {
		last = later(last, r.out(s))
	}
	return last
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

// since returns an instant as a time since the trigger, for messages.
func (r *Run) since(at time.Time) string {
	switch {
	case at.IsZero():
		return "(no time)"
	case at.After(r.Ended.Add(1 << 40)):
		return "(never)"
	default:
		return fmt.Sprintf("%+v", at.Sub(r.trigger))
	}
}

// String tells what happened, in order, with times counted from Run's beginning.
func (r *Run) String() string {
	var b strings.Builder
	r.timeline(&b, r.Begun)
	fmt.Fprintf(&b, "%10v Run returned; trigger %v, timer %v, force %v\n", r.Ended.Sub(r.Begun), r.trigger.Sub(r.Begun), r.timer.Sub(r.Begun), r.since(r.force))
	for _, s := range r.Report.Steps {
		fmt.Fprintf(&b, "%10v +%v %v\n", s.Start.Sub(r.Begun), s.Duration, s)
	}
	fmt.Fprintf(&b, "%v", r.Report)
	for _, left := range append(slices.Clone(r.Above), r.Below...) {
		fmt.Fprintf(&b, "\nalive: %s", left)
	}
	return b.String()
}
