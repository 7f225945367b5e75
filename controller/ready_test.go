package controller_test

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// listenServer serves connections that it closes at once, as a *grpc.Server is served.
type listenServer struct {
	bare
	before func() // what Serve does before it accepts
}

func (s *listenServer) Serve(lis net.Listener) error {
	s.before()
	for {
		conn, err := lis.Accept()
		if err != nil {
			return err
		}
		_ = conn.Close()
	}
}

// noListener stands for a listener where nothing ever comes.
type noListener struct{ net.Listener }

// neverAccepting is a server that starts and never accepts anything.
func neverAccepting(d *diary, name string) *server {
	s := newServer(d, name, 0)
	s.accepting = make(chan struct{})
	return s
}

// open reports whether a channel is open.
func open(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return false
	default:
		return true
	}
}

// G12: with one server that never accepts the process is never ready, whatever the
// others do, however the server is served, and however often it is tried.
func TestG12_NeverReady(t *testing.T) {
	for name, dead := range map[string]func(d *diary) controller.Option{
		"Accepting": func(d *diary) controller.Option { return withServer("dead", &full{server: neverAccepting(d, "dead")}) },
		"Serving":   func(d *diary) controller.Option { return withServer("dead", neverAccepting(d, "dead")) },
		"Serving is full": func(d *diary) controller.Option {
			return withServer("dead", &full{server: newServer(d, "dead", 0)}, controller.Serving(func() error { time.Sleep(time.Hour); return nil }, make(chan struct{})))
		},
		"ServedElsewhere": func(d *diary) controller.Option {
			return controller.WithServer("dead", bare{newServer(d, "dead", 0)}, controller.ServedElsewhere(make(chan struct{})))
		},
		"On": func(d *diary) controller.Option {
			return controller.WithServer("dead", &listenServer{bare{newServer(d, "dead", 0)}, func() { time.Sleep(time.Hour) }}, controller.On(noListener{}))
		},
		"stops last": func(d *diary) controller.Option { return withLast("dead", neverAccepting(d, "dead")) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 50 {
				bubble(t, func(t *testing.T, d *diary, _ func()) {
					c := mustNew(t, budget, noSignals, withServer("first", newServer(d, "first", 0)), dead(d), withLast("last", newServer(d, "last", 0)))
					var ready, served atomic.Bool
					look := func() {
						if c.Ready() {
							ready.Store(true)
						}
						if !open(c.Serving()) {
							served.Store(true)
						}
					}
					for _, at := range []time.Duration{0, 1, time.Second, time.Minute - 1, time.Minute, time.Minute + 1, time.Minute + time.Second} {
						time.AfterFunc(at, look)
					}
					r, _ := runAfter(c, time.Minute)
					look()
					if ready.Load() || served.Load() || hasPhase(r, lastcall.PhaseServe) || r.Settle != report.SettleNotReady {
						t.Errorf("ready %v, Serving closed %v, settle %q\n%v", ready.Load(), served.Load(), r.Settle, r)
					}
				})
			}
		})
	}
}

// G12, G4: the process is ready in the instant in which the last server accepts, and
// no longer when the trigger has come.
func TestG12_ReadyWhenEverythingAccepts(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		accepts := func(name string, after time.Duration) *server {
			s := neverAccepting(d, name)
			time.AfterFunc(after, func() { close(s.accepting) })
			return s
		}
		elsewhere := make(chan struct{})
		time.AfterFunc(2*time.Second, func() { close(elsewhere) })
		c := mustNew(t, budget, noSignals, withServer("a", accepts("a", time.Second)), withServer("b", &full{server: accepts("b", 3*time.Second)}),
			controller.WithServer("c", bare{newServer(d, "c", 0)}, controller.ServedElsewhere(elsewhere)), withLast("admin", accepts("admin", 2*time.Second)))
		for at, want := range map[time.Duration]bool{3*time.Second - 1: false, 3*time.Second + 1: true, time.Minute - 1: true, time.Minute + 1: false} {
			time.AfterFunc(at, func() {
				if c.Ready() != want || (c.Phase() == lastcall.PhaseServe) != want {
					t.Errorf("after %v: ready %v, phase %v", at, c.Ready(), c.Phase())
				}
			})
		}
		go func() {
			<-c.Serving()
			d.note("serving")
			if !c.Ready() {
				t.Error("not ready when Serving was closed")
			}
		}()
		runAfter(c, time.Minute)
		if d.lines[0] != "serving 3s" {
			t.Errorf("it happened as %q", d.lines)
		}
		if open(c.Serving()) || c.Ready() {
			t.Errorf("after Run: Serving open %v, ready %v", open(c.Serving()), c.Ready())
		}
	})
}

