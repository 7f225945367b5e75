package controller_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
)

// G1: everything hangs at once, and Run returns exactly at the deadline.
func TestG1_EverythingHangs(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		s := newServer(d, "s", 0)
		s.graceful, s.stop = hang, hang
		c := mustNew(t, budget, noSignals,
			withServer("s", s),
			controller.WithWorker("w", func(_, _ context.Context) error { hang(); return nil }),
			controller.WithAnnouncer("a", hang),
			controller.WithCloser("c1", hang),
			controller.WithCloser("c2", hang),
			controller.WithFlusher("f", hang),
			controller.WithObserver("o", func(report.Step) { hang() }),
			controller.WithLogger(zerolog.New(writer(func([]byte) (int, error) { hang(); return 0, nil }))))
		r, took := runAfter(c, time.Minute)
		wantTook(t, took, budget.Total)
		wantPath(t, r, true)
		wantExit(t, r, report.ExitAbandoned)
		if n := len(r.Abandoned()); n != 8 { // Serve, GracefulStop, Stop, worker, announcer, two closers, flusher
			t.Errorf("%d calls abandoned, want 8\n%v", n, r)
		}
	})
}

// G1: a forced shutdown has a nearer deadline, also when the force comes late.
func TestG1_ForceBringsTheDeadlineForward(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, 5 * time.Second, 7 * time.Second, 9 * time.Second} {
		bubble(t, func(t *testing.T, d *diary, hang func()) {
			s := newServer(d, "s", 0)
			s.graceful, s.stop = hang, hang
			c := mustNew(t, budget, noSignals, withServer("s", s),
				controller.WithCloser("c", hang), controller.WithFlusher("f", hang))
			time.AfterFunc(time.Minute+after, c.Force)
			_, took := runAfter(c, time.Minute)
			wantTook(t, took, min(budget.Total, after+budget.Reserve))
		})
	}
}

// G1: an error whose text never comes is one more thing that hangs.
func TestG1_UserErrorMethods(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		hostile := textError(func() string { hang(); return "" })
		c := mustNew(t, budget, noSignals, withServer("s", newServer(d, "s", time.Second)),
			controller.WithCloser("c", func() error { return hostile }),
			controller.WithCloser("p", func() error { return textError(func() string { panic("in Error") }) }),
			controller.WithCloser("g", func() error { return textError(func() string { runtime.Goexit(); return "" }) }),
			controller.WithLogger(zerolog.New(&bytes.Buffer{})))
		time.AfterFunc(time.Minute, func() { c.Shutdown(hostile) })
		r := c.Run(context.Background())
		if step(t, r, report.OpText, "cause").Result != report.ResultTimedOut {
			t.Errorf("the cause's Error method is not named\n%v", r)
		}
		if s := step(t, r, report.OpClose, "c"); s.Result != report.ResultTimedOut || !s.Abandoned {
			t.Errorf("%v, want it abandoned", s)
		}
		for _, name := range []string{"p", "g"} {
			if s := step(t, r, report.OpClose, name); s.Result != report.ResultFailed || s.Text == "" {
				t.Errorf("%v, want failed, with a text of ours", s)
			}
		}
		// None of these may call the method: they would hang.
		_, _ = r.String(), r.Err().Error()
		if _, err := r.MarshalJSON(); err != nil {
			t.Error(err)
		}
	})
}

// G1: turning the value of a panic into text is user code, and may panic again.
func TestG1_PanicValues(t *testing.T) {
	shared := map[string]int{"a": 1}
	for name, tt := range map[string]struct {
		value any
		want  string
	}{
		"string":   {"text", "text"},
		"number":   {42, "42"},
		"error":    {errAsked, "asked for"},
		"nested":   {nested{}, "(the value of the panic has no text)"},
		"map":      {shared, "(a value of type map[string]int)"},
		"nil":      {nil, new(runtime.PanicNilError).Error()}, // the text is the Go release's
		"stringer": {lastcall.PhaseDrain, "drain"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				c := mustNew(t, budget, noSignals, controller.WithCloser("c", func() { panic(tt.value) }))
				r, _ := runAfter(c, time.Minute)
				s := step(t, r, report.OpClose, "c")
				if s.Result != report.ResultPanicked || s.Text != tt.want {
					t.Errorf("%v, want it panicked with %q", s, tt.want)
				}
				if name == "error" && !errors.Is(r.Err(), errAsked) {
					t.Errorf("Err() does not wrap the error of the panic: %v", r.Err())
				}
			})
		})
	}
}

