package controller_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// counted is a server that answers what the test says.
type counted struct {
	lastcall.Unimplemented
	answer func() []lastcall.Work
	over   chan struct{}
}

func (c *counted) Serve() error              { <-c.over; return nil }
func (c *counted) GracefulStop()             { close(c.over) }
func (*counted) Stop()                       {}
func (c *counted) InFlight() []lastcall.Work { return c.answer() }
func (c *counted) Accepting() <-chan struct{} {
	accepts := make(chan struct{})
	close(accepts)
	return accepts
}

// monitor is a controller.Monitor.
type monitor struct {
	got  *controller.Controller
	err  error
	told []report.Kind
}

func (m *monitor) Attach(c *controller.Controller) error { m.got = c; return m.err }
func (m *monitor) Observe(s report.Step)                 { m.told = append(m.told, s.Kind) }

// A monitor is given the controller and every Step.
func TestMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &monitor{}
		c := mustNew(t, budget, noSignals, controller.WithMonitor("m", m))
		if m.got != c {
			t.Error("Attach was not called")
		}
		c.Shutdown(nil)
		c.Run(context.Background())
		if !slices.Contains(m.told, report.KindTrigger) || !slices.Contains(m.told, report.KindSummary) {
			t.Errorf("told %v", m.told)
		}
	})
	refuses := &monitor{err: errors.New("not me")}
	var missing *monitor
	for want, opts := range map[string][]controller.Option{
		"not me":                          {controller.WithMonitor("m", refuses)},
		`monitor "m" is nil`:              {controller.WithMonitor("m", missing)},
		`monitor "n" is nil`:              {controller.WithMonitor("n", nil)},
		`two observers with the name "m"`: {controller.WithMonitor("m", &monitor{}), controller.WithObserver("m", func(report.Step) {})},
		"a observer has no name":          {controller.WithMonitor("", &monitor{})},
	} {
		if _, err := controller.New(budget, opts...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// InFlight asks all servers at once, waits 10 ms at most, and holds one goroutine for a
// server that hangs, however often it is called.
func TestInFlightIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, hangs := 0, make(chan struct{})
		first := true
		c := mustNew(t, budget, noSignals,
			controller.WithServer("well", &counted{over: make(chan struct{}), answer: func() []lastcall.Work {
				time.Sleep(9 * time.Millisecond)
				return []lastcall.Work{{Server: "?", Name: "a", Running: 1}}
			}}),
			controller.WithServer("panics", &counted{over: make(chan struct{}), answer: func() []lastcall.Work { panic("boom") }}),
			controller.WithServer("hangs", &counted{over: make(chan struct{}), answer: func() []lastcall.Work {
				if asked++; !first {
					<-hangs
				}
				return []lastcall.Work{{Name: "b", Served: asked}}
			}}))
		want := []lastcall.Work{{Server: "well", Name: "a", Running: 1}, {Server: "hangs", Name: "b", Served: 1}}
		check := func(took time.Duration) {
			t.Helper()
			start := time.Now()
			if got := c.InFlight(); !slices.Equal(got, want) || time.Since(start) != took {
				t.Errorf("after %v: %+v", time.Since(start), got)
			}
		}
		check(9 * time.Millisecond)
		synctest.Wait()
		first = false
		for range 3 {
			check(10 * time.Millisecond)
		}
		synctest.Wait()
		if asked != 2 {
			t.Errorf("asked %d times, want once before it hung and once since", asked)
		}
		close(hangs)
		synctest.Wait()
		want[1].Served = 3
		check(9 * time.Millisecond)
	})
}
