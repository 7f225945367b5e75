package controller_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
)

// before returns an option that runs code of the caller first. What an option is
// applied to is a type that only package controller can name.
func before[C any](f func() error, option func(*C) error) func(*C) error {
	return func(c *C) error { return errors.Join(f(), option(c)) }
}

// G1: an option is user code, and no lock of the controller is held while it runs.
func TestG1_OptionsThatCallBack(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		c := mustNew(t, budget, noSignals, withServer("s", newServer(d, "s", time.Second)))
		closer := func(name string) controller.Option {
			return controller.WithCloser(name, func() { d.note(name) })
		}
		if err := c.Add(controller.Option(before(func() error { return c.Add(closer("inner")) }, closer("outer")))); err != nil {
			t.Fatal(err)
		}
		// Where the outer Add is refused, what the inner one added stays.
		refused := c.Add(controller.Option(before(func() error { return c.Add(closer("kept")) }, closer("outer"))))
		if refused == nil {
			t.Error("a second closer with the name of the first was accepted")
		}
		// One that hangs delays its own Add and nothing else.
		left := make(chan error, 1)
		go func() {
			left <- c.Add(controller.Option(before(func() error { hang(); return nil }, closer("late"))))
		}()
		opening := c.Starting(context.Background())
		r, took := runAfter(c, time.Minute)
		wantTook(t, took, budget.Settle+time.Second)
		wantExit(t, r, report.ExitOK)
		if opening.Err() != nil {
			t.Error(context.Cause(opening))
		}
		d.want(t, "s graceful 1m2s", "kept 1m3s", "outer 1m3s", "inner 1m3s")
		select {
		case err := <-left:
			t.Errorf("Add returned %v while its option ran", err)
		default:
		}
	})
}

// What a call of Add costs does not depend on how much is registered.
func TestAddIsLinear(t *testing.T) {
	work := func(claim, _ context.Context) error { <-claim.Done(); return nil }
	bytes := func(n int) float64 {
		c := mustNew(t, budget, noSignals)
		var start, end runtime.MemStats
		runtime.ReadMemStats(&start)
		for i := range n {
			err := c.Add(
				withServer(fmt.Sprint("s", i), &server{}),
				controller.WithCloser(fmt.Sprint("c", i), func() {}),
				controller.WithWorker(fmt.Sprint("w", i), work))
			if err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&end)
		return float64(end.TotalAlloc - start.TotalAlloc)
	}
	bytes(100)
	if few, many := bytes(500), bytes(4000); many > 2*8*few {
		t.Errorf("4000 calls of Add allocate %.0f times what 500 do", many/few)
	}
}
