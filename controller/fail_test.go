package controller_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
)

var errPort = errors.New("port in use")

// G6: Fail is a trigger with an exit code of its own, if it is the first trigger.
func TestG6_Fail(t *testing.T) {
	fail := func(c *controller.Controller) { c.Fail(errPort) }
	shutdown := func(c *controller.Controller) { c.Shutdown(errAsked) }
	for name, tt := range map[string]struct {
		first, second func(*controller.Controller)
		cause         error
		exit          int
	}{
		"alone":           {fail, func(*controller.Controller) {}, errPort, report.ExitFailed},
		"nil":             {func(c *controller.Controller) { c.Fail(nil) }, fail, report.ErrShutdown, report.ExitFailed},
		"twice":           {fail, func(c *controller.Controller) { c.Fail(errAsked) }, errPort, report.ExitFailed},
		"before Shutdown": {fail, shutdown, errPort, report.ExitFailed},
		"after Shutdown":  {shutdown, fail, errAsked, report.ExitOK},
		"before Force":    {fail, (*controller.Controller).Force, errPort, report.ExitFailed},
		"after Force":     {(*controller.Controller).Force, fail, report.ErrForced, report.ExitInterrupted},
	} {
		for when, apart := range map[string]time.Duration{"at once": 0, "later": 500 * time.Millisecond} {
			t.Run(name+" "+when, func(t *testing.T) {
				bubble(t, func(t *testing.T, d *diary, _ func()) {
					var out bytes.Buffer
					c := mustNew(t, budget, noSignals, withServer("s", newServer(d, "s", time.Second)),
						controller.WithCloser("c", func() { d.note("close") }), controller.WithLogger(zerolog.New(&out)))
					time.AfterFunc(time.Minute, func() {
						tt.first(c)
						time.Sleep(apart)
						tt.second(c)
					})
					r := c.Run(context.Background())
					wantExit(t, r, tt.exit)
					if r.Cause != tt.cause || r.CauseText != tt.cause.Error() || !r.Triggered.Equal(d.start.Add(time.Minute)) { //nolint:errorlint // the same value is what G6 promises
						t.Errorf("the cause is %v, %v after the start", r.Cause, r.Triggered.Sub(d.start))
					}
					if failed := tt.exit == report.ExitFailed; errors.Is(r.Err(), tt.cause) != failed {
						t.Errorf("the error is %v", r.Err())
					}
					if want := fmt.Sprintf(`"exit_code":%d,`, tt.exit); strings.Count(out.String(), want) != 1 {
						t.Errorf("the last line does not say %s\n%s", want, &out)
					}
				})
			})
		}
	}
}

// G2, G6: a program that cannot start calls Fail before Run, which closes what is open
// and starts nothing.
func TestG6_FailBeforeRun(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := newServer(d, "s", 0)
		s.serve = func() error { d.note("serve"); return nil }
		c := mustNew(t, budget, noSignals, withServer("s", s), withNoted(d, "postgres", time.Second),
			controller.WithWorker("w", func(_, _ context.Context) error { d.note("work"); return nil }))
		if err := c.Add(withNoted(d, "redis", 0)); err != nil {
			t.Fatal(err)
		}
		c.Fail(errPort)
		c.Shutdown(errAsked)
		if err := c.Add(withNoted(d, "added later", 0)); err != nil {
			t.Errorf("Add between Fail and Run: %v", err)
		}
		time.Sleep(time.Minute)
		r := c.Run(context.Background())
		d.want(t, "s graceful 1m0s", "added later 1m0s", "redis 1m0s", "postgres 1m0s")
		wantTook(t, r.Took(), time.Second)
		wantExit(t, r, report.ExitFailed)
		if !errors.Is(r.Err(), errPort) || r.Settle != report.SettleNotReady {
			t.Errorf("error %v, settle %q", r.Err(), r.Settle)
		}
	})
}

