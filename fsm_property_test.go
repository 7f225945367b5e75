// Package lastcall_test checks, in virtual time, that no path of a shutdown ever
// blocks past the deadline, and the other guarantees of package controller with
// it. Run more of it with
//
//	go test . -run Property -rapid.checks=100000 -timeout 0
package lastcall_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
)

// checks is how many shutdowns each property tries unless a flag or RAPID_CHECKS
// says otherwise.
const checks = "3000"

func TestMain(m *testing.M) {
	flag.Parse()
	given := os.Getenv("RAPID_CHECKS") != ""
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", checks); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// TestPropertyAdversaries: servers, workers, hooks, observers and loggers that
// behave in every way that foreign code can, on their own and together.
func TestPropertyAdversaries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		rapid.SyncTest(t, func(t *rapid.T) { s.run(t) })
	})
}

// observed is what one run looked like from outside.
type observed struct {
	s       scenario
	w       *world
	servers []*fakeServer // those that are Last behind the others
	begun   time.Time
	end     time.Time
	report  report.Report
	waited  []report.Report
	seen    [][]report.Step // by observer
	samples []sample
	alive   int // goroutines of the controller when Run had returned
}

type sample struct {
	at    time.Time
	state fsm.State
	phase lastcall.Phase
	ready bool

	deadline, timer time.Time // zero: not known
}

var errAsked = errors.New("asked for")

// run builds what was drawn, runs it, and checks it before anything that hangs is
// let go.
func (s scenario) run(t *rapid.T) {
	w := newWorld()
	defer close(w.release)
	o := &observed{s: s, w: w, seen: make([][]report.Step, len(s.observers))}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), valueKey{}, "value"))
	defer cancel()
	signals := make(chan os.Signal, len(s.asks))
	ctl, err := controller.New(s.budget, append(o.options(), controller.WithSignalChannel(signals))...)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	w.ctl = ctl
	for _, a := range s.asks {
		time.AfterFunc(a.at, func() {
			switch a.what {
			case "signal":
				signals <- syscall.SIGTERM
				w.signalled()
			case "shutdown":
				w.shutdown(errAsked)
			case "fail":
				w.fail(errAsked)
			case "hostile":
				w.shutdown(&hostileError{w})
			case "context":
				w.triggered(time.Now())
				cancel()
			case "force":
				w.force()
			}
		})
	}
	waiting := make(chan report.Report)
	for range 2 {
		go func() {
			r, err := ctl.Wait(context.Background())
			if err != nil {
				panic(err)
			}
			waiting <- r
		}()
	}
	time.Sleep(s.runAt)
	go o.sample(ctl)
	o.begun = time.Now()
	o.report = ctl.Run(ctx)
	o.end = time.Now()
	o.waited = append(o.waited, <-waiting, <-waiting)
	synctest.Wait()
	o.alive = aliveIn("github.com/lastcall-go/lastcall/controller.")
	t.Logf("%v", o)
	newOracle(o).check(t)
}

type valueKey struct{}

// sample reads the controller's state again and again, on and off the grid.
func (o *observed) sample(ctl *controller.Controller) {
	ticker := time.NewTicker(unit / 2)
	defer ticker.Stop()
	for {
		ready := ctl.Ready() // before the phase: it can only have gone away by then
		state := ctl.State() // before the phase: that can only be of this state or of a later one
		s := sample{at: time.Now(), state: state, phase: ctl.Phase(), ready: ready}
		s.deadline, _ = ctl.Deadline()
		s.timer, _ = ctl.TimerAt()
		o.samples = append(o.samples, s)
		select {
		case <-ticker.C:
		case <-ctl.Done():
			return
		}
	}
}

