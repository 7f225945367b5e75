package controller

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// begun returns a run that has been asked to shut down, with a Total of that much.
func begun(t *testing.T, total time.Duration) *run {
	t.Helper()
	c, err := New(lastcall.Budget{Total: total, Reserve: time.Second}, WithSignals(), WithoutStderr(), WithoutStacks())
	if err != nil {
		t.Fatal(err)
	}
	r := newRun(context.Background(), c, c.config, &starting{signals: signals{stop: func() {}}})
	c.Shutdown(nil)
	r.takeIn()
	return r
}

// G8: a step that the machine has not let begin by its time is not late, and the loop does
// not wait for it; one that has begun and has not returned is. (In this test the first is
// kept from beginning by the call that it comes after. Outside of this package no test can
// have that happen for certain.)
func TestG8_LateOnlyIfItHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begun(t, 10*time.Second)
		over := make(chan struct{})
		hangs := func(context.Context) error { <-over; return nil }
		never := &call{begun: make(chan struct{})}
		start := time.Now()
		end := func() time.Time { return start.Add(time.Second) }
		waiting := r.step(report.OpClose, stepConfig{name: "waiting", run: func(context.Context) error { return nil }}, end(), never)
		own := r.step(report.OpClose, stepConfig{name: "own", timeout: time.Millisecond, run: func(context.Context) error { return nil }}, end(), never)
		hung := r.step(report.OpClose, stepConfig{name: "hung", run: hangs}, end(), nil)
		r.awaitSteps([]*call{waiting, own, hung}, end, nothing)
		if took := time.Since(start); took != time.Second {
			t.Errorf("the loop waited %v for them", took)
		}
		if waiting.reported || own.reported || hung.step.Result != report.ResultTimedOut {
			t.Errorf("waiting is told: %v, own: %v, hung is %v", waiting.reported, own.reported, hung.step.Result)
		}
		close(never.begun) // the machine has time again
		close(over)
		synctest.Wait()
		r.takeIn()
		if waiting.step.Result != report.ResultOK || own.step.Result != report.ResultOK {
			t.Errorf("in the end waiting is %v, and own %v", waiting.step.Result, own.step.Result)
		}
	})
}

// G1: the process is stopped while the loop is at work: steps that run get back their time,
// as they do if it is stopped while the loop sleeps.
func TestG1_StoppedAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begun(t, time.Minute)
		start := time.Now()
		hangs := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
		step := r.step(report.OpClose, stepConfig{name: "hung", timeout: time.Second, run: hangs}, start.Add(time.Minute), nil)
		stopped := false
		r.awaitSteps([]*call{step}, func() time.Time { return start.Add(time.Minute) }, func() bool {
			if !stopped {
				stopped = true
				time.Sleep(5 * time.Second)
			}
			return false
		})
		if took := time.Since(start); took != 6*time.Second || r.suspended != 5*time.Second {
			t.Errorf("its time was over after %v, suspended for %v", took, r.suspended)
		}
	})
}

// G8: an answer for the summary that the process could not give because it was stopped is not
// late when it goes on.
func TestG8_StoppedBeforeAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begun(t, time.Minute)
		const stopped = 5 * time.Second
		answered, stop := false, true
		asked := r.ask(report.OpInFlight, "s", func() { time.Sleep(stopped + answerTime/2) }, func() { answered = true })
		asked.grace = answerTime
		r.await(r.nothingFresh, func() time.Time {
			if stop {
				stop = false
				time.Sleep(stopped)
			}
			return r.freshUntil()
		})
		if r.expireOld(r.calls); !answered || r.suspended != stopped {
			t.Errorf("answered: %v, suspended for %v", answered, r.suspended)
		}
	})
}

// deaf is a server whose InFlight hangs from the second call on, until over is closed.
type deaf struct {
	lastcall.Unimplemented
	asked atomic.Int32
	over  chan struct{}
}

func (*deaf) Serve() error               { return nil }
func (*deaf) GracefulStop()              {}
func (*deaf) Stop()                      {}
func (*deaf) Accepting() <-chan struct{} { return nil }

func (d *deaf) InFlight() []lastcall.Work {
	if d.asked.Add(1) > 1 {
		<-d.over
	}
	return nil
}

// G10, ADR 46: GracefulStop has ended the drain in the instant of a force, and the loop hears of
// it when it has already asked the server once more: that question is still named. (Outside of
// this package no test can have the machine leave a goroutine without a processor there.)
func TestG10_GracefulStopIsHeardLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deaf{over: make(chan struct{})}
		defer close(d.over)
		c, err := New(lastcall.Budget{Total: time.Minute, Reserve: time.Second}, WithServer("s", d, ServedElsewhere(d.over)), WithSignals(), WithoutStderr(), WithoutStacks())
		if err != nil {
			t.Fatal(err)
		}
		r := newRun(context.Background(), c, c.config, &starting{signals: signals{stop: func() {}}})
		c.Shutdown(nil)
		r.takeIn()
		s := r.servers[0]
		r.gracefulStop(s)
		synctest.Wait()  // it has returned, and asks
		r.adopt(s.atEnd) // as drain does
		r.outcome = report.OutcomeCancelled
		r.inspectAtEnd(r.servers)
		synctest.Wait()
		asked := s.atEnd.calls[0]
		r.expire(asked)
		r.takeIn() // the loop hears of GracefulStop
		for i, c := range r.calls {
			if slices.Contains(r.calls[:i], c) {
				t.Errorf("%s is there twice", c.step.Subject())
			}
			c.step.Abandoned = !c.over // as finish does
		}
		if named := slices.ContainsFunc(r.report().Steps, func(s report.Step) bool { return s.Op == report.OpInFlight && s.Abandoned }); !named {
			t.Errorf("the question that hangs is not named: %+v", r.report().Steps)
		}
	})
}