// nested panics with itself when it is asked for its text.
type nested struct{}

func (nested) String() string { panic(nested{}) }

// G2: a closer starts when the last handler has returned, and closers run one
// after the other, the last registered first.
func TestG2_Order(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		note := func(name string, takes time.Duration) func() {
			return func() {
				d.note(name)
				time.Sleep(takes)
			}
		}
		c := mustNew(t, budget, noSignals,
			withServer("s", newServer(d, "s", time.Second)),
			controller.WithWorker("w", func(claim, _ context.Context) error {
				<-claim.Done()
				time.Sleep(3500 * time.Millisecond)
				d.note("worker over")
				return claim.Err()
			}),
			controller.WithAnnouncer("a", note("announce", 100*time.Millisecond)),
			controller.WithCloser("first", note("close first", 0)),
			controller.WithCloser("second", note("close second", time.Second)),
			controller.WithFlusher("f", note("flush", 0)))
		r, _ := runAfter(c, time.Minute)
		wantExit(t, r, report.ExitOK)
		d.want(t, "announce 1m0s", "s graceful 1m2.1s", "worker over 1m3.5s", "close second 1m3.5s", "close first 1m4.5s", "flush 1m4.5s")
	})
}

// G2: a handler that ignores its end does not keep the closers from running, but
// they wait for it as long as they can.
func TestG2_ClosersAfterWait(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		s := newServer(d, "s", 0)
		s.graceful = hang
		c := mustNew(t, budget, noSignals, withServer("s", s),
			controller.WithCloser("c", func() { d.note("close") }))
		r, _ := runAfter(c, time.Minute)
		if r.Outcome != report.OutcomeAbandoned {
			t.Errorf("outcome %v, want abandoned", r.Outcome)
		}
		// The timer fires after 6 s; Stop returns at once; with 3 phases left of 4 s, wait has a third.
		d.want(t, "s graceful 1m2s", "s stop 1m6s", "close 1m7.333333333s")
	})
}

// G3: all end one nanosecond before the timer: nothing is forced.
func TestG3_NothingIsForced(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals,
			withServer("s", newServer(d, "s", 4*time.Second-1)),
			controller.WithWorker("w", func(_, work context.Context) error {
				select {
				case <-work.Done():
					t.Error("work was cancelled although all ended before the timer")
				case <-time.After(time.Minute + 6*time.Second - 1):
				}
				return nil
			}))
		r, took := runAfter(c, time.Minute)
		wantTook(t, took, 6*time.Second-1)
		wantPath(t, r, false)
		wantExit(t, r, report.ExitOK)
		d.want(t, "s graceful 1m2s")
	})
}

// G3: a server has ended when GracefulStop *and* Serve have returned.
func TestG3_ServeMustReturnToo(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := newServer(d, "s", time.Second)
		s.serve = func() error {
			<-s.down
			time.Sleep(time.Second)
			return errors.New("closed") // as net/http's ErrServerClosed: the end that was asked for
		}
		r, took := runAfter(mustNew(t, budget, noSignals, withServer("s", s)), time.Minute)
		wantTook(t, took, 4*time.Second)
		wantExit(t, r, report.ExitOK)
	})
}

// G4: with nothing in flight and nothing to settle, the shutdown takes no time.
func TestG4_NoTimeForNothing(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		b := budget
		b.Settle = 0
		c := mustNew(t, b, noSignals, withServer("s", newServer(d, "s", 0)),
			controller.WithCloser("c", func() {}), controller.WithFlusher("f", func() {}),
			controller.WithAnnouncer("a", func() {}), controller.WithLogger(zerolog.New(&bytes.Buffer{})))
		r, took := runAfter(c, time.Minute)
		wantTook(t, took, 0)
		wantExit(t, r, report.ExitOK)
	})
}

// G4: settle ends in the instant in which the last server stops serving.
func TestG4_SettleEndsWithTheLastServer(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := newServer(d, "s", 0)
		s.serve = func() error {
			time.Sleep(time.Minute + time.Second)
			return nil
		}
		r, took := runAfter(mustNew(t, budget, noSignals, withServer("s", s)), time.Minute)
		wantTook(t, took, time.Second)
		wantExit(t, r, report.ExitOK)
	})
}

