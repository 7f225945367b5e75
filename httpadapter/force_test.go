package httpadapter_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// A request that the timer interrupts: its context ends with the cause, a read that is
// blocked returns, and the client is answered 503 if the handler has said nothing.
func TestCancel(t *testing.T) {
	var cause error
	handlers := map[string]struct {
		handle http.HandlerFunc
		status int
	}{
		"it returns": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); cause = context.Cause(r.Context()) }, 503},
		"it sets a header": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X", "y")
			<-r.Context().Done()
			cause = context.Cause(r.Context())
		}, 503},
		"it says why": {func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			cause = context.Cause(r.Context())
			http.Error(w, "no", http.StatusBadGateway)
		}, 503},
		"it had said": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			<-r.Context().Done()
			cause = context.Cause(r.Context())
		}, 202},
		"it reads": {func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			cause = context.Cause(r.Context())
			if err == nil {
				cause = nil
			}
		}, 503},
		"it takes a moment": {func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			time.Sleep(100 * time.Millisecond)
			cause = context.Cause(r.Context())
		}, 503},
		"derived contexts": {func(_ http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
			defer cancel()
			<-ctx.Done()
			cause = context.Cause(ctx)
		}, 503},
		"http.TimeoutHandler": {http.TimeoutHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); cause = context.Cause(r.Context()) }), time.Hour, "").ServeHTTP, 503},
	}
	for name, h := range handlers {
		for _, how := range []string{h1, h2c, h2, h1s} {
			t.Run(name+" "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					cause = nil
					n := on(t, memory(), how)
					l := begin(t, n, setup{handler: h.handle})
					c := n.client(t, how)
					body, feed := io.Pipe()
					defer feed.Close()
					came := c.start("POST", "/", body)
					_, _ = feed.Write([]byte("some"))
					time.Sleep(time.Second)
					r := l.shutdown(t)
					a := <-came
					if a.err != nil || a.status != h.status {
						t.Errorf("the client sees %d, %v", a.status, a.err)
					}
					if h.status == 503 {
						if a.header.Get("Retry-After") == "" || how[:2] == "h1" && !a.close {
							t.Errorf("the answer has the header %v", a.header)
						}
					}
					synctest.Wait()
					if !errors.Is(cause, lastcall.ErrTimer) {
						t.Errorf("cause %v", cause)
					}
					if r.Outcome != report.OutcomeCancelled {
						t.Errorf("outcome %v\n%v", r.Outcome, r)
					}
					wantWork(t, r, "POST (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Cancelled: 1})
					if at := a.at.Sub(l.asked); at < usualTimer || at > usualTimer+150*time.Millisecond {
						t.Errorf("answered after %v", at)
					}
				})
			})
		}
	}
}

// A write that is blocked returns when the request is cancelled.
func TestCancelWakesWrites(t *testing.T) {
	for _, how := range []string{h1, h2c, h2, h1s} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				var at time.Time
				l := begin(t, n, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
					for {
						if _, err := w.Write(make([]byte, 1<<16)); err != nil {
							at = time.Now()
							return
						}
					}
				}})
				c := n.client(t, how)
				res, err := c.get()
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				time.Sleep(time.Second)
				r := l.shutdown(t)
				want := usualTimer // somebody is in Write of the connection
				if how != h1 {     // nobody is; or package tls tries to say goodbye, too
					want += fullCancel / 2
				}
				if got := at.Sub(l.asked); got != want {
					t.Errorf("Write returned after %v, want %v", got, want)
				}
				if w := work(r, "GET (no pattern)"); w.Cancelled != 1 {
					t.Errorf("%+v", w)
				}
			})
		})
	}
}

