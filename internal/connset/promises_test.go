package connset_test

import (
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// A connection that does not come from the listener is not wanted after Close either.
func TestAdmitAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, connset.Options{})
		f.Close()
		near, far := net.Pipe()
		if c := f.Admit(near); c != nil {
			t.Errorf("it was admitted as %v", c)
		}
		wantEnd(t, far)
		f.want(0, 0, 0, 0)
	})
}

// A handshake that begins again has no limit before Close, and its whole time after it, however
// much of that another one has used.
func TestHandshakeAgainHasItsTime(t *testing.T) {
	for name, closed := range map[string]bool{"before Close": false, "after Close": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, connset.Options{HandshakeTime: time.Second})
				peer, nc := f.connect()
				c := nc.(*connset.Conn)
				if closed {
					f.Close()
					time.Sleep(600 * time.Millisecond)
				}
				if !c.HandshakeOver() {
					t.Fatal("too late")
				}
				c.HandshakeAgain()
				if !closed {
					time.Sleep(time.Minute)
					f.want(1, 1, 0, 0)
					f.Close()
				}
				began := time.Now()
				wantEnd(t, peer)
				if took := time.Since(began); took != time.Second {
					t.Errorf("cut after %v, want 1s", took)
				}
			})
		})
	}
}

// A Set that is empty for a moment is not drained: more may come until Close.
func TestEmptyIsNotDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, connset.Options{})
		_, c := f.connect()
		_ = c.Close()
		if isClosed(f.Drained()) || isClosed(f.Finished()) {
			t.Error("drained before Close")
		}
		f.Close()
		if !isClosed(f.Drained()) || !isClosed(f.Finished()) {
			t.Error("not drained")
		}
	})
}

// Await waits for what is being closed alone.
func TestAwaitLeavesOpenOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, connset.Options{})
		_, c := f.connect()
		done := make(chan struct{})
		go func() { f.Await(); close(done) }()
		if !isClosed(done) {
			t.Error("Await waits for an open connection")
		}
		_ = c.Close()
		f.Close()
	})
}

// Options.Closed may ask the Set.
func TestClosedAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var set *connset.Set
		left := make(chan int, 1)
		set = connset.New(nil, connset.Options{Owner: "test", Calls: new(foreign.Calls), Closed: func(net.Conn) { left <- set.Len() }})
		near, _ := net.Pipe()
		_ = set.Admit(near).Close()
		time.Sleep(time.Second)
		select {
		case n := <-left:
			if n != 0 {
				t.Errorf("%d left", n)
			}
		default:
			t.Error("it has no answer")
		}
	})
}

// layers is a connection around another one whose first Close waits for the peer.
type layers struct {
	net.Conn
	below net.Conn // nil: itself
	first faults.Fault
}

func (l *layers) Close() error { l.first.Do(); return l.Conn.Close() }
func (l *layers) NetConn() net.Conn {
	if l.below == nil {
		return l
	}
	return l.below
}

// Cut ends a Close that waits for the peer, by closing what is below; that search ends, even if
// a connection is made of itself.
func TestCutReachesBelow(t *testing.T) {
	for name, self := range map[string]bool{"another one": false, "itself": true} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			block := make(chan struct{})
			defer close(block)
			calls := new(foreign.Calls)
			set := connset.New(nil, connset.Options{Owner: "test", Calls: calls})
			l := &layers{near, near, faults.Once(faults.Hang(block))}
			if self {
				l.below = nil
			}
			c := set.Admit(l).(*connset.Conn)
			_ = c.Close()
			time.Sleep(20 * time.Millisecond) // it is in Close
			if c.Cut() {
				t.Error("it was open")
			}
			if err := far.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			wantEnd(t, far)
			if !c.Reached() || c.WasCut() {
				t.Errorf("reached %v, cut %v", c.Reached(), c.WasCut())
			}
		})
	}
}

// stubborn is a listener whose Accept ignores Close.
type stubborn struct {
	net.Listener
	came chan net.Conn
}

func (s stubborn) Accept() (net.Conn, error) {
	if c := <-s.came; c != nil {
		return c, nil
	}
	return nil, errors.New("no more")
}
func (stubborn) Close() error   { return nil }
func (stubborn) Addr() net.Addr { return nil }

// A connection that such a listener returns after Close is closed, and no call is left, even if
// Accept was called once more.
func TestAcceptAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, came := new(foreign.Calls), make(chan net.Conn)
		lis := connset.NewListener(stubborn{came: came}, "test", calls, connset.Hooks{})
		first := make(chan error, 1)
		go func() { _, err := lis.Accept(); first <- err }()
		synctest.Wait()
		_ = lis.Close()
		if err := <-first; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		if _, err := lis.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v", err)
		}
		near, far := net.Pipe()
		came <- near
		wantEnd(t, far)
		time.Sleep(time.Second)
		if left := calls.Left(); len(left) > 0 {
			t.Errorf("left %+v", left)
		}
	})
}

// A hook that panics does not cost the connection.
func TestAcceptedPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, connset.Options{Accepted: func(net.Conn) { panic("no") }})
		_, c := f.connect()
		_ = c.Close()
		f.Close()
	})
}

