package controller_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
)

// A server or worker that ends by itself is a trigger; with an error it is a
// failure as well.
func TestEndedByItself(t *testing.T) {
	failure := errors.New("port in use")
	tests := map[string]struct {
		serve  func() error
		work   func() error
		op     report.Op
		result report.Result
		exit   int
		text   string
	}{
		"Serve fails":    {serve: func() error { return failure }, op: report.OpServe, result: report.ResultFailed, exit: report.ExitFailed, text: `Serve "s" ended by itself: port in use`},
		"Serve returns":  {serve: func() error { return nil }, op: report.OpServe, result: report.ResultOK, exit: report.ExitOK, text: `Serve "s" ended by itself`},
		"Serve panics":   {serve: func() error { panic("at last") }, op: report.OpServe, result: report.ResultPanicked, exit: report.ExitFailed, text: `Serve "s" ended by itself: panicked: at last`},
		"a worker fails": {work: func() error { return failure }, op: report.OpWork, result: report.ResultFailed, exit: report.ExitFailed, text: `worker "w" ended by itself: port in use`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				s := newServer(d, "s", time.Second)
				if tt.serve != nil {
					s.serve = func() error { time.Sleep(time.Minute); return tt.serve() }
				}
				c := mustNew(t, budget, noSignals, withServer("s", s),
					controller.WithWorker("w", func(claim, _ context.Context) error {
						if tt.work != nil {
							time.Sleep(time.Minute)
							return tt.work()
						}
						<-claim.Done()
						return claim.Err()
					}))
				r := c.Run(context.Background())
				var ended *report.EndedError
				if !errors.As(r.Cause, &ended) || ended.Op != tt.op || ended.Result != tt.result || r.CauseText != tt.text {
					t.Errorf("cause %#v, %q; want %v %v, %q", r.Cause, r.CauseText, tt.op, tt.result, tt.text)
				}
				wantExit(t, r, tt.exit)
				wantPath(t, r, false)
				if tt.exit == report.ExitFailed && tt.result == report.ResultFailed && !errors.Is(r.Err(), failure) {
					t.Errorf("Err() is %v", r.Err())
				}
			})
		})
	}
}

// A worker that has done its work is not a trigger.
func TestWorkerThatFinishes(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals, controller.WithWorker("once", func(_, _ context.Context) error { return nil }))
		r, took := runAfter(c, time.Hour)
		wantTook(t, took, 0)
		wantExit(t, r, report.ExitOK)
	})
}

// A worker whose work goes on is cancelled at the timer, with a cause, and gets the
// time of phase wait.
func TestWorkerIsCancelled(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals, controller.WithWorker("w", func(claim, work context.Context) error {
			<-claim.Done()
			if work.Err() != nil || !errors.Is(context.Cause(claim), lastcall.ErrClaim) {
				t.Errorf("claim ended with %v, work with %v", context.Cause(claim), work.Err())
			}
			if at, ok := lastcall.TimerAt(work); !ok || !at.Equal(time.Now().Add(6*time.Second)) {
				t.Errorf("TimerAt says %v, %v", at, ok)
			}
			<-work.Done()
			d.note("cancelled")
			if !errors.Is(context.Cause(work), lastcall.ErrTimer) {
				t.Errorf("work ended with %v, want ErrTimer", context.Cause(work))
			}
			time.Sleep(time.Second)
			return context.Cause(work)
		}))
		r, took := runAfter(c, time.Minute)
		wantTook(t, took, 7*time.Second)
		wantPath(t, r, true)
		wantExit(t, r, report.ExitInterrupted)
		if r.Outcome != report.OutcomeCancelled || hasPhase(r, lastcall.PhaseStop) {
			t.Errorf("outcome %v, want cancelled, and no phase stop\n%v", r.Outcome, r)
		}
		d.want(t, "cancelled 1m6s")
	})
}

