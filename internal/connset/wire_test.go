package connset_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
)

func (f *fixture) wire() (peer net.Conn, w *connset.Wire) {
	f.Helper()
	peer, c := f.connect()
	return peer, &connset.Wire{Conn: c.(*connset.Conn)}
}

func read(t *testing.T, w net.Conn, want string) {
	t.Helper()
	b := make([]byte, 100)
	if n, err := w.Read(b); err != nil || string(b[:n]) != want {
		t.Errorf("read %q, %v", b[:n], err)
	}
}

// Claim and a byte that comes exclude each other: the byte is read, or the connection
// claimed; what comes afterwards is dropped.
func TestClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, connset.Options{})
		peer, w := f.wire()
		go func() { _, _ = peer.Write([]byte("request")) }()
		read(t, w, "request")
		if w.Claim(false) {
			t.Error("claimed although a request has come")
		}
		if _, err := w.Write([]byte("answer")); err != nil {
			t.Error(err)
		}
		if !w.Claim(false) || w.Claim(false) || w.Claim(true) || !w.Claimed() {
			t.Error("not claimed once")
		}
		go func() { _, _ = peer.Write([]byte("late")) }()
		if n, err := w.Read(make([]byte, 100)); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("read %d, %v", n, err)
		}
		if _, err := w.Write([]byte("goodbye")); err != nil { // that may be written
			t.Error(err)
		}
		w.Finish()
		if _, err := w.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: %v", err)
		}
		f.Close()
	})
}

// A connection is quiet when something was written, and nothing moves; never while a write
// is under way.
func TestAwaitQuiet(t *testing.T) {
	const d = 50 * time.Millisecond
	for name, tt := range map[string]struct {
		act  func(peer net.Conn, w *connset.Wire)
		want time.Duration // 0: never
	}{
		"nothing is written": {func(net.Conn, *connset.Wire) {}, 0},
		"at once":            {func(_ net.Conn, w *connset.Wire) { _, _ = w.Write([]byte("x")) }, d},
		"something comes": {func(peer net.Conn, w *connset.Wire) {
			_, _ = w.Write([]byte("x"))
			time.Sleep(d - 1)
			_, _ = peer.Write([]byte("x"))
			_, _ = w.Read(make([]byte, 1))
		}, 2*d - 1},
		"something goes": {func(_ net.Conn, w *connset.Wire) {
			_, _ = w.Write([]byte("x"))
			time.Sleep(d - 1)
			_, _ = w.Write([]byte("x"))
		}, 2*d - 1},
		"the peer does not read": {func(_ net.Conn, w *connset.Wire) { _, _ = w.Write(make([]byte, 1<<20)) }, 0},
		"it is taken back": {func(_ net.Conn, w *connset.Wire) {
			_, _ = w.Write([]byte("x"))
			time.Sleep(d - 1)
			w.StopQuiet()
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, connset.Options{})
				peer, w := f.wire()
				began, quiet := time.Now(), make(chan time.Duration, 1)
				w.AwaitQuiet(d, false, func() { quiet <- time.Since(began) })
				w.AwaitQuiet(time.Nanosecond, true, func() { t.Error("the second one counts") })
				go tt.act(peer, w)
				select {
				case got := <-quiet:
					if got != tt.want || !w.Claimed() {
						t.Errorf("quiet after %v, want %v", got, tt.want)
					}
				case <-time.After(time.Minute):
					if tt.want != 0 {
						t.Error("never quiet")
					}
				}
				w.StopQuiet()
				w.Finish()
				f.Close()
			})
		})
	}
}

type (
	halfCloser struct{ net.Conn }
	withTLS    struct{ net.Conn }
)

func (halfCloser) CloseWrite() error                 { return errors.ErrUnsupported }
func (withTLS) ConnectionState() tls.ConnectionState { return tls.ConnectionState{ServerName: "x"} }

// A connection has the optional methods of the one inside, and no others.
func TestWithMethods(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	overTCP, err := new(net.Dialer).DialContext(t.Context(), "tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer overTCP.Close()
	memory, _ := net.Pipe()
	for name, tt := range map[string]struct {
		inner                   net.Conn
		readFrom, half, secured bool
	}{
		"TCP":        {overTCP, true, true, false},
		"CloseWrite": {halfCloser{memory}, false, true, false},
		"TLS":        {withTLS{memory}, false, false, true},
		"nothing":    {memory, false, false, false},
	} {
		w := &connset.Wire{Conn: &connset.Conn{Conn: tt.inner}}
		c := connset.WithMethods(w)
		_, readFrom := c.(io.ReaderFrom)
		_, half := c.(interface{ CloseWrite() error })
		_, secured := c.(interface{ ConnectionState() tls.ConnectionState })
		if readFrom != tt.readFrom || half != tt.half || secured != tt.secured {
			t.Errorf("%s: ReadFrom %v, CloseWrite %v, ConnectionState %v", name, readFrom, half, secured)
		}
		if below, ok := c.(interface{ NetConn() net.Conn }); !ok || below.NetConn() != tt.inner {
			t.Errorf("%s: NetConn", name)
		}
		if connset.WithoutMethods(c) != net.Conn(w) {
			t.Errorf("%s: WithoutMethods", name)
		}
	}
}
