package controller_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
)

// wantEnded checks how a context has ended.
func wantEnded(ctx context.Context, t *testing.T, name string, err, cause error) {
	t.Helper()
	select {
	case <-ctx.Done():
	default:
		t.Errorf("%s: Done is not closed", name)
	}
	if ctx.Err() != err || context.Cause(ctx) != cause { //nolint:errorlint // these very values
		t.Errorf("%s ended with %v, cause %v; want %v, cause %v", name, ctx.Err(), context.Cause(ctx), err, cause)
	}
}

// The context of a step ends in the instant that its Deadline names, and so do the
// contexts made from it, with the errors that package context gives.
func TestStepContextAtItsTime(t *testing.T) {
	type key struct{}
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		closer := func(ctx context.Context) error {
			at, ok := ctx.Deadline()
			if !ok || time.Until(at) != time.Second {
				t.Errorf("Deadline is %v from now, %v; want 1s", time.Until(at), ok)
			}
			if ctx.Value(key{}) != "value" || ctx.Err() != nil || context.Cause(ctx) != nil {
				t.Errorf("value %v, error %v, cause %v", ctx.Value(key{}), ctx.Err(), context.Cause(ctx))
			}
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			timed, cancelTimed := context.WithTimeout(context.WithValue(ctx, key{}, "other"), time.Hour)
			defer cancelTimed()
			left, cancelLeft := context.WithCancel(ctx)
			cancelLeft()
			after := make(chan time.Time, 1)
			context.AfterFunc(ctx, func() { after <- time.Now() })
			stop := context.AfterFunc(ctx, func() { t.Error("a stopped AfterFunc was called") })
			if !stop() || stop() {
				t.Error("AfterFunc: stop reports whether it has stopped it")
			}

			<-ctx.Done()
			synctest.Wait() // children end on goroutines of their own
			wantEnded(ctx, t, "step", context.DeadlineExceeded, lastcall.ErrStepTime)
			wantEnded(child, t, "child", context.DeadlineExceeded, lastcall.ErrStepTime)
			wantEnded(timed, t, "child with a timer", context.DeadlineExceeded, lastcall.ErrStepTime)
			wantEnded(left, t, "child that was cancelled before", context.Canceled, context.Canceled)
			late, cancelLate := context.WithCancel(ctx)
			defer cancelLate()
			synctest.Wait()
			wantEnded(late, t, "late child", context.DeadlineExceeded, lastcall.ErrStepTime)
			if now := time.Now(); !now.Equal(at) || !(<-after).Equal(at) {
				t.Errorf("the context ended %v after its Deadline", now.Sub(at))
			}
			d.note("closer")
			return ctx.Err()
		}
		c := mustNew(t, budget, noSignals,
			controller.WithCloser("next", func() { time.Sleep(time.Second) }), // Run is there when c comes back
			controller.WithCloser("c", closer, controller.Timeout(time.Second)))
		time.AfterFunc(time.Minute, func() { c.Shutdown(errAsked) })
		r := c.Run(context.WithValue(context.Background(), key{}, "value"))
		d.want(t, "closer 1m1s")
		s := step(t, r, report.OpClose, "c")
		if s.Result != report.ResultTimedOut || s.Duration != time.Second || !errors.Is(s.Err, context.DeadlineExceeded) {
			t.Errorf("%v after %v, error %v", s, s.Duration, s.Err)
		}
	})
}

// The context of a step that has returned ends, too, and what it has left behind
// with it.
func TestStepContextAfterItsStep(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		var own, child context.Context
		var cancel context.CancelFunc
		c := mustNew(t, budget, noSignals, controller.WithCloser("c", func(ctx context.Context) {
			own = ctx //nolint:fatcontext // the test looks at it after the closer
			child, cancel = context.WithCancel(ctx)
		}))
		runAfter(c, time.Minute)
		synctest.Wait()
		wantEnded(own, t, "step", context.Canceled, context.Canceled)
		wantEnded(child, t, "child", context.Canceled, context.Canceled)
		cancel()
	})
}

// An announcer that a force leaves behind keeps its context for as long as the phase
// might have lasted: the loop ends it while it is in another phase.
func TestStepContextOutlivesItsPhase(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		b := lastcall.Budget{Total: time.Minute, Settle: time.Second, Reserve: 30 * time.Second}
		s := newServer(d, "s", time.Hour)
		s.stop = hang
		var due time.Duration
		c := mustNew(t, b, noSignals, withServer("s", s),
			controller.WithAnnouncer("a", func(ctx context.Context) {
				at, _ := ctx.Deadline()
				due = at.Sub(d.start)
				<-ctx.Done()
				wantEnded(ctx, t, "announcer", context.DeadlineExceeded, lastcall.ErrStepTime)
				d.note("a")
			}))
		time.AfterFunc(time.Millisecond, c.Force)
		runAfter(c, 0)
		d.wantTies(t, "s graceful 1ms", "s stop 1ms", "a "+due.String())
	})
}