// G12: a server that begins to accept when the trigger has come makes nothing ready. A
// trigger in phase start ends the wait in the same instant, and leaves no goroutine.
func TestG12_TriggerWhileStarting(t *testing.T) {
	for name, ask := range map[string]func(c *controller.Controller, signals chan<- os.Signal){
		"Shutdown": func(c *controller.Controller, _ chan<- os.Signal) { c.Shutdown(errAsked) },
		"Fail":     func(c *controller.Controller, _ chan<- os.Signal) { c.Fail(errAsked) },
		"Force":    func(c *controller.Controller, _ chan<- os.Signal) { c.Force() },
		"signal":   func(_ *controller.Controller, signals chan<- os.Signal) { signals <- syscall.SIGTERM },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				s := neverAccepting(d, "s")
				s.drain = time.Second
				signals := make(chan os.Signal)
				c := mustNew(t, budget, controller.WithSignalChannel(signals), withServer("s", s))
				time.AfterFunc(time.Minute, func() { ask(c, signals) })
				time.AfterFunc(time.Minute+500*time.Millisecond, func() { close(s.accepting) })
				r := c.Run(context.Background())
				if got := r.Triggered.Sub(d.start); got != time.Minute || c.Ready() || !open(c.Serving()) || hasPhase(r, lastcall.PhaseServe) || hasPhase(r, lastcall.PhaseSettle) {
					t.Errorf("triggered after %v, Serving open %v\n%v", got, open(c.Serving()), r)
				}
				if d.lines[0] != "s graceful 1m0s" {
					t.Errorf("it happened as %q", d.lines)
				}
				synctest.Wait()
				if n := alive(); n > 0 {
					t.Errorf("G10: %d goroutines are alive", n)
				}
			})
		})
	}
}

// A server that fails before it accepts is a failure like any other, in real time and
// on a real listener: one whose address is taken never gets as far as Accept.
func TestG12_On(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(newDiary(), "s", 0)
	s.graceful = func() { _ = lis.Close() }
	hold := make(chan struct{})
	c := mustNew(t, lastcall.Budget{Total: time.Minute, Reserve: time.Second}, noSignals,
		controller.WithServer("s", &listenServer{bare{s}, func() { <-hold }}, controller.On(lis)))
	reports := make(chan report.Report, 1)
	go func() { reports <- c.Run(context.Background()) }()
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", lis.Addr().String()); err != nil { // the kernel takes it, the server does not
		t.Fatal(err)
	} else {
		defer conn.Close()
	}
	if c.Ready() || !open(c.Serving()) {
		t.Error("ready before Accept")
	}
	close(hold)
	<-c.Serving()
	if !c.Ready() {
		t.Error("not ready after Accept")
	}
	c.Shutdown(errAsked)
	wantExit(t, <-reports, report.ExitOK)

	failed := mustNew(t, budget, noSignals, withServer("s", &full{server: &server{d: newDiary(), accepting: make(chan struct{}), down: make(chan struct{}), serve: func() error { return errPort }}}))
	r := failed.Run(context.Background())
	wantExit(t, r, report.ExitFailed)
	if !errors.Is(r.Cause, errPort) || !open(failed.Serving()) {
		t.Errorf("cause %v, Serving open %v", r.Cause, open(failed.Serving()))
	}
}

// The channel is the same one before, in and after Run.
func TestServingIsOneChannel(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals)
		first := c.Serving()
		time.AfterFunc(time.Second, func() {
			if c.Serving() != first || open(first) {
				t.Error("another channel, or not closed, while it serves")
			}
		})
		runAfter(c, time.Minute)
		if c.Serving() != first {
			t.Error("another channel after Run")
		}
	})
}

// G12: a trigger that comes in the moment in which the last server accepts is either
// before readiness, and then Serving stays open for good, or after it.
func TestG12_TriggerOrReady(t *testing.T) {
	never := 0
	for i := range 1000 {
		s := neverAccepting(newDiary(), "s")
		c := mustNew(t, lastcall.Budget{Total: time.Minute, Reserve: time.Second}, noSignals, withServer("s", s))
		served := make(chan bool, 1)
		go func() {
			close(s.accepting)
			for until := time.Now().Add(time.Duration(i%200) * time.Microsecond); time.Now().Before(until); {
				runtime.Gosched()
			}
			c.Shutdown(errAsked)
			served <- !open(c.Serving())
		}()
		r := c.Run(context.Background())
		was, is := <-served, !open(c.Serving())
		if was != is || is != hasPhase(r, lastcall.PhaseServe) {
			t.Fatalf("Serving was closed when Shutdown had returned: %v; after Run: %v\n%v", was, is, r)
		}
		if !is {
			never++
		}
	}
	t.Logf("never ready in %d of 1000 runs", never)
}
