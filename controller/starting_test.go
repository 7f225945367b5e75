package controller_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
)

// G6: what comes before Run triggers, and ends the context of Starting with its cause.
// A signal after that, or the first one after another trigger, does what it does in Run.
func TestG6_Starting(t *testing.T) {
	for name, tt := range map[string]struct {
		early  func(c *controller.Controller, signals chan<- os.Signal)
		later  os.Signal     // a signal in Run
		after  time.Duration // since its start
		cause  func(error) bool
		exit   int
		forced bool
	}{
		"signal":               {early: func(_ *controller.Controller, s chan<- os.Signal) { s <- syscall.SIGTERM }, cause: isSignal},
		"signal, and SIGTERM":  {early: func(_ *controller.Controller, s chan<- os.Signal) { s <- syscall.SIGTERM }, later: syscall.SIGTERM, after: time.Second, cause: isSignal},
		"signal, and SIGINT":   {early: func(_ *controller.Controller, s chan<- os.Signal) { s <- syscall.SIGTERM }, later: os.Interrupt, after: time.Second, cause: isSignal, exit: report.ExitInterrupted, forced: true},
		"signal, and too soon": {early: func(_ *controller.Controller, s chan<- os.Signal) { s <- syscall.SIGTERM }, later: os.Interrupt, after: time.Second - 1, cause: isSignal},
		"Shutdown, and SIGINT": {early: func(c *controller.Controller, _ chan<- os.Signal) { c.Shutdown(errAsked) }, later: os.Interrupt, after: time.Second, cause: isAsked, exit: report.ExitInterrupted, forced: true},
		"signal, and SIGINT before Run": {early: func(_ *controller.Controller, s chan<- os.Signal) {
			s <- syscall.SIGTERM
			time.Sleep(time.Second)
			s <- os.Interrupt
		}, cause: isSignal, exit: report.ExitInterrupted, forced: true},
		"Fail": {early: func(c *controller.Controller, _ chan<- os.Signal) { c.Fail(errAsked) }, cause: isAsked, exit: report.ExitFailed},
		"signal, and the Fail it has": {early: func(c *controller.Controller, s chan<- os.Signal) {
			s <- syscall.SIGTERM
			synctest.Wait()
			c.Fail(errAsked)
		}, cause: isSignal},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				signals := make(chan os.Signal, 2)
				s := newServer(d, "s", 2*time.Second) // as its GracefulStop takes
				c := mustNew(t, budget, controller.WithSignalChannel(signals), withServer("s", s))
				ctx := c.Starting(context.WithValue(context.Background(), valueOfRun{}, "value"))
				second := c.Starting(t.Context())
				if err := c.Add(controller.WithCloser("opened", func() { d.note("closed") })); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if ctx.Err() != nil || ctx.Value(valueOfRun{}) != "value" {
					t.Errorf("before: %v, value %v", ctx.Err(), ctx.Value(valueOfRun{}))
				}
				tt.early(c, signals)
				synctest.Wait()
				for _, ctx := range []context.Context{ctx, second, c.Starting(t.Context())} {
					if !tt.cause(context.Cause(ctx)) {
						t.Errorf("cause %v", context.Cause(ctx))
					}
				}
				if tt.later != nil {
					time.AfterFunc(tt.after, func() { signals <- tt.later })
				}
				r := c.Run(context.Background())
				if !tt.cause(r.Cause) || r.Forced != tt.forced {
					t.Errorf("%v", r)
				}
				wantExit(t, r, tt.exit)
				synctest.Wait()
				if n := alive(); n > 0 {
					t.Errorf("G10: %d goroutines are alive", n)
				}
				if last := d.lines[len(d.lines)-1]; !strings.HasPrefix(last, "closed ") {
					t.Errorf("it happened as %q", d.lines)
				}
			})
		})
	}
}

type valueOfRun struct{}

func isAsked(err error) bool { return errors.Is(err, errAsked) }

func isSignal(err error) bool {
	var signal *report.SignalError
	return errors.As(err, &signal) && signal.Signal == syscall.SIGTERM
}

// G10: once Run has begun the context of Starting ends with its parent only, and no
// goroutine waits for that.
func TestStartingOver(t *testing.T) {
	bubble(t, func(t *testing.T, _ *diary, _ func()) {
		parent, cancel := context.WithCancelCause(context.Background())
		c := mustNew(t, budget, noSignals)
		ctx := c.Starting(parent)
		time.AfterFunc(time.Second, func() {
			if n := alive(); n != 0 {
				t.Errorf("%d goroutines of Starting are alive", n)
			}
			c.Shutdown(errAsked)
		})
		c.Run(context.Background())
		if ctx.Err() != nil {
			t.Errorf("it ended with %v", context.Cause(ctx))
		}
		cancel(errAsked)
		if !isAsked(context.Cause(ctx)) {
			t.Errorf("its parent ended, and it has %v", context.Cause(ctx))
		}
		if late := c.Starting(context.Background()); !errors.Is(context.Cause(late), controller.ErrRan) {
			t.Errorf("after Run: %v", context.Cause(late))
		}
	})
}

func TestStartingRefuses(t *testing.T) {
	c := mustNew(t, budget)
	if ctx := c.Starting(nil); ctx.Err() == nil || !strings.Contains(context.Cause(ctx).Error(), "nil context") { //nolint:staticcheck // what it says to that
		t.Errorf("nil context: %v", context.Cause(ctx))
	}
	if ctx := new(controller.Controller).Starting(t.Context()); ctx.Err() == nil || !strings.Contains(context.Cause(ctx).Error(), "not made by New") {
		t.Errorf("zero Controller: %v", context.Cause(ctx))
	}
	bubble(t, func(t *testing.T, _ *diary, _ func()) {
		signals := make(chan os.Signal)
		c := mustNew(t, budget, controller.WithSignalChannel(signals))
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		if ctx := c.Starting(ended); !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("of a context that has ended: %v", ctx.Err())
		}
		close(signals) // no more come
		c.Shutdown(errAsked)
		wantExit(t, c.Run(context.Background()), report.ExitOK)
	})
	heard := mustNew(t, budget) // SIGTERM and SIGINT, for the time of this test
	heard.Starting(t.Context())
	for _, opt := range []controller.Option{controller.WithSignals(), controller.WithSignalChannel(make(chan os.Signal))} {
		if err := heard.Add(opt); err == nil || !strings.Contains(err.Error(), "come before Starting") {
			t.Errorf("other signals after Starting: %v", err)
		}
	}
	heard.Shutdown(errAsked)
	wantExit(t, heard.Run(context.Background()), report.ExitOK)
}