// Fail does not block, nor panic, wherever it is called; once the shutdown is over it
// changes nothing.
func TestG6_FailFromAnywhere(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		var c *controller.Controller
		c = mustNew(t, budget, noSignals,
			controller.WithWorker("w", func(claim, _ context.Context) error {
				c.Fail(textError(func() string { hang(); return "" }))
				<-claim.Done()
				return nil
			}),
			controller.WithCloser("c", func() { c.Fail(errAsked) }),
			controller.WithObserver("o", func(report.Step) { c.Fail(errAsked) }))
		r := c.Run(context.Background())
		c.Fail(errAsked)
		again, err := c.Wait(context.Background())
		if errors.Is(again.Cause, errAsked) && !errors.Is(r.Cause, errAsked) || err != nil || again.CauseText != r.CauseText {
			t.Errorf("Fail after Run changed the report to %v, error %v", again, err)
		}
		wantExit(t, r, report.ExitFailed)
		synctest.Wait()
	})
	var zero controller.Controller
	zero.Fail(errPort)
	if _, known := zero.Deadline(); known {
		t.Error("a Controller that was not made by New knows a deadline")
	}
	if _, known := zero.TimerAt(); known {
		t.Error("a Controller that was not made by New knows when its timer fires")
	}
}

// Deadline and TimerAt are known from the trigger on, and follow a force.
func TestG1_Deadline(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		s := newServer(d, "s", 0)
		s.graceful, s.stop = hang, hang
		c := mustNew(t, budget, noSignals, withServer("s", s))
		want := func(what string, timer, deadline time.Duration) {
			t.Helper()
			for name, got := range map[string]func() (time.Time, bool){"Deadline": c.Deadline, "TimerAt": c.TimerAt} {
				after := deadline
				if name == "TimerAt" {
					after = timer
				}
				switch at, known := got(); {
				case known != (after != 0), known && at.Sub(d.start) != after, !known && !at.IsZero():
					t.Errorf("%s: %s says %v (%v), want %v", what, name, at.Sub(d.start), known, after)
				}
			}
		}
		want("before Run", 0, 0)
		time.AfterFunc(time.Minute-1, func() { want("before the trigger", 0, 0) })
		time.AfterFunc(time.Minute+1, func() { want("after the trigger", time.Minute+6*time.Second, time.Minute+10*time.Second) })
		time.AfterFunc(time.Minute+3*time.Second, c.Force)
		time.AfterFunc(time.Minute+3*time.Second+1, func() { want("after the force", time.Minute+3*time.Second, time.Minute+7*time.Second) })
		time.AfterFunc(time.Minute+4*time.Second, c.Force)
		r, took := runAfter(c, time.Minute)
		want("after Run", time.Minute+3*time.Second, time.Minute+7*time.Second)
		if at, _ := c.Deadline(); !at.Equal(r.Deadline) {
			t.Errorf("Deadline is %v, the report's %v", at, r.Deadline)
		}
		if took > 7*time.Second {
			t.Errorf("Run took %v", took)
		}
	})
	bubble(t, func(t *testing.T, d *diary, _ func()) { // a force near the deadline moves the timer only
		s := newServer(d, "s", 0)
		s.drain = time.Hour
		c := mustNew(t, lastcall.Budget{Total: 2 * time.Second, Reserve: time.Second}, noSignals, withServer("s", s),
			controller.WithCloser("c", func() { time.Sleep(500 * time.Millisecond) }))
		time.AfterFunc(time.Minute+1200*time.Millisecond, c.Force)
		r, _ := runAfter(c, time.Minute)
		if at, known := c.Deadline(); !known || at.Sub(d.start) != time.Minute+2*time.Second || !at.Equal(r.Deadline) {
			t.Errorf("the deadline is %v, the report's %v", at.Sub(d.start), r.Deadline.Sub(d.start))
		}
		if at, known := c.TimerAt(); !known || at.Sub(d.start) != time.Minute+time.Second {
			t.Errorf("the timer fired at %v", at.Sub(d.start))
		}
	})
	bubble(t, func(t *testing.T, d *diary, _ func()) { // before Run it counts from Run's start
		c := mustNew(t, budget, noSignals)
		c.Fail(errPort)
		if _, known := c.Deadline(); known {
			t.Error("the deadline is known before Run")
		}
		time.Sleep(time.Hour)
		c.Run(context.Background())
		if at, known := c.Deadline(); !known || at.Sub(d.start) != time.Hour+10*time.Second {
			t.Errorf("the deadline is %v", at.Sub(d.start))
		}
	})
}

