package connset_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/mempipe"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// fixture is a Set on a listener in memory, and those who have dialled it.
type fixture struct {
	*connset.Set
	*testing.T
	lis    *mempipe.Listener
	calls  *foreign.Calls
	closed atomic.Int32 // calls of Options.Closed
}

func newFixture(t *testing.T, opts connset.Options) *fixture {
	f := &fixture{T: t, lis: mempipe.Listen(1 << 10), calls: new(foreign.Calls)}
	opts.Owner, opts.Calls = "test", f.calls
	opts.Closed = func(net.Conn) { f.closed.Add(1) }
	f.Set = connset.New(f.lis, opts)
	return f
}

// connect returns both ends of a new connection.
func (f *fixture) connect() (peer net.Conn, c net.Conn) {
	f.Helper()
	dialled := make(chan net.Conn)
	go func() {
		peer, err := f.lis.Dial()
		if err != nil {
			f.Error(err)
		}
		dialled <- peer
	}()
	c, err := f.Accept()
	if err != nil {
		f.Fatal(err)
	}
	return <-dialled, c
}

func (f *fixture) want(open, handshaking, silent, cut int) {
	f.Helper()
	got := f.Counts()
	got.LastSilent = time.Time{}
	if want := (connset.Counts{Open: open, Handshaking: handshaking, Silent: silent, Cut: cut}); got != want {
		f.Errorf("%+v, want %+v", got, want)
	}
}

func isClosed(c <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// wantEnd checks that a peer sees the end of the stream.
func wantEnd(t *testing.T, peer net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, peer); err != nil {
		t.Errorf("the peer sees %v", err)
	}
}

// The first Accept is a fact, which a server's readiness is.
func TestAccepting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, connset.Options{})
		if isClosed(f.Accepting()) {
			t.Error("before Accept")
		}
		go func() { _, _ = f.Accept() }()
		if !isClosed(f.Accepting()) {
			t.Error("not in Accept")
		}
		f.Close()
	})
}

// A Set is drained when it is closed and no connection is open, and finished when every
// Close has returned.
func TestDrainedAndFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		f := newFixture(t, connset.Options{Wrap: func(c *connset.Conn) net.Conn {
			c.Conn = &faults.Conn{Conn: c.Conn, Faults: faults.In{faults.Close: faults.Hang(block)}}
			return c
		}})
		_, c := f.connect()
		f.want(1, 1, 0, 0)
		c.(*connset.Conn).HandshakeOver()
		f.want(1, 0, 0, 0)
		f.Close()
		if isClosed(f.Drained()) {
			t.Error("drained with an open connection")
		}
		for range 2 {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		if !isClosed(f.Drained()) || isClosed(f.Finished()) || f.Len() != 1 {
			t.Error("not drained, or finished while Close hangs")
		}
		if left := f.calls.Left(); len(left) != 1 || left[0].Name != "net.Conn.Close" {
			t.Errorf("left %+v", left)
		}
		close(block)
		if !isClosed(f.Finished()) || f.closed.Load() != 1 || f.Len() != 0 {
			t.Errorf("not finished, or Closed was called %d times", f.closed.Load())
		}
		if _, err := f.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
	})
}

// A connection in its handshake when the Set is closed has as much time as was set, less
// if that was shortened; one that is over it stays.
func TestHandshakeTime(t *testing.T) {
	for limit, want := range map[time.Duration]time.Duration{0: time.Second, 300 * time.Millisecond: 300 * time.Millisecond, time.Hour: time.Second, -1: 0} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, connset.Options{HandshakeTime: time.Second})
			silent, _ := f.connect()
			in, c := f.connect()
			time.Sleep(time.Minute) // before Close there is no limit
			if limit != 0 {
				f.LimitHandshakes(limit)
			}
			over := func() {
				if !c.(*connset.Conn).HandshakeOver() {
					t.Error("too late")
				}
			}
			if want == 0 { // after Close there is no time left
				over()
			}
			f.Close()
			began := time.Now()
			if want > 0 {
				over()
			}
			wantEnd(t, silent)
			if took := time.Since(began); took != want {
				t.Errorf("limit %v: cut after %v, want %v", limit, took, want)
			}
			f.want(1, 0, 1, 0)
			if f.Counts().LastSilent != time.Now() {
				t.Error("LastSilent")
			}
			_ = in.Close()
			_ = c.Close()
		})
	}
}