// options are those that New is given.
func (o *observed) options() []controller.Option {
	s, w := o.s, o.w
	var opts []controller.Option
	for name, p := range s.all() {
		f := newFakeServer(w, name)
		f.attach, f.serve, f.announce, f.graceful = p.attach, p.serve, p.announce, p.graceful
		f.cancel, f.stop, f.cut, f.elsewhere, f.connections = p.cancel, p.stop, p.cut, p.elsewhere, p.connections
		f.inFlight, f.notes, f.arrival = p.inFlight, p.notes, p.arrival
		for _, after := range p.arrivals {
			f.arrivals = append(f.arrivals, f.made.Add(after))
		}
		o.servers = append(o.servers, f)
		var server lastcall.Server = f
		switch {
		case p.bare && s.budget.Quiet > 0 && name < lastName(0):
			server = &arrivingServer{bareServer{f}, f}
		case p.bare:
			server = &bareServer{f}
		}
		var more []controller.ServerOption
		if p.closure {
			more = append(more, controller.Serving(f.Serve))
		}
		if len(p.behind) > 0 {
			more = append(more, controller.Behind(p.behind...))
		}
		if name >= lastName(0) {
			more = append(more, controller.Last())
		}
		opts = append(opts, controller.WithServer(name, server, more...))
	}
	for i, p := range s.workers {
		var more []controller.WorkerOption
		if p.endsProcess {
			more = append(more, controller.EndsProcess())
		}
		opts = append(opts, controller.WithWorker(name(i), func(claim, work context.Context) error {
			if claim.Value(valueKey{}) != "value" {
				panic("the worker's context has lost the values of Run's")
			}
			if p.waitsForClaim {
				w.anyOf([]<-chan struct{}{claim.Done()})
			}
			return w.act(work, "worker "+name(i), p.how)
		}, more...))
	}
	step := func(kind string, i int, p stepPlan) (func(context.Context) error, []controller.StepOption) {
		var more []controller.StepOption
		if p.timeout > 0 {
			more = append(more, controller.Timeout(p.timeout))
		}
		return func(ctx context.Context) error { return w.act(ctx, kind+" "+name(i), p.how) }, more
	}
	for i, p := range s.announcers {
		f, more := step("announcer", i, p)
		opts = append(opts, controller.WithAnnouncer(name(i), f, more...))
	}
	for _, group := range slices.Backward(s.groups()) {
		var closers []controller.Option
		for _, i := range group {
			f, more := step("closer", i, s.closers[i])
			closers = append(closers, controller.WithCloser(name(i), f, more...))
		}
		switch len(group) {
		case 1:
			opts = append(opts, closers...)
		case 2:
			opts = append(opts, controller.Together(closers...))
		default: // in one another, which is the same
			opts = append(opts, controller.Together(controller.Together(closers[:2]...), controller.Together(closers[2:]...)))
		}
	}
	for i, p := range s.flushers {
		f, more := step("flusher", i, p)
		opts = append(opts, controller.WithFlusher(name(i), f, more...))
	}
	for i, p := range s.observers {
		n := 0
		opts = append(opts, controller.WithObserver(name(i), func(step report.Step) {
			n++
			o.seen[i] = append(o.seen[i], step)
			if n >= p.from {
				_ = w.act(context.Background(), "observer "+name(i), p.how)
			}
		}))
	}
	if s.logger {
		opts = append(opts, controller.WithLogger(zerolog.New(&fakeWriter{w: w, n: s.logFrom, how: s.log})))
	}
	return opts
}

// phases returns the phases that were entered, with their beginnings and ends.
func (o *observed) phases() map[lastcall.Phase]report.Step {
	all := map[lastcall.Phase]report.Step{}
	for _, s := range o.report.Steps {
		if s.Kind == report.KindPhase {
			all[s.Phase] = s
		}
	}
	return all
}

// marks returns the transitions and phases among steps.
func marks(steps []report.Step) []string {
	var all []string
	for _, s := range steps {
		if s.Kind != report.KindCall {
			all = append(all, s.String())
		}
	}
	return all
}

// subjects returns which calls the steps are, sorted.
func subjects(steps []report.Step) []string {
	var all []string
	for _, s := range steps {
		all = append(all, string(s.Op)+" "+s.Name)
	}
	slices.Sort(all)
	return all
}

// String tells the whole run, for a failure's output.
func (o *observed) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v\n", o.s)
	for _, n := range o.w.notes {
		fmt.Fprintf(&b, "%10v %s: %s\n", n.at.Sub(o.begun), n.who, n.what)
	}
	for _, q := range o.w.asked {
		fmt.Fprintf(&b, "%10v %s: asked, back after %v with %v\n", q.begin.Sub(o.begun), q.who, q.back.Sub(q.begin), q.value)
	}
	for _, s := range o.report.Steps {
		fmt.Fprintf(&b, "%10v +%v %v\n", s.Start.Sub(o.begun), s.Duration, s)
	}
	fmt.Fprintf(&b, "%10v end\n%v", o.end.Sub(o.begun), o.report)
	return b.String()
}