// G5: of three servers one drains in time, one does not, one panics: Stop goes to
// the last two.
func TestG5_StopOnThoseNotDown(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		fine, slow, broken := newServer(d, "fine", time.Second), newServer(d, "slow", time.Hour), newServer(d, "broken", 0)
		broken.graceful = func() { panic("in GracefulStop") }
		c := mustNew(t, budget, noSignals, withServer("fine", fine),
			withServer("slow", slow), withServer("broken", broken))
		r, took := runAfter(c, time.Minute)
		wantTook(t, took, 6*time.Second)
		wantPath(t, r, true)
		wantExit(t, r, report.ExitInterrupted)
		if r.Outcome != report.OutcomeStopped {
			t.Errorf("outcome %v, want stopped", r.Outcome)
		}
		slices.Sort(d.lines)
		d.want(t, "broken graceful 1m2s", "broken stop 1m6s", "fine graceful 1m2s", "slow graceful 1m2s", "slow stop 1m6s")
	})
}

// G5: a server that ends in the instant of the timer has ended after it, whichever of the two
// the loop takes in first; a nanosecond earlier it has drained.
func TestG5_EndsAtTheTimer(t *testing.T) {
	drain := budget.Total - budget.Reserve - budget.Settle
	for range 20 {
		for _, early := range []time.Duration{0, 1} {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				c := mustNew(t, budget, noSignals, withServer("s", newServer(d, "s", drain-early)))
				r, _ := runAfter(c, time.Minute)
				wantPath(t, r, early == 0)
				if early > 0 {
					wantExit(t, r, report.ExitOK)
				}
			})
		}
	}
}

// G5: forced in the very instant in which the drain begins, Stop begins after the
// goroutine that calls GracefulStop has come to the call. The server may still see
// Stop first, but rarely. (`go GracefulStop(); go Stop()` runs Stop first nearly
// always: HAZARDS 34.)
func TestG5_StopSeldomFirst(t *testing.T) {
	const runs = 300
	first := 0
	for range runs {
		bubble(t, func(t *testing.T, d *diary, hang func()) {
			s := newServer(d, "s", time.Hour)
			c := mustNew(t, budget, noSignals, withServer("s", s))
			time.AfterFunc(time.Minute, c.Force)
			c.Run(context.Background())
			d.wantTies(t, "s graceful 1m0s", "s stop 1m0s")
			if d.lines[0] == "s stop 1m0s" {
				first++
			}
		})
	}
	if first > runs/2 {
		t.Errorf("Stop came first in %d of %d shutdowns", first, runs)
	}
}

// G5: a server that stands After another one gets its GracefulStop when that has ended,
// or when the timer fires, before its Stop.
func TestG5_After(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		front, back := newServer(d, "front", time.Second), newServer(d, "back", time.Second)
		c := mustNew(t, budget, noSignals, withServer("front", front),
			withServer("back", back, controller.After("front")))
		r, took := runAfter(c, time.Minute)
		wantTook(t, took, 4*time.Second)
		wantExit(t, r, report.ExitOK)
		d.want(t, "front graceful 1m2s", "back graceful 1m3s")
	})
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		front, back := newServer(d, "front", time.Hour), newServer(d, "back", time.Hour)
		c := mustNew(t, budget, noSignals, withServer("front", front),
			withServer("back", back, controller.After("front")))
		runAfter(c, time.Minute)
		d.wantTies(t, "front graceful 1m2s", "back graceful 1m6s", "front stop 1m6s", "back stop 1m6s")
	})
	bubble(t, func(t *testing.T, d *diary, hang func()) { // also if the one before it never ends
		front, back := newServer(d, "front", 0), newServer(d, "back", 0)
		front.graceful, front.stop = hang, hang
		c := mustNew(t, budget, noSignals, withServer("front", front), withServer("back", back, controller.After("front")))
		r, _ := runAfter(c, time.Minute)
		d.wantTies(t, "front graceful 1m2s", "back graceful 1m6s", "front stop 1m6s", "back stop 1m6s")
		if s := step(t, r, report.OpGracefulStop, "back"); s.Result != report.ResultOK {
			t.Errorf("%v", s)
		}
	})
}

