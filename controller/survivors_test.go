package controller_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// What no other test noticed when bench/mutants broke it.

// G1: a deadline that comes nearer leaves phase cancel at most the time that its steps were told.
func TestG1_ShortenInPhaseCancel(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		s := &canceling{server: newServer(d, "s", time.Hour), cancel: func(context.Context, error) { hang() }}
		c := mustNew(t, budget, noSignals, withServer("s", s))
		share := 4 * time.Second / 6
		time.AfterFunc(time.Minute+6*time.Second+share/2, func() { c.Shorten(d.start.Add(time.Minute+9*time.Second+900*time.Millisecond), "as tested") })
		runAfter(c, time.Minute)
		d.want(t, "s graceful 1m2s", "s stop "+(time.Minute+6*time.Second+share).String())
	})
}

// G3: a phase in which there is nothing to do is left out: what has ended is not cancelled.
func TestG3_NothingToCancel(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		ended := &canceling{server: newServer(d, "ended", 0), cancel: func(context.Context, error) { d.note("cancel") }}
		r, _ := runAfter(mustNew(t, budget, noSignals, withServer("s", newServer(d, "s", time.Hour)), withServer("ended", ended)), time.Minute)
		if wantPath(t, r, true); hasPhase(r, lastcall.PhaseCancel) {
			t.Errorf("there is a phase cancel:\n%v", r)
		}
	})
}

// G6: for 50 ms a signal is the same request as the one that forced.
func TestG6_OneRequestThatForces(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		signals := make(chan os.Signal)
		c := mustNew(t, budget, controller.WithSignalChannel(signals), withServer("s", newServer(d, "s", 0)), controller.WithFlusher("f", hang))
		time.AfterFunc(time.Minute, func() {
			c.Force()
			time.Sleep(50*time.Millisecond - time.Nanosecond)
			signals <- os.Interrupt
			time.Sleep(time.Nanosecond)
			signals <- os.Interrupt
		})
		got := requests(c.Run(context.Background()).Steps)
		if len(got) != 3 || !strings.HasSuffix(got[1], "the same request as the one before") || !strings.Contains(got[2], "already shutting down") {
			t.Errorf("requests %q", got)
		}
	})
}

// askedFirst is a server whose GracefulStop has panicked and whose Serve has returned, so that
// Cancel is not called.
type askedFirst struct{ full }

func (s *askedFirst) InFlight() []lastcall.Work {
	s.d.note("asked")
	return nil
}

// G5: also without a Cancel before it, Stop is called when the goroutine that asks for the work
// in flight at the timer has come to the question. What the two do then is a race.
func TestG5_AskedBeforeStop(t *testing.T) {
	const runs = 100
	first := 0
	for range runs {
		bubble(t, func(t *testing.T, d *diary, hang func()) {
			s := &askedFirst{full{server: newServer(d, "s", 0)}}
			s.graceful = func() { s.halt(); panic("at once") }
			runAfter(mustNew(t, budget, noSignals, withServer("s", s)), time.Minute)
			asked, stopped := slices.Index(d.lines, "asked 1m6s"), slices.Index(d.lines, "s stop 1m6s")
			if asked < 0 || stopped < 0 {
				t.Fatalf("it happened as\n%q", d.lines)
			}
			if stopped < asked {
				first++
			}
		})
	}
	if first > runs/2 {
		t.Errorf("Stop came first in %d of %d shutdowns", first, runs)
	}
}

// G6: each Wait has a report of its own, also those that have waited for it.
func TestG6_ReportsOfThoseWhoWaited(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals)
		waited := make(chan report.Report)
		go func() {
			r, _ := c.Wait(context.Background())
			r.Steps[0].Name = "changed"
			waited <- r
		}()
		synctest.Wait()
		runAfter(c, time.Minute)
		<-waited
		if second, _ := c.Wait(context.Background()); second.Steps[0].Name != "start" {
			t.Error("changing the report of one Wait changed that of another")
		}
	})
}

// G8: a step that panics after it was told to be late is in the report with its panic.
func TestG8_LatePanic(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals, controller.WithCloser("slow", func() { time.Sleep(3 * time.Second) }),
			controller.WithCloser("panics", func() { time.Sleep(2 * time.Second); panic("late") }, controller.Timeout(time.Second)))
		r, _ := runAfter(c, time.Minute)
		if got := step(t, r, report.OpClose, "panics"); got.Result != report.ResultPanicked || got.Text != "late" || got.Stack == "" {
			t.Errorf("it is reported as %v: %q, with the stack %q", got, got.Text, got.Stack)
		}
	})
}

// G1: the budget counts from the request, and not from when the loop has heard of it.
func TestG1_TriggeredWhenAsked(t *testing.T) {
	for range 10 {
		c := mustNew(t, budget, noSignals)
		var before, after time.Time
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			<-c.Serving()
			before = time.Now()
			c.Shutdown(nil)
			after = time.Now()
		}()
		r := c.Run(context.Background())
		<-asked
		if r.Triggered.Before(before) || r.Triggered.After(after) {
			t.Errorf("triggered %v after the call began, and %v after it had returned", r.Triggered.Sub(before), r.Triggered.Sub(after))
		}
	}
}
