package controller_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// G9: a request is told in its instant, also if nothing else happens for long; and where the
// shutdown is then: the timer is never in less than nothing.
func TestG9_RequestIsToldAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		told := &listeningTo{}
		c := mustNew(t, long, noSignals, controller.WithProgress(0), controller.WithoutStderr(), controller.WithObserver("o", told.observe),
			withServer("s", newServer(d, "s", time.Hour)), controller.WithCloser("c", func() { time.Sleep(2 * time.Second) }))
		for _, after := range []time.Duration{5 * time.Second, 31 * time.Second} { // in the drain, and behind the timer
			time.AfterFunc(time.Minute+after, func() { c.Shorten(time.Now().Add(9*time.Second-after/10), "as tested") })
		}
		r, _ := runAfter(c, time.Minute)
		var at []time.Duration
		for i, s := range told.steps {
			if s.Now.Timer < 0 {
				t.Errorf("%v: the timer is in %v", s, s.Now.Timer)
			}
			if s.Kind == report.KindRequest {
				if at = append(at, told.at[i].Sub(r.Triggered)); told.at[i] != s.Start {
					t.Errorf("%v was told at %v", s, told.at[i].Sub(r.Triggered))
				}
			}
		}
		if len(at) == 0 || at[0] != 5*time.Second {
			t.Errorf("requests were told at %v\n%v", at, r)
		}
	})
}

// odd is a signal of the user's, which hangs when it is asked for its name.
type odd struct{ hang func() }

func (o odd) String() string { o.hang(); return "odd" }
func (odd) Signal()          {}

// oddError is an error of the user's that does the same.
type oddError struct{ hang func() }

func (e oddError) Error() string { e.hang(); return "odd" }

// G1: what hangs in one of the library's own causes does not hang the loop.
func TestG1_OwnCausesWithForeignParts(t *testing.T) {
	for name, cause := range map[string]func(hang func()) error{
		"a signal":       func(hang func()) error { return &report.SignalError{Signal: odd{hang}} },
		"a context's":    func(hang func()) error { return &report.ContextError{Err: oddError{hang}} },
		"one of ours":    func(func()) error { return &report.SignalError{Signal: syscall.SIGTERM} },
		"a nil of these": func(func()) error { return (*report.SignalError)(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, _ *diary, hang func()) {
				c := mustNew(t, lastcall.Budget{Total: 20 * time.Second, Reserve: 5 * time.Second}, noSignals, controller.WithoutStderr())
				time.AfterFunc(time.Minute, func() { c.Shutdown(cause(hang)) })
				done := make(chan report.Report, 1)
				go func() { done <- c.Run(t.Context()) }()
				select {
				case <-done:
				case <-time.After(time.Minute + 20*time.Second + 1):
					t.Error("Run has not returned by its deadline")
				}
			})
		})
	}
}