// G6: the first cause is kept, whatever comes after it, and every caller gets the
// same report.
func TestG6_FirstCauseWins(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		signals := make(chan os.Signal, 1)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s := newServer(d, "s", time.Second)
		c := mustNew(t, budget, withServer("s", s), controller.WithSignalChannel(signals))
		time.AfterFunc(time.Minute, func() { c.Shutdown(errAsked) })
		for i := range 5 {
			time.AfterFunc(time.Minute+time.Duration(i+1)*100*time.Millisecond, func() {
				c.Shutdown(fmt.Errorf("later %d", i))
				c.Shutdown(nil)
				cancel()
			})
		}
		// A preStop hook's trigger and then kubelet's only SIGTERM: that must not force.
		time.AfterFunc(time.Minute+time.Second, func() { sigterm(signals) })
		reports := make(chan report.Report, 3)
		for range 3 {
			go func() {
				r, err := c.Wait(context.Background())
				if err != nil {
					t.Error(err)
				}
				reports <- r
			}()
		}
		r := c.Run(ctx)
		if !errors.Is(r.Cause, errAsked) || r.CauseText != errAsked.Error() || r.Forced {
			t.Errorf("cause %v (%s), forced %v; want the first cause, not forced", r.Cause, r.CauseText, r.Forced)
		}
		wantTook(t, r.Took(), 3*time.Second)
		for range 3 {
			if got := <-reports; got.String() != r.String() {
				t.Errorf("Wait gave another report:\n%v\n%v", got, r)
			}
		}
		if again := c.Run(ctx); !errors.Is(again.Err(), controller.ErrRan) || again.ExitCode() != report.ExitNotRun {
			t.Errorf("a second Run: %v, exit code %d", again.Err(), again.ExitCode())
		}
	})
}

// G7: what a reader sees in each phase.
func TestG7_Readers(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		s := newServer(d, "s", time.Hour)
		s.stop = func() { time.Sleep(100 * time.Millisecond) }
		c := mustNew(t, budget, noSignals, withServer("s", s), controller.WithCloser("c", func() { time.Sleep(time.Second) }))
		look := func(at time.Duration, state fsm.State, phase lastcall.Phase, ready bool) {
			time.AfterFunc(at, func() {
				if c.State() != state || c.Phase() != phase || c.Ready() != ready {
					t.Errorf("after %v: %v, %v, ready %v; want %v, %v, %v", at, c.State(), c.Phase(), c.Ready(), state, phase, ready)
				}
			})
		}
		if c.State() != fsm.Serving || c.Phase() != lastcall.PhaseStart || c.Ready() {
			t.Errorf("before Run: %v, %v, ready %v", c.State(), c.Phase(), c.Ready())
		}
		look(time.Second, fsm.Serving, lastcall.PhaseServe, true)
		look(time.Minute+time.Second, fsm.Serving, lastcall.PhaseSettle, false)
		look(time.Minute+3*time.Second, fsm.GracefulShutdown, lastcall.PhaseDrain, false)
		look(time.Minute+6*time.Second+1, fsm.TimerExpired, lastcall.PhaseStop, false)
		look(time.Minute+6500*time.Millisecond, fsm.Terminated, lastcall.PhaseClose, false)
		runAfter(c, time.Minute)
		if c.State() != fsm.Terminated || c.Phase() != lastcall.PhaseFlush {
			t.Errorf("after Run: %v, %v", c.State(), c.Phase())
		}
	})
}

// G7: Shutdown takes readiness away in the instant of the call.
func TestG7_ReadyEndsWithShutdown(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals, withServer("s", newServer(d, "s", 0)))
		time.AfterFunc(time.Minute, func() {
			if !c.Ready() {
				t.Error("not ready before the trigger")
			}
			c.Shutdown(nil)
			if c.Ready() {
				t.Error("ready after Shutdown has returned")
			}
		})
		c.Run(context.Background())
	})
}