// A server that calls Accept of a listener which its owner has closed accepts nothing.
func TestAcceptOfClosed(t *testing.T) {
	lis := listenOn(t, "tcp")
	set := connset.New(lis, connset.Options{Owner: "test", Calls: new(foreign.Calls)})
	if set.Failed() {
		t.Error("Accept has failed before it was called")
	}
	_ = lis.Close()
	if _, err := set.Accept(); err == nil {
		t.Error("Accept returns no error")
	}
	select {
	case <-set.Accepting():
		t.Error("it accepts")
	default:
	}
	if !set.Failed() {
		t.Error("Accept has not failed")
	}
	if _ = set.Close(); set.Closed() {
		if _, err := set.Accept(); !errors.Is(err, net.ErrClosed) || set.Failed() {
			t.Errorf("after Close Accept has failed with %v", err)
		}
	}
}

// The drain waits for what was counted, for 100 ms; if the server may never take connections,
// from when the last one came.
func TestWaiting(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(w *connset.Waiting)
		lately bool
		want   time.Duration
	}{
		"none":                    {func(*connset.Waiting) {}, false, 0},
		"one":                     {(*connset.Waiting).Add, false, 100 * time.Millisecond},
		"one that was taken":      {func(w *connset.Waiting) { w.Add(); w.Take() }, false, 0},
		"one that was not given":  {func(w *connset.Waiting) { w.Take(); w.Add() }, false, 100 * time.Millisecond},
		"one of a while ago":      {func(w *connset.Waiting) { w.Add(); time.Sleep(60 * time.Millisecond) }, false, 100 * time.Millisecond},
		"lately":                  {func(w *connset.Waiting) { w.Add(); time.Sleep(60 * time.Millisecond) }, true, 40 * time.Millisecond},
		"longer ago":              {func(w *connset.Waiting) { w.Add(); time.Sleep(time.Second) }, true, 0},
		"one that is taken while": {func(w *connset.Waiting) { w.Add(); time.AfterFunc(7*time.Millisecond, w.Take) }, false, 7 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w connset.Waiting
				tt.before(&w)
				began := time.Now()
				if w.Await(tt.lately); time.Since(began) != tt.want {
					t.Errorf("waited for %v, want %v", time.Since(began), tt.want)
				}
			})
		})
	}
}

// A connection is broken if a write has failed, and not if it was closed meanwhile.
func TestBroken(t *testing.T) {
	for name, tt := range map[string]struct {
		end    func(peer net.Conn, w *connset.Wire)
		broken bool
	}{
		"the peer goes": {func(peer net.Conn, _ *connset.Wire) { _ = peer.Close() }, true},
		"it is closed":  {func(_ net.Conn, w *connset.Wire) { w.Finish() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, connset.Options{})
				peer, w := f.wire()
				time.AfterFunc(time.Second, func() { tt.end(peer, w) })
				if _, err := w.Write(make([]byte, 1<<20)); err == nil || w.Broken() != tt.broken {
					t.Errorf("broken %v, want %v: %v", w.Broken(), tt.broken, err)
				}
				w.Finish()
				f.Close()
			})
		})
	}
}

// Names names ten connections, and counts the rest.
func TestNames(t *testing.T) {
	memory, _ := net.Pipe()
	for n, want := range map[int]string{0: "", 10: "pipe -> pipe", 11: "1 more", 30: "20 more"} {
		names := connset.Names(slices.Repeat([]net.Conn{memory}, n))
		if len(names) != min(n, 11) || n > 0 && names[len(names)-1] != want {
			t.Errorf("%d connections: %q", n, names)
		}
	}
}

// Linger reads on from a peer that is silent, after the connection counts as closed, unless
// that ends in full; only the first call counts.
func TestLinger(t *testing.T) {
	for name, inFull := range map[string]bool{"in the background": false, "in full": true} {
		t.Run(name, func(t *testing.T) {
			lis := listenOn(t, "tcp")
			set := connset.New(lis, connset.Options{Owner: "test", Calls: new(foreign.Calls), InFull: inFull})
			peer, err := faults.Dial(t.Context(), lis)
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			nc, err := set.Accept()
			if err != nil {
				t.Fatal(err)
			}
			c := nc.(*connset.Conn)
			tcp := c.NetConn().(*net.TCPConn)
			c.Linger(tcp, 200*time.Millisecond, time.Minute)
			c.Linger(tcp, time.Nanosecond, time.Nanosecond)
			wantEnd(t, peer) // of what we send
			time.Sleep(50 * time.Millisecond)
			if foreign.IsClosed(c.Done()) {
				t.Error("closed by the second call")
			}
			within(t, "Linger", c.Done())
			var reset error
			for began := time.Now(); reset == nil && time.Since(began) < 300*time.Millisecond; time.Sleep(10 * time.Millisecond) {
				_, reset = io.WriteString(peer, "x")
			}
			if (reset != nil) != inFull {
				t.Errorf("the peer that goes on sees %v", reset)
			}
			_ = set.Close()
		})
	}
}

// A peer that never stops sending is read for 5 s, and then not any more: so long a process
// that lives on keeps such a connection (G10).
func TestLingerEnds(t *testing.T) {
	t.Parallel()
	lis := listenOn(t, "tcp")
	set := connset.New(lis, connset.Options{Owner: "test", Calls: new(foreign.Calls)})
	peer, err := faults.Dial(t.Context(), lis)
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	c, err := set.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.(*connset.Conn).Linger(c.(*connset.Conn).NetConn().(*net.TCPConn), time.Second, time.Millisecond)
	began := time.Now()
	for err == nil && time.Since(began) < 4*connset.MaxLinger {
		_, err = io.WriteString(peer, "x")
		time.Sleep(20 * time.Millisecond)
	}
	if took := time.Since(began); err == nil || took < connset.MaxLinger {
		t.Errorf("it was read for %v: %v", took, err)
	}
	_ = set.Close()
}
