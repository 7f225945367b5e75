package drain_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// idleConn is a connection on which nothing happens.
type idleConn struct{ net.Conn }

func (idleConn) Close() error                     { return nil }
func (idleConn) SetReadDeadline(time.Time) error  { return nil }
func (idleConn) SetWriteDeadline(time.Time) error { return nil }
func (idleConn) RemoteAddr() net.Addr             { return nil }

// A listener whose Accept ignores Close, or whose Close hangs, holds nobody up, and is
// in the report. What it accepts later is closed.
func TestListenersThatHang(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		let := make(chan struct{})
		closed := false
		later(func() {
			close(let)
			synctest.Wait()
			if !closed {
				t.Error("a connection that nobody has seen stays open")
			}
		})
		g := drain.New()
		lis := g.Listen(&faults.Listener{
			Faults: faults.In{faults.Accept: faults.Hang(let), faults.Close: faults.Hang(let)},
			OnAccept: func() (net.Conn, error) {
				return &faults.Conn{Conn: idleConn{}, Faults: faults.In{faults.Close: func() { closed = true }}}, nil
			},
			OnClose: func() error { return nil },
		})
		serve := func() error {
			for {
				if _, err := lis.Accept(); err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("Accept returned %v", err)
					}
					return nil
				}
			}
		}
		r := beginWith(t, usual, controller.WithServer("g", g, controller.Serving(serve, nil)))
		synctest.Wait() // it is in Accept
		got := r.shutdown(t)
		wantOutcome(t, got, report.OutcomeDrained, report.ExitOK)
		wantWork(t, got.Work,
			lastcall.Work{Name: "net.Listener.Accept", Kind: lastcall.WorkCall, Running: 1},
			lastcall.Work{Name: "net.Listener.Close", Kind: lastcall.WorkCall, Running: 1})
		if r.took != grace {
			t.Errorf("Run returned after %v, want %v", r.took, grace)
		}
		if _, err := g.Listen(&faults.Listener{OnClose: func() error { return nil }}).Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a listener that comes after the drain: Accept returned %v", err)
		}
	})
}

// What Accept of a listener does is an error of Accept.
func TestListenersThatFail(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		later(g.GracefulStop)
		for want, accept := range map[string]func() (net.Conn, error){
			"asked for":            func() (net.Conn, error) { return nil, errAsked },
			"panicked: boom":       func() (net.Conn, error) { panic("boom") },
			"ended its goroutine":  func() (net.Conn, error) { runtime.Goexit(); return nil, nil },
			"neither a connection": func() (net.Conn, error) { return nil, nil },
		} {
			l := g.Listen(&faults.Listener{OnAccept: accept, OnClose: func() error { return nil }})
			if c, err := l.Accept(); c != nil || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Accept returned %v, %v; want %s", c, err, want)
			}
		}
		if _, err := drain.New().Listen(nil).Accept(); err == nil || !strings.Contains(err.Error(), "nil listener") {
			t.Errorf("Accept of no listener returned %v", err)
		}
	})
}

// Listeners of package net are closed by GracefulStop, each, and by Close.
func TestListenersOfPackageNet(t *testing.T) {
	listen := func() net.Listener {
		lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return lis
	}
	g := drain.New()
	a, b, c := g.Listen(listen()), g.Listen(listen()), g.Listen(listen())
	came := make(chan error)
	for _, l := range []net.Listener{a, b, c} {
		go func() {
			_, err := l.Accept()
			came <- err
		}()
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := <-came; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close Accept returned %v", err)
	}
	g.GracefulStop()
	for range 2 {
		if err := <-came; !errors.Is(err, net.ErrClosed) {
			t.Errorf("after GracefulStop Accept returned %v", err)
		}
	}
	if _, err := new(net.Dialer).DialContext(context.Background(), "tcp", b.Addr().String()); err == nil {
		t.Error("somebody listens still")
	}
}

// A listener that its owner has closed accepts nothing, so the group is not ready.
func TestClosedListenerIsNotReady(t *testing.T) {
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	inner.Close()
	g := drain.New()
	lis := g.Listen(inner)
	ctl, err := controller.New(usual, controller.WithServer("g", g), controller.WithSignals())
	if err != nil {
		t.Fatal(err)
	}
	g.Attach(ctl)
	if _, err := lis.Accept(); err == nil {
		t.Error("Accept has returned a connection")
	}
	select {
	case <-g.Accepting():
		t.Error("the group is ready")
	default:
	}
}