// G8: closers that hang, panic, fail and leave; all are called, all are told
// apart, and one that hangs takes only its share.
func TestG8_ClosersAreIsolated(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		b := budget
		b.Settle = 0
		failure := errors.New("disk full")
		var log bytes.Buffer
		c := mustNew(t, b, noSignals, controller.WithLogger(zerolog.New(&log)),
			controller.WithCloser("fine", func() { d.note("fine") }),
			controller.WithCloser("leaves", func() { d.note("leaves"); runtime.Goexit() }),
			controller.WithCloser("fails", func(context.Context) error { d.note("fails"); return failure }),
			controller.WithCloser("panics", func() { d.note("panics"); panic("closed twice") }),
			controller.WithCloser("obeys", func(ctx context.Context) error {
				d.note("obeys")
				<-ctx.Done()
				return context.Cause(ctx)
			}, controller.Timeout(100*time.Millisecond)),
			controller.WithCloser("hangs", func() { d.note("hangs"); hang() }))
		r, took := runAfter(c, time.Minute)
		// 10 s are left, of which 100 ms are kept. Half of the rest is divided into six, and
		// the first of six closers leaves that to each of those behind it.
		share := 9900*time.Millisecond - 5*825*time.Millisecond
		wantTook(t, took, share+100*time.Millisecond)
		at := func(d time.Duration) string { return (time.Minute + d).String() }
		d.want(t, "hangs 1m0s", "obeys "+at(share), "panics "+at(took), "fails "+at(took), "leaves "+at(took), "fine "+at(took))
		for name, want := range map[string]report.Result{
			"fine": report.ResultOK, "leaves": report.ResultGoexit, "fails": report.ResultFailed,
			"panics": report.ResultPanicked, "hangs": report.ResultTimedOut,
		} {
			if got := step(t, r, report.OpClose, name); got.Result != want {
				t.Errorf("%v, want %v", got, want)
			}
		}
		if s := step(t, r, report.OpClose, "panics"); s.Text != "closed twice" || !strings.Contains(s.Stack, "guarantees_test.go") {
			t.Errorf("the panic is reported as %q at\n%s", s.Text, s.Stack)
		}
		if err := r.Err(); !errors.Is(err, failure) || !strings.Contains(err.Error(), `closer "fails" failed: disk full`) {
			t.Errorf("Err() is %v", err)
		}
		wantExit(t, r, report.ExitStep)
		for _, name := range []string{"leaves", "fails", "panics", "hangs"} {
			if !strings.Contains(log.String(), `"name":"`+name+`"`) {
				t.Errorf("the log does not name %q:\n%s", name, &log)
			}
		}
	})
}

// G9: a fast observer is told everything in order; a slow one delays no other, and
// what it missed is counted; one that panics is told the rest.
func TestG9_Observers(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		var fast, broken []string
		slow := 0
		c := mustNew(t, budget, noSignals, withServer("s", newServer(d, "s", time.Second)),
			controller.WithObserver("fast", func(s report.Step) { fast = append(fast, s.String()) }),
			controller.WithObserver("slow", func(report.Step) { slow++; hang() }),
			controller.WithObserver("broken", func(s report.Step) {
				broken = append(broken, s.String())
				if len(broken)%2 == 0 {
					runtime.Goexit()
				}
				panic("observer")
			}))
		r, took := runAfter(c, time.Minute)
		synctest.Wait()
		wantTook(t, took, 3*time.Second)
		wantExit(t, r, report.ExitOK)
		want := []string{
			"phase start", `Serve "s" begins`, "phase serve",
			"triggered: asked for", "phase announce", "phase settle", "GRACEFUL_SHUTDOWN on graceful_shutdown",
			"phase drain", `GracefulStop "s" begins`, `GracefulStop "s" ok`, `Serve "s" ok`,
			"TERMINATED on drained", "phase close", "phase flush", `warning: observer "slow" has not returned for 1m3s`, "summary",
		}
		if !slices.Equal(fast, want) {
			t.Errorf("the fast observer was told %q\nwant %q", fast, want)
		}
		if !slices.Equal(broken, want) {
			t.Errorf("the broken observer was told %q\nwant %q", broken, want)
		}
		n := len(want)
		deliveries := []report.Delivery{
			{Op: report.OpObserve, Name: "fast", Told: n},
			{Op: report.OpObserve, Name: "slow", Missed: n - 1, Busy: true},
			{Op: report.OpObserve, Name: "broken", Failed: n},
		}
		if slow != 1 || !slices.Equal(r.Deliveries, deliveries) {
			t.Errorf("listeners %+v, want %+v", r.Deliveries, deliveries)
		}
	})
}

// G9: an observer that has been slow delays nothing, also when it begins with a step
// in the very instant in which Run returns.
func TestG9_SlowObserver(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals, withServer("s", newServer(d, "s", time.Second)),
			controller.WithObserver("slow", func(report.Step) { time.Sleep(time.Second) }))
		r, took := runAfter(c, time.Minute)
		wantTook(t, took, 3*time.Second)
		if l := r.Deliveries[0]; l.Missed == 0 {
			t.Errorf("it is said to have missed nothing: %v", l)
		}
	})
}