// Before Run: nothing is started, what is there is closed, in order, and the time
// counts from Run's start.
func TestTriggeredBeforeRun(t *testing.T) {
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(errAsked)
	for name, ctx := range map[string]context.Context{"Shutdown": context.Background(), "context": ended} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				s := newServer(d, "s", 0)
				s.serve = func() error { d.note("serve"); return nil }
				c := mustNew(t, budget, noSignals, withServer("s", s),
					controller.WithWorker("w", func(_, _ context.Context) error { d.note("worker"); return nil }),
					controller.WithCloser("one", func() { d.note("close one") }),
					controller.WithCloser("two", func() { d.note("close two") }))
				if name == "Shutdown" {
					c.Shutdown(errAsked)
				}
				if c.Ready() {
					t.Error("ready")
				}
				time.Sleep(time.Minute)
				r := c.Run(ctx)
				wantTook(t, r.Took(), 0)
				wantExit(t, r, report.ExitOK)
				wantPath(t, r, false)
				if !errors.Is(r.Cause, errAsked) {
					t.Errorf("cause %v", r.Cause)
				}
				d.want(t, "s graceful 1m0s", "close two 1m0s", "close one 1m0s")
			})
		})
	}
}

// A cause that is a nil pointer is the caller's mistake, and no reason to panic.
func TestNilPointerCauses(t *testing.T) {
	for _, cause := range []error{(*report.SignalError)(nil), (*report.EndedError)(nil)} {
		bubble(t, func(t *testing.T, d *diary, _ func()) {
			c := mustNew(t, budget, noSignals)
			c.Shutdown(cause)
			r := c.Run(context.Background())
			wantExit(t, r, report.ExitOK)
			if r.CauseText == "" {
				t.Error("the cause has no text")
			}
		})
	}
}

// A worker that uses the context given to Run, as people do, ends cleanly with it.
func TestWorkerWithRunsContext(t *testing.T) {
	for range 200 { // it wakes in the same instant as the loop
		ctx, cancel := context.WithCancel(context.Background())
		c := mustNew(t, lastcall.Budget{Total: time.Minute, Reserve: time.Second}, noSignals,
			controller.WithWorker("w", func(_, _ context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}))
		time.AfterFunc(100*time.Microsecond, cancel)
		wantExit(t, c.Run(ctx), report.ExitOK)
	}
}

// An idle server that is forced at once is stopped, as the table says; that its
// GracefulStop had no time to return is not a failure.
func TestForceOfAnIdleServer(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals, withServer("s", newServer(d, "s", time.Millisecond)))
		time.AfterFunc(time.Minute, c.Force)
		r := c.Run(context.Background())
		wantExit(t, r, report.ExitInterrupted)
		if len(r.Failures()) > 0 {
			t.Errorf("something is called a failure:\n%v", r)
		}
	})
}

// A force of a server with nothing to do, in real time, where goroutines need the
// processor before they can come back: nothing is called late. As in
// TestG9_RealTime, the machine may break a few runs.
func TestForceInRealTime(t *testing.T) {
	late := 0
	for range 200 {
		c := mustNew(t, budget, noSignals, controller.WithAnnouncer("a", func() {}))
		time.AfterFunc(100*time.Microsecond, func() {
			c.Shutdown(errAsked)
			c.Force()
		})
		r := c.Run(context.Background())
		if r.ExitCode() != report.ExitOK || r.CauseText != errAsked.Error() {
			late++
		}
	}
	if late > 20 {
		t.Errorf("in %d of 200 runs something that takes no time was called late", late)
	}
}

// Zero servers is legal, and Force before any trigger is one.
func TestForceIsATrigger(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals)
		time.AfterFunc(time.Minute, c.Force)
		r := c.Run(context.Background())
		wantTook(t, r.Took(), 0)
		wantPath(t, r, false)
		if !errors.Is(r.Cause, report.ErrForced) || !r.Forced {
			t.Errorf("cause %v, forced %v", r.Cause, r.Forced)
		}
	})
}