// What a handler writes in whose place 503 was sent is taken in until Stop. Then it fails, so
// that a handler which looks at nothing else comes to its end.
func TestWritesBehind503EndWithStop(t *testing.T) {
	for _, how := range []string{h1, h2c} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				var at time.Time
				l := begin(t, n, setup{handler: func(w http.ResponseWriter, r *http.Request) {
					for <-r.Context().Done(); at.IsZero(); time.Sleep(time.Millisecond) {
						if _, err := io.WriteString(w, "x"); err != nil {
							at = time.Now()
						}
					}
				}})
				came := n.client(t, how).start("GET", "/", nil)
				time.Sleep(time.Second)
				r := l.shutdown(t)
				if a := <-came; how == h1 && (a.status != http.StatusServiceUnavailable || a.err != nil) { // of HTTP/2 the end of the stream is the handler's
					t.Errorf("the client sees %d, %v", a.status, a.err)
				}
				if got := at.Sub(l.asked); got < usualTimer+fullCancel || got > usualTimer+fullCancel+time.Millisecond {
					t.Errorf("the handler ended after %v", got)
				}
				wantWork(t, r, "GET (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Cancelled: 1})
			})
		})
	}
}

// A handler that ignores everything is left behind, in time, and named.
func TestStubbornHandler(t *testing.T) {
	for _, how := range []string{h1, h2c, h2} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				release := make(chan struct{})
				l := begin(t, n, setup{server: &http.Server{Handler: routes("GET /stuck/{id}", func(http.ResponseWriter, *http.Request) { <-release })}})
				c := n.client(t, how)
				came := c.start("GET", "/stuck/7", nil)
				time.Sleep(time.Second)
				r := l.shutdown(t)
				if r.Outcome != report.OutcomeAbandoned {
					t.Errorf("outcome %v\n%v", r.Outcome, r)
				}
				if a := <-came; a.err == nil {
					t.Errorf("the client sees %d", a.status)
				}
				wantWork(t, r, "GET /stuck/{id}", lastcall.Work{Kind: lastcall.WorkRequest, Running: 1, Before: 1})
				for _, w := range r.Work {
					if w.Kind == lastcall.WorkRequest && (w.Oldest.IsZero() || w.Peer == "") {
						t.Errorf("%+v", w)
					}
				}
				close(release)
				synctest.Wait()
			})
		})
	}
}

// Stop closes what Cancel could not end, and Cut says what it has closed.
func TestForce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		l := begin(t, n, setup{handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
		came := n.client(t, h1).start("GET", "/", nil)
		time.Sleep(time.Second)
		l.trigger()
		time.Sleep(time.Second)
		l.Force()
		l.report(t)
		if a := <-came; a.status != 503 {
			t.Errorf("the client sees %d, %v", a.status, a.err)
		}
		l.wantTook(t, time.Second)
	})
}

// Handlers that panic, abort or end their goroutine are over; the process is not, and
// what net/http does about them it does.
func TestPanics(t *testing.T) {
	for _, how := range []string{h1, h2c, h2} {
		for name, handle := range map[string]http.HandlerFunc{
			"panic":  func(http.ResponseWriter, *http.Request) { time.Sleep(2 * time.Second); panic("boom") },
			"abort":  func(http.ResponseWriter, *http.Request) { time.Sleep(2 * time.Second); panic(http.ErrAbortHandler) },
			"goexit": func(http.ResponseWriter, *http.Request) { time.Sleep(2 * time.Second); goexit() },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := on(t, memory(), how)
					l := begin(t, n, setup{handler: handle, server: &http.Server{ErrorLog: discard()}})
					came := n.client(t, how).start("POST", "/", strings.NewReader("x"))
					time.Sleep(time.Second)
					r := l.shutdown(t)
					if a := <-came; a.err == nil {
						t.Errorf("the client sees %d", a.status)
					}
					wantDrained(t, r)
					l.wantTook(t, time.Second)
					wantWork(t, r, "POST (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Completed: 1})
				})
			})
		}
	}
}