// G9: in real time, too, an observer that takes no time is told everything. A
// machine that keeps a goroutine from the processor for 10 ms may break a few runs;
// without the wait nearly all fail.
func TestG9_RealTime(t *testing.T) {
	missed := 0
	for range 300 {
		told := 0
		s := &server{d: newDiary(), down: make(chan struct{})}
		c := mustNew(t, lastcall.Budget{Total: time.Minute, Reserve: time.Second}, noSignals, withServer("s", s),
			controller.WithCloser("c", func() {}), controller.WithFlusher("f", func() {}),
			controller.WithObserver("o", func(s report.Step) {
				switch s.Kind {
				case report.KindTransition, report.KindPhase, report.KindCall:
					told++
				}
			}))
		time.AfterFunc(100*time.Microsecond, func() { c.Shutdown(nil) })
		r := c.Run(context.Background())
		if d := r.Deliveries[0]; d.Busy || d.Missed != 0 {
			missed++
		} else if told != len(r.Steps) {
			t.Fatalf("told %d of %d steps: %v", told, len(r.Steps), d)
		}
	}
	if missed > 30 {
		t.Errorf("in %d of 300 runs an observer that takes no time missed something", missed)
	}
}

// G10: after Run only what hangs in user code is alive, and it is named.
func TestG10_NothingLeft(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		s := newServer(d, "s", time.Second)
		signals := make(chan os.Signal)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		c := mustNew(t, budget, withServer("s", s), controller.WithSignalChannel(signals),
			controller.WithWorker("w", func(claim, _ context.Context) error { <-claim.Done(); return nil }),
			controller.WithCloser("c", func() {}), controller.WithFlusher("f", func() {}),
			controller.WithObserver("o", func(report.Step) {}),
			controller.WithLogger(zerolog.New(&bytes.Buffer{})))
		time.AfterFunc(time.Minute, func() { c.Shutdown(nil) })
		r := c.Run(ctx)
		wantExit(t, r, report.ExitOK)
		synctest.Wait()
		if n := alive(); n > 0 {
			t.Errorf("%d goroutines of the controller are alive", n)
		}
	})
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		c := mustNew(t, budget, noSignals, controller.WithCloser("stuck", hang))
		r, _ := runAfter(c, time.Minute)
		synctest.Wait()
		if n := alive(); n != 1 {
			t.Errorf("%d goroutines of the controller are alive, want 1", n)
		}
		if a := r.Abandoned(); len(a) != 1 || a[0].Name != "stuck" {
			t.Errorf("abandoned %v, want the closer", a)
		}
	})
}

// G11: the last log line is with the writer before the first flusher starts, and a
// writer that hangs does not keep the flushers from running.
func TestG11_SaidLast(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		var log bytes.Buffer
		c := mustNew(t, budget, noSignals, controller.WithLogger(zerolog.New(&log)),
			controller.WithFlusher("f", func() error {
				if !strings.HasSuffix(log.String(), "shutdown complete, flushing\"}\n") {
					t.Errorf("the flusher found the log at\n%s", &log)
				}
				return errors.New("flusher failed")
			}))
		r, _ := runAfter(c, time.Minute)
		wantExit(t, r, report.ExitStep)
		synctest.Wait()
		if strings.Contains(log.String(), "flusher failed") {
			t.Errorf("something was logged after the last line:\n%s", &log)
		}
	})
	// One that hangs on a line of the shutdown gets a second for it; one that has hung
	// for longer gets nothing more.
	for line, delay := range map[string]time.Duration{"phase start": 0, "shutting down": time.Second} {
		bubble(t, func(t *testing.T, d *diary, hang func()) {
			c := mustNew(t, budget, noSignals, controller.WithLogger(zerolog.New(hangsOn(line, hang))),
				controller.WithFlusher("f", func() { d.note("flush") }))
			r, took := runAfter(c, time.Minute)
			wantTook(t, took, delay)
			d.want(t, "flush "+(time.Minute+delay).String())
			if l := r.Deliveries[0]; l.Op != report.OpLog || !l.Busy || l.Missed == 0 {
				t.Errorf("the logger is reported as %+v", l)
			}
		})
	}
}

// hangsOn returns a writer that hangs on the line that has that part.
func hangsOn(part string, hang func()) writer {
	return func(p []byte) (int, error) {
		if bytes.Contains(p, []byte(part)) {
			hang()
		}
		return len(p), nil
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

type textError func() string

func (e textError) Error() string { return e() }
