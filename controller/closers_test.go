package controller_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
)

// closersOf returns n closers that take as long as took says of each, by its place in the
// order in which they are closed. They end early with their context, but for those that
// hang.
func closersOf(n int, took func(i int) time.Duration) (opts []controller.Option, ended *atomic.Int32) {
	ended = new(atomic.Int32)
	for i := range n {
		d := took(n - 1 - i)
		opts = append(opts, controller.WithCloser("c"+strconv.Itoa(n-1-i), func(ctx context.Context) error {
			select {
			case <-time.After(d):
				ended.Add(1)
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}))
	}
	return opts, ended
}

// G8: one closer that is slow may use time that the others do not need.
func TestG8_OneSlowCloserOfTwenty(t *testing.T) {
	for _, slow := range []int{0, 10, 19} {
		bubble(t, func(t *testing.T, _ *diary, _ func()) {
			opts, ended := closersOf(20, func(i int) time.Duration {
				if i == slow {
					return time.Second
				}
				return 0
			})
			r, took := runAfter(mustNew(t, lastcall.DefaultBudget(), append(opts, noSignals)...), 0)
			wantExit(t, r, report.ExitOK)
			wantTook(t, took, time.Second)
			if ended.Load() != 20 {
				t.Errorf("%d of 20 have ended", ended.Load())
			}
		})
	}
}

// G8: closers that hang leave each of those behind them enough to end in.
func TestG8_HungClosersBeforeSlowOnes(t *testing.T) {
	for _, together := range []bool{false, true} {
		bubble(t, func(t *testing.T, _ *diary, hang func()) {
			opts, ended := closersOf(17, func(int) time.Duration { return 200 * time.Millisecond })
			var hung []controller.Option
			for i := range 3 {
				hung = append(hung, controller.WithCloser("hangs"+strconv.Itoa(i), func() { hang() }))
			}
			if together {
				hung = []controller.Option{controller.Together(hung...)}
			}
			flushed := controller.WithFlusher("f", func() { time.Sleep(1900 * time.Millisecond) })
			r, _ := runAfter(mustNew(t, lastcall.DefaultBudget(), append(append(opts, hung...), noSignals, flushed)...), 0)
			if ended.Load() != 17 {
				t.Errorf("%d of the 17 behind those that hang have ended\n%v", ended.Load(), r)
			}
			wantExit(t, r, report.ExitStep)
			if n := len(r.Failures()); n != 3 {
				t.Errorf("%d steps have failed, want the 3 that hang\n%v", n, r)
			}
		})
	}
}

// G1, G8: a force shares out anew what it leaves: the closer that hangs then is not given
// up at once, and those behind it run.
func TestG8_ForceWhileACloserHangs(t *testing.T) {
	for _, at := range []time.Duration{time.Second, 8 * time.Second, 20 * time.Second} {
		bubble(t, func(t *testing.T, d *diary, hang func()) {
			opts, ended := closersOf(10, func(int) time.Duration { return 10 * time.Millisecond })
			opts = append(opts, noSignals,
				controller.WithCloser("slow", func() { time.Sleep(at + 300*time.Millisecond); ended.Add(1) }),
				controller.WithFlusher("f", func() { time.Sleep(200 * time.Millisecond); ended.Add(1) }))
			c := mustNew(t, lastcall.Budget{Total: 60 * time.Second, Reserve: time.Second}, opts...)
			time.AfterFunc(at, c.Force)
			r, took := runAfter(c, 0)
			if ended.Load() != 12 || r.ExitCode() != report.ExitOK {
				t.Errorf("forced %v after the trigger %d of 12 have ended\n%v", at, ended.Load(), r)
			}
			wantTook(t, took, at+600*time.Millisecond)
		})
	}
}

// G1, G2: where there is no time to wait for each of many closers they begin in order all
// the same, and get what is left together.
func TestG2_TooManyClosersForTheTime(t *testing.T) {
	bubble(t, func(t *testing.T, _ *diary, hang func()) {
		const n = 1000
		var begun, ended, astray atomic.Int32
		var opts []controller.Option
		for i := range n - 1 {
			opts = append(opts, controller.WithCloser(strconv.Itoa(i), func() {
				if place := int(begun.Add(1)); place < n-1-i-10 || place > n-1-i+10 {
					astray.Add(1) // it lost the processor right before it counted, or another one did
				}
				time.Sleep(400 * time.Millisecond)
				ended.Add(1)
			}))
		}
		opts = append(opts, noSignals, controller.WithCloser("hangs", func() { hang() }))
		r, took := runAfter(mustNew(t, lastcall.Budget{Total: 2 * time.Second, Reserve: time.Second}, opts...), 0)
		if ended.Load() != n-1 || len(r.Failures()) != 1 {
			t.Errorf("%d of %d have ended, with %d failures", ended.Load(), n-1, len(r.Failures()))
		}
		if astray.Load() > n/10 {
			t.Errorf("%d of %d were not begun in their turn", astray.Load(), n)
		}
		if took > 2*time.Second {
			t.Errorf("Run took %v", took)
		}
	})
}