// A connection that a handler has taken over is work until it is closed, and its
// handler has returned; the drain is told to it through the request's context.
func TestHijacked(t *testing.T) {
	hijack := func(w http.ResponseWriter, r *http.Request, then func(context.Context, *bufio.ReadWriter)) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\n\r\n")
		_ = rw.Flush()
		then(r.Context(), rw)
	}
	bye := func(ctx context.Context, rw *bufio.ReadWriter) {
		<-lastcall.Draining(ctx)
		time.Sleep(3 * time.Second)
		_, _ = rw.WriteString("bye")
		_ = rw.Flush()
	}
	t.Run("waited for", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			n := memory()
			l := begin(t, n, setup{server: &http.Server{Handler: routes("GET /ws", func(w http.ResponseWriter, r *http.Request) { hijack(w, r, bye) })}})
			c := n.connect(t)
			raw(t, c, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			time.Sleep(time.Second)
			r := l.shutdown(t)
			wantDrained(t, r)
			l.wantTook(t, 3*time.Second)
			wantWork(t, r, "GET /ws", lastcall.Work{Kind: lastcall.WorkConn, Before: 1, Completed: 1})
			b, err := io.ReadAll(c)
			if err != nil || !strings.HasSuffix(string(b), "bye") {
				t.Errorf("%q, %v", b, err)
			}
		})
	})
	t.Run("after its handler", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			n := memory()
			l := begin(t, n, setup{handler: func(w http.ResponseWriter, r *http.Request) {
				c, _, _ := http.NewResponseController(w).Hijack()
				draining := lastcall.Draining(r.Context())
				go func() {
					<-draining
					time.Sleep(2 * time.Second)
					c.Close()
				}()
			}})
			c := n.connect(t)
			raw(t, c, "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
			time.Sleep(time.Second)
			r := l.shutdown(t)
			wantDrained(t, r)
			l.wantTook(t, 2*time.Second)
			wantWork(t, r, "GET (no pattern)", lastcall.Work{Kind: lastcall.WorkConn, Before: 1, Completed: 1})
		})
	})
	t.Run("cut", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			n := memory()
			var cause error
			l := begin(t, n, setup{handler: func(w http.ResponseWriter, r *http.Request) {
				hijack(w, r, func(ctx context.Context, rw *bufio.ReadWriter) {
					_, _ = rw.ReadByte() // for ever
					cause = context.Cause(ctx)
				})
			}})
			c := n.connect(t)
			raw(t, c, "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
			time.Sleep(time.Second)
			r := l.shutdown(t)
			if r.Outcome != report.OutcomeCut {
				t.Errorf("outcome %v\n%v", r.Outcome, r)
			}
			if !errors.Is(cause, lastcall.ErrTimer) {
				t.Errorf("cause %v", cause)
			}
			if w := work(r, "GET (no pattern)"); w.Before != 1 || w.Cancelled != 1 {
				t.Errorf("%+v", w)
			}
		})
	})
	t.Run("left", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			n := memory()
			release := make(chan struct{})
			var err error
			l := begin(t, n, setup{adapter: leaveHijacked(), handler: func(w http.ResponseWriter, r *http.Request) {
				hijack(w, r, func(ctx context.Context, rw *bufio.ReadWriter) {
					<-release
					err = context.Cause(ctx)
					_, _ = rw.WriteString("still here")
					_ = rw.Flush()
				})
			}})
			c := n.connect(t)
			raw(t, c, "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
			time.Sleep(time.Second)
			r := l.shutdown(t)
			wantDrained(t, r)
			l.wantTook(t, 0)
			wantWork(t, r, "GET (no pattern)", lastcall.Work{Kind: lastcall.WorkConn, Before: 1, Running: 1})
			close(release)
			if b, e := io.ReadAll(c); e != nil || !strings.HasSuffix(string(b), "still here") || err != nil {
				t.Errorf("%q, %v, cause %v", b, e, err)
			}
		})
	})
}