// The first signal is a trigger, and the second one may force.
func TestSecondSignalForces(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		signals := make(chan os.Signal, 1)
		c := mustNew(t, budget, controller.WithSignalChannel(signals), withServer("s", newServer(d, "s", time.Hour)))
		time.AfterFunc(time.Minute, func() { sigterm(signals) })
		time.AfterFunc(time.Minute+time.Second, func() { signals <- os.Interrupt }) // in settle
		r := c.Run(context.Background())
		wantTook(t, r.Took(), time.Second)
		wantPath(t, r, true)
		wantExit(t, r, report.ExitInterrupted)
		d.wantTies(t, "s graceful 1m1s", "s stop 1m1s")
		var cause *report.SignalError
		if !errors.As(r.Cause, &cause) || r.CauseText != "signal: terminated" {
			t.Errorf("cause %v (%s)", r.Cause, r.CauseText)
		}
	})
	bubble(t, func(t *testing.T, d *diary, _ func()) { // a channel that is closed brings no signals
		signals := make(chan os.Signal)
		close(signals)
		r, took := runAfter(mustNew(t, budget, controller.WithSignalChannel(signals)), time.Minute)
		wantTook(t, took, 0)
		if !errors.Is(r.Cause, errAsked) {
			t.Errorf("cause %v", r.Cause)
		}
	})
}

// Contexts of steps keep the values of Run's context, not its end.
func TestContextsOfSteps(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "value"))
		check := func(ctx context.Context) error {
			if ctx.Value(key{}) != "value" || ctx.Err() != nil {
				t.Errorf("a step's context has value %v, error %v", ctx.Value(key{}), ctx.Err())
			}
			if _, ok := ctx.Deadline(); !ok {
				t.Error("a step's context has no deadline")
			}
			return nil
		}
		c := mustNew(t, budget, noSignals, controller.WithAnnouncer("a", check), controller.WithCloser("c", check), controller.WithFlusher("f", check))
		time.AfterFunc(time.Minute, cancel)
		r := c.Run(ctx)
		wantExit(t, r, report.ExitOK)
		if !errors.Is(r.Cause, context.Canceled) {
			t.Errorf("cause %v", r.Cause)
		}
	})
}

// Without a Life in the context both functions say that they know nothing.
func TestNoLife(t *testing.T) {
	if lastcall.Draining(context.Background()) != nil {
		t.Error("Draining of a bare context is not nil")
	}
	if _, ok := lastcall.TimerAt(context.Background()); ok {
		t.Error("TimerAt of a bare context knows a time")
	}
}

func TestReportJSON(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		c := mustNew(t, budget, noSignals, withServer("s", newServer(d, "s", time.Second)),
			controller.WithCloser("stuck", hang), controller.WithObserver("o", func(report.Step) {}))
		r, _ := runAfter(c, time.Minute)
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Outcome    string
			ExitCode   int `json:"exit_code"`
			Cause      string
			Path       []string
			Took       float64 `json:"took_seconds"`
			Abandoned  []string
			Steps      []struct{ Kind, Name, Phase, Result string }
			Deliveries []struct{ Name string }
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if got.Outcome != "drained" || got.ExitCode != report.ExitStep || got.Cause != "asked for" || got.Took != 9.9 ||
			strings.Join(got.Path, " ") != "SERVING GRACEFUL_SHUTDOWN TERMINATED" ||
			len(got.Abandoned) != 1 || got.Abandoned[0] != `closer "stuck"` || len(got.Deliveries) != 1 || len(got.Steps) != len(r.Steps) {
			t.Errorf("%s\nis not what happened:\n%v", text, r)
		}
		if last := got.Steps[len(got.Steps)-1]; last.Kind != "phase" || last.Phase != "flush" {
			t.Errorf("the last step is %+v", last)
		}
	})
}

// Each caller has a report of its own.
func TestReportIsAValue(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals)
		r, _ := runAfter(c, time.Minute)
		r.Steps[0].Name, r.Path[0] = "changed", 0
		again, err := c.Wait(context.Background())
		if err != nil || again.Steps[0].Name != "start" || again.Path[0] == 0 {
			t.Errorf("changing one report changed another: %v, %v", again, err)
		}
	})
}
