package httpadapter

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// speaks returns a connection that has said something.
func speaks(t *testing.T, pieces ...string) *conn {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	go func() {
		for buf := make([]byte, 100); ; {
			if _, err := b.Read(buf); err != nil {
				return
			}
		}
	}()
	c := newConn(New(a2l{}, &http.Server{}), a)
	for _, p := range pieces {
		if !c.hear([]byte(p)) {
			t.Fatal("it is closed")
		}
	}
	return c
}

type a2l struct{ net.Listener }

// The preface of HTTP/2 may come in any pieces.
func TestPreface(t *testing.T) {
	for _, tt := range []struct {
		pieces []string
		want   bool
	}{
		{[]string{"PRI * HTTP/2.0\r\n"}, true},
		{[]string{"P", "RI * H", "TTP/2"}, true},
		{[]string{"PRI * HTTP/", "2.0\r\n\r\nSM"}, true},
		{[]string{"PRI * HTTP/"}, false},
		{[]string{"PRI * HTTP/1.1"}, false},
		{[]string{"POST / HTTP/1.1"}, false},
		{[]string{"GET ", "PRI * HTTP/2.0"}, false},
	} {
		if got := speaks(t, tt.pieces...).http2.Load(); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.pieces, got, tt.want)
		}
	}
}

// An idle connection of HTTP/2 ends when it has been quiet since its GOAWAY, however
// long that takes to come.
func TestQuietAfterGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := speaks(t, preface)
		ended := func() bool {
			synctest.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.fin
		}
		c.enter(active)
		c.rest()
		c.enter(active)
		if _, err := c.Write([]byte("an answer")); err != nil {
			t.Fatal(err)
		}
		c.server.draining.Store(true)
		c.rest()
		c.mayBeLast()
		if _, err := c.Write([]byte("PING")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * quietTime)
		if ended() {
			t.Fatal("it ended before HTTP/2 was told")
		}
		c.mayBeLast()
		c.server.told.Store(true)
		c.isTold()
		time.Sleep(10 * quietTime)
		if ended() {
			t.Fatal("it ended before its GOAWAY")
		}
		if _, err := c.Write([]byte("GOAWAY")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(quietTime - 1)
		c.hear([]byte("PING"))
		time.Sleep(quietTime - 1)
		if ended() {
			t.Fatal("it ended although something came")
		}
		time.Sleep(time.Nanosecond)
		if !ended() {
			t.Error("it did not end")
		}
	})
}

// What comes on a connection that is being closed is the end of it for net/http, which
// would answer other errors 400; and a request that it has read calls no handler.
func TestTooLate(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	s := New(a2l{}, &http.Server{})
	c := newConn(s, a)
	c.shunned = true
	go func() { _, _ = b.Write([]byte("GET / HTTP/1.1\r\nHo")) }()
	_, err := c.Read(make([]byte, 100))
	if op, ok := err.(*net.OpError); !ok || op.Op != "read" { //nolint:errorlint // net/http looks for that type
		t.Errorf("Read: %v", err)
	}
	if !c.closes(true) {
		t.Fatal("it was closed")
	}
	h := &tracked{server: s, next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })}
	req, err := http.NewRequestWithContext(context.WithValue(t.Context(), connKey{}, c), http.MethodGet, "/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("panic: %v", err)
		}
		s.tracker.enter(announced)
		if got := s.tracker.work(); len(got) > 0 {
			t.Errorf("counted: %+v", got)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), req)
}

// A request that is refused when the drain is over is none that counts.
func TestRefusedAfterTheDrain(t *testing.T) {
	tr := New(a2l{}, &http.Server{}).tracker
	tr.enter(draining)
	if !tr.seal() {
		t.Fatal("something is in flight")
	}
	if tr.begin(&request{method: http.MethodGet}) {
		t.Error("it was not refused")
	}
	if got := tr.work(); len(got) > 0 {
		t.Errorf("counted: %+v", got)
	}
}
