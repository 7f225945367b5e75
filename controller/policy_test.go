package controller_test

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// asking is a server that notes what probes hear when its GracefulStop is called.
type asking struct {
	ctl     *controller.Controller
	drained bool // GracefulStop was called
	passed  bool // probes passed then
}

func (a *asking) GracefulStop() { a.drained, a.passed = true, a.ctl.ProbesReady() }
func (a *asking) Stop()         {}

// What probes hear, by policy and cause: as Ready, or after a signal until the drain begins.
// They never pass once GracefulStop is called, and never after a trigger that came before
// the process was ready.
func TestProbesReady(t *testing.T) {
	signal := func(_ *controller.Controller, ch chan<- os.Signal) { ch <- syscall.SIGTERM }
	for name, tt := range map[string]struct {
		trigger  func(*controller.Controller, chan<- os.Signal)
		opts     []controller.Option
		starting bool // no server accepts
		inSettle bool
	}{
		"default": {trigger: signal},
		"signal":  {trigger: signal, opts: []controller.Option{controller.WithReadyUntilDrain()}, inSettle: true},
		"own": {trigger: func(c *controller.Controller, _ chan<- os.Signal) {
			c.Shutdown(&report.SignalError{Signal: syscall.SIGTERM})
		}, opts: []controller.Option{controller.WithReadyUntilDrain()}, inSettle: true},
		"shutdown":         {trigger: func(c *controller.Controller, _ chan<- os.Signal) { c.Shutdown(nil) }, opts: []controller.Option{controller.WithReadyUntilDrain()}},
		"failure":          {trigger: func(c *controller.Controller, _ chan<- os.Signal) { c.Fail(errors.New("x")) }, opts: []controller.Option{controller.WithReadyUntilDrain()}},
		"force":            {trigger: func(c *controller.Controller, _ chan<- os.Signal) { c.Force() }, opts: []controller.Option{controller.WithReadyUntilDrain()}},
		"not ready so far": {trigger: signal, opts: []controller.Option{controller.WithReadyUntilDrain()}, starting: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				signals, accepting := make(chan os.Signal, 1), make(chan struct{})
				if !tt.starting {
					close(accepting)
				}
				s := &asking{}
				c := mustNew(t, lastcall.Budget{Total: time.Minute, Settle: 10 * time.Second, Reserve: 10 * time.Second}, append(tt.opts,
					controller.WithSignalChannel(signals), controller.WithServer("s", s, controller.ServedElsewhere(accepting)))...)
				s.ctl = c
				if c.ProbesReady() {
					t.Error("before Run probes pass")
				}
				go c.Run(context.Background())
				synctest.Wait()
				if c.ProbesReady() == tt.starting {
					t.Errorf("before the trigger: %v", c.ProbesReady())
				}
				tt.trigger(c, signals)
				time.Sleep(time.Second)
				if c.Ready() || c.ProbesReady() != tt.inSettle {
					t.Errorf("in phase %v: Ready %v, ProbesReady %v, want false and %v", c.Phase(), c.Ready(), c.ProbesReady(), tt.inSettle)
				}
				<-c.Done()
				if !s.drained || s.passed || c.ProbesReady() {
					t.Errorf("GracefulStop called: %v; probes pass then: %v, at the end: %v", s.drained, s.passed, c.ProbesReady())
				}
			})
		})
	}
}