// The handshake of a connection that was cut is over too late, and one that has begun
// again has the time, too.
func TestHandshakeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, connset.Options{HandshakeTime: time.Second})
		peer, nc := f.connect()
		c := nc.(*connset.Conn)
		c.HandshakeOver()
		f.Close()
		time.Sleep(time.Minute)
		c.HandshakeAgain()
		f.want(1, 1, 0, 0)
		began := time.Now()
		wantEnd(t, peer)
		if took := time.Since(began); took != time.Second {
			t.Errorf("cut after %v", took)
		}
		if c.HandshakeOver() {
			t.Error("it is not too late")
		}
		c.HandshakeAgain()
		f.want(0, 0, 1, 0)
	})
}

// CutHandshakes spares those that are young, or have said something.
func TestCutHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, connset.Options{HandshakeTime: time.Hour})
		old, _ := f.connect()
		heard, c := f.connect()
		go func() { _, _ = heard.Write([]byte("x")) }()
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		young, _ := f.connect()
		f.Close()
		f.CutHandshakes(time.Second)
		wantEnd(t, old)
		f.want(2, 2, 1, 0)
		f.RefuseHandshakes()
		wantEnd(t, heard)
		wantEnd(t, young)
		f.want(0, 0, 3, 0)
	})
}

// Cut closes what is left, side by side, and blocks until it is closed.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, connset.Options{Wrap: func(c *connset.Conn) net.Conn {
			c.Conn = &faults.Conn{Conn: c.Conn, Faults: faults.In{faults.Close: faults.Slow(100 * time.Millisecond)}}
			return c
		}})
		for range 20 {
			f.connect()
		}
		began := time.Now()
		if n := f.Cut(); n != 20 {
			t.Errorf("cut %d", n)
		}
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("took %v", took)
		}
		f.want(0, 0, 0, 20)
		f.Close()
	})
}

// A connection that comes after Close, or after RefuseHandshakes, is closed.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, connset.Options{})
		f.RefuseHandshakes()
		go func() { _, _ = f.Accept() }()
		peer, err := f.lis.Dial()
		if err != nil {
			t.Fatal(err)
		}
		wantEnd(t, peer)
		f.Close()
		synctest.Wait()
	})
}

// A connection that hangs in SyscallConn is closed all the same.
func TestSocketHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		f := newFixture(t, connset.Options{Wrap: func(c *connset.Conn) net.Conn {
			c.Conn = faults.OverSocket(c.Conn, faults.In{faults.Socket: faults.Hang(block)})
			return c
		}})
		peer, _ := f.connect()
		f.Close()
		f.Cut()
		wantEnd(t, peer)
		if left := f.calls.Left(); len(left) != 1 || left[0].Name != "net.Conn.SyscallConn" {
			t.Errorf("left %+v", left)
		}
		close(block)
	})
}

// Close is called whatever the other methods of a connection do.
func TestFinish(t *testing.T) {
	for name, below := range map[string]func() net.Conn{
		"panics": func() net.Conn { panic("no") },
		"exits":  func() net.Conn { runtime.Goexit(); return nil },
		"hangs":  func() net.Conn { select {} },
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			set := connset.New(nil, connset.Options{Owner: "test", Calls: new(foreign.Calls)})
			go set.Admit(wrapper{near, below}).(*connset.Conn).Finish()
			if err := far.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			wantEnd(t, far)
		})
	}
}

// wrapper is around another connection.
type wrapper struct {
	net.Conn
	below func() net.Conn
}

func (w wrapper) NetConn() net.Conn { return w.below() }
