package controller_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
)

// extended is a server with all that a server can do.
type extended struct {
	*server
	lastcall.Unimplemented
	attach, announce, cancel, cut func()
	cause                         error
}

func (e *extended) Attach(lastcall.Host) {
	if e.attach != nil {
		e.attach()
	}
}

func (e *extended) Announce(context.Context) error {
	if e.announce != nil {
		e.announce()
	}
	return nil
}

func (e *extended) Cancel(_ context.Context, cause error) {
	e.d.note(e.name + " cancel")
	e.cause = cause
	if e.cancel != nil {
		e.cancel()
	}
}

func (e *extended) Cut() int {
	e.d.note(e.name + " cut")
	if e.cut != nil {
		e.cut()
	}
	return 1
}

// G1, G2: with everything hanging, each phase after the timer gets its share of
// the 4 s that are left: a sixth, a fifth, a quarter, a third, a half.
func TestG1_ShareOfEachPhase(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		s := newServer(d, "s", 0)
		s.graceful, s.stop = hang, hang
		e := &extended{server: s, cancel: hang, cut: hang}
		c := mustNew(t, budget, noSignals, withServer("s", e), controller.WithCloser("c", func() { d.note("close") }))
		r, _ := runAfter(c, time.Minute)
		left := 4 * time.Second
		at := time.Minute + 6*time.Second
		begins := func(k int) string {
			now := at
			at += left / time.Duration(k)
			left -= left / time.Duration(k)
			return now.String()
		}
		want := []string{"s graceful 1m2s", "s cancel " + begins(6), "s stop " + begins(5), "s cut " + begins(4)}
		begins(3)
		d.want(t, append(want, "close "+at.String())...)
		synctest.Wait()
		if !errors.Is(e.cause, lastcall.ErrTimer) {
			t.Errorf("the server was cancelled with %v, want ErrTimer", e.cause)
		}
		wantExit(t, r, report.ExitAbandoned)
	})
}

// G2: an Attach that comes back after the trigger does not lead to a Serve.
func TestG2_NothingStartsAfterTheTrigger(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := newServer(d, "s", 0)
		s.serve = func() error { d.note("serve"); return nil }
		e := &extended{server: s, attach: func() { time.Sleep(time.Minute) }}
		c := mustNew(t, budget, noSignals, withServer("s", e),
			controller.WithAnnouncer("a", func() { time.Sleep(500 * time.Millisecond) }))
		r, took := runAfter(c, time.Minute-100*time.Millisecond)
		wantTook(t, took, 500*time.Millisecond) // never ready: no settle
		wantExit(t, r, report.ExitOK)
		d.want(t, "s graceful 1m0.4s")
	})
}

// G3: a server that came to its end in phase stop is not cut.
func TestG3_NothingIsCutThatHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		e := &extended{server: newServer(d, "s", time.Hour)}
		e.stop = func() { e.halt(); time.Sleep(time.Millisecond) }
		r, _ := runAfter(mustNew(t, budget, noSignals, withServer("s", e)), time.Minute)
		d.want(t, "s graceful 1m2s", "s cancel 1m6s", "s stop 1m6s")
		if r.Outcome != report.OutcomeStopped {
			t.Errorf("outcome %v, want stopped", r.Outcome)
		}
	})
}

// G6: what one caller does to its report is nothing to the others.
func TestG6_ReportsAreSeparate(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals)
		runAfter(c, time.Minute)
		first, _ := c.Wait(context.Background())
		first.Steps[0].Name = "changed"
		if second, _ := c.Wait(context.Background()); second.Steps[0].Name != "start" {
			t.Error("changing the report of one Wait changed that of another")
		}
	})
}

// G8: the context of a step ends with its time, with a cause that says so.
func TestG8_ContextsOfStepsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		step := func(name string) func(context.Context) error {
			return func(ctx context.Context) error {
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), lastcall.ErrStepTime) {
					t.Errorf("the context of %s ended with %v", name, context.Cause(ctx))
				}
				d.note(name)
				return nil
			}
		}
		c := mustNew(t, budget, noSignals, controller.WithAnnouncer("a", step("announcer")),
			controller.WithCloser("c", step("closer")), controller.WithFlusher("f", step("flusher")))
		runAfter(c, time.Minute)
		synctest.Wait()
		// A tenth of 6 s; the 9.4 s that are left then without the flush's; the rest.
		const end, left = time.Minute + 10*time.Second, 9400 * time.Millisecond
		d.want(t, "announcer 1m0.6s", "closer "+(end-min(controller.FlushTime, left/4)).String(), "flusher "+end.String())
	})
	bubble(t, func(t *testing.T, d *diary, _ func()) { // a force shortens it
		c := mustNew(t, budget, noSignals, controller.WithCloser("c", func(ctx context.Context) {
			<-ctx.Done()
			d.note("closer")
		}))
		time.AfterFunc(time.Minute+time.Second, c.Force)
		runAfter(c, time.Minute)
		synctest.Wait()
		d.want(t, "closer 1m4.9s") // the 4 s to the new deadline, but for 100 ms
	})
}

// G8: what is late when the timer fires is told then, and once. A GracefulStop that
// the timer overtook is not: it returns when Stop has been called.
func TestG8_LateIsToldAtTheTimer(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		slow := newServer(d, "slow", 0)
		slow.serve = func() error { hang(); return nil }
		c := mustNew(t, budget, noSignals, withServer("slow", slow),
			withServer("stuck", newServer(d, "stuck", time.Hour)),
			controller.WithWorker("w", func(_, _ context.Context) error { hang(); return nil }),
			controller.WithObserver("o", func(s report.Step) {
				if s.Failed() {
					d.note(string(s.Op) + " " + s.Name)
				}
			}))
		runAfter(c, time.Minute)
		var told []string
		for _, line := range d.lines {
			if line != "slow graceful 1m2s" && line != "stuck graceful 1m2s" && line != "stuck stop 1m6s" {
				told = append(told, line)
			}
		}
		d.lines = told
		d.want(t, "Serve slow 1m6s", "worker w 1m6s")
	})
}

// TimerAt follows a force.
func TestTimerAtAfterForce(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := newServer(d, "s", time.Hour)
		e := &attached{server: s}
		c := mustNew(t, budget, noSignals, withServer("s", e))
		want := func(after, timer time.Duration) {
			time.AfterFunc(after, func() {
				if at, ok := e.life.Load().TimerAt(); !ok || at.Sub(d.start) != timer {
					t.Errorf("after %v the timer is said to fire at %v (%v), want %v", after, at.Sub(d.start), ok, timer)
				}
			})
		}
		want(time.Minute+time.Second, time.Minute+6*time.Second)
		time.AfterFunc(time.Minute+3*time.Second, c.Force)
		s.stop = func() { time.Sleep(100 * time.Millisecond) }
		want(time.Minute+3*time.Second+50*time.Millisecond, time.Minute+3*time.Second)
		runAfter(c, time.Minute)
	})
}

type attached struct {
	*server
	lastcall.Unimplemented
	life atomic.Pointer[lastcall.Life]
}

func (a *attached) Attach(h lastcall.Host) { life := h.Life(); a.life.Store(&life) }