// G6: a worker for which the process is there ends it, well or not; one for which it is
// not may return nil.
func TestG6_EndsProcess(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		opts     []controller.WorkerOption
		run      func(claim, work context.Context) error
		trigger  time.Duration
		byItself bool
		exit     int
		took     time.Duration
	}{
		"returns nil":            {[]controller.WorkerOption{controller.EndsProcess()}, func(_, _ context.Context) error { time.Sleep(10 * s); return nil }, 10 * s, true, report.ExitOK, 3 * s},
		"returns nil at once":    {[]controller.WorkerOption{controller.EndsProcess()}, func(_, _ context.Context) error { return nil }, 0, true, report.ExitOK, 3 * s},
		"twice the same":         {[]controller.WorkerOption{controller.EndsProcess(), controller.EndsProcess()}, func(_, _ context.Context) error { time.Sleep(10 * s); return nil }, 10 * s, true, report.ExitOK, 3 * s},
		"fails":                  {[]controller.WorkerOption{controller.EndsProcess()}, func(_, _ context.Context) error { time.Sleep(10 * s); return errPort }, 10 * s, true, report.ExitFailed, 3 * s},
		"panics":                 {[]controller.WorkerOption{controller.EndsProcess()}, func(_, _ context.Context) error { time.Sleep(10 * s); panic("as written") }, 10 * s, true, report.ExitFailed, 3 * s},
		"without the option":     {nil, func(_, _ context.Context) error { time.Sleep(10 * s); return nil }, time.Minute, false, report.ExitOK, 3 * s},
		"when it is told to":     {[]controller.WorkerOption{controller.EndsProcess()}, func(claim, _ context.Context) error { <-claim.Done(); time.Sleep(s); return nil }, time.Minute, false, report.ExitOK, 3 * s},
		"with the claim's error": {[]controller.WorkerOption{controller.EndsProcess()}, func(claim, _ context.Context) error { <-claim.Done(); return context.Cause(claim) }, time.Minute, false, report.ExitOK, 3 * s},
		"fails after claim":      {[]controller.WorkerOption{controller.EndsProcess()}, func(claim, _ context.Context) error { <-claim.Done(); time.Sleep(s); return lastcall.Failed(errPort) }, time.Minute, false, report.ExitStep, 3 * s},
		"after claim, in drain":  {[]controller.WorkerOption{controller.EndsProcess()}, func(claim, _ context.Context) error { <-claim.Done(); time.Sleep(4 * s); return nil }, time.Minute, false, report.ExitOK, 4 * s},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				c := mustNew(t, budget, noSignals, controller.WithWorker("w", tt.run, tt.opts...), withServer("s", newServer(d, "s", s)))
				time.AfterFunc(time.Minute, func() { c.Shutdown(errAsked) })
				r := c.Run(context.Background())
				if got := r.Triggered.Sub(d.start); got != tt.trigger {
					t.Errorf("triggered after %v, want %v", got, tt.trigger)
				}
				wantExit(t, r, tt.exit)
				took := tt.took
				if tt.trigger == 0 && r.Settle == report.SettleNotReady {
					took = s
				}
				wantTook(t, r.Took(), took)
				var ended *report.EndedError
				if errors.As(r.Cause, &ended) != tt.byItself || tt.byItself && (ended.Op != report.OpWork || ended.Name != "w") {
					t.Errorf("the cause is %v", r.Cause)
				}
				if tt.byItself && tt.exit == report.ExitOK && (r.CauseText != `worker "w" ended by itself` || ended.Result != report.ResultOK || ended.Err != nil) {
					t.Errorf("the cause is %+v: %s", ended, r.CauseText)
				}
			})
		})
	}
}

// A worker that ends the process does so before the server is ready as well.
func TestG6_EndsProcessInStart(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		e := &extended{server: newServer(d, "s", 0), attach: func() { time.Sleep(time.Minute) }}
		signals := make(chan os.Signal)
		c := mustNew(t, budget, controller.WithSignalChannel(signals), withServer("s", e),
			controller.WithWorker("w", func(_, _ context.Context) error { time.Sleep(time.Second); return nil }, controller.EndsProcess()))
		r := c.Run(context.Background())
		if got := r.Triggered.Sub(d.start); got != time.Second || hasPhase(r, lastcall.PhaseServe) || r.Settle != report.SettleNotReady {
			t.Errorf("triggered after %v, settle %q\n%v", got, r.Settle, r)
		}
	})
}
