package httpadapter_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall/shutdowntest/faults"

	"golang.org/x/net/http2"
	xh2c "golang.org/x/net/http2/h2c" //nolint:staticcheck // people use it

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// lateConn is a connection on which something comes in the instant of its Close.
type lateConn struct {
	net.Conn
	closed  chan struct{}
	once    sync.Once
	first   string // what comes before that
	woken   chan struct{}
	written atomic.Int32
}

func (c *lateConn) SetReadDeadline(t time.Time) error {
	if c.woken != nil && !t.IsZero() {
		c.woken <- struct{}{}
	}
	return nil
}

func (c *lateConn) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

func (c *lateConn) Read(b []byte) (int, error) {
	if n := copy(b, c.first); n > 0 {
		c.first = c.first[n:]
		return n, nil
	}
	select {
	case <-c.closed:
	case <-c.woken: // net/http ends a read that it does in advance
		return 0, os.ErrDeadlineExceeded
	}
	return copy(b, "GET / HTTP/1.1\r\nHo"), nil
}

func (c *lateConn) Write(b []byte) (int, error) {
	c.written.Add(int32(len(b)))
	return len(b), nil
}

// What is read in the instant in which a connection is closed is no bad request.
func TestReadInTheInstantOfTheClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		var late *lateConn
		lis := n.Listener
		n.Listener = &faults.Listener{Listener: lis, OnAccept: func() (net.Conn, error) {
			c, err := lis.Accept()
			if err != nil {
				return nil, err
			}
			late = &lateConn{Conn: c, closed: make(chan struct{})}
			return late, nil
		}}
		l := begin(t, n, setup{})
		n.connect(t)
		time.Sleep(2 * time.Second)
		wantDrained(t, l.shutdown(t))
		synctest.Wait()
		if late.written.Load() > 0 {
			t.Errorf("%d bytes were written", late.written.Load())
		}
	})
}

// Handlers that return because of Stop, with nothing before it, have not answered.
func TestStopWithoutCancel(t *testing.T) {
	for how, runs := range map[string]int{h1: 20, h2c: 20, h1s: 2, h2: 2} {
		for range runs {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				s := httpadapter.New(n.Listener, &http.Server{Protocols: all(), TLSConfig: n.cert, ErrorLog: discard(), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					<-r.Context().Done()
				})}, declare(n)...)
				served := make(chan error, 1)
				go func() { served <- s.Serve() }()
				for range 1000 { // so that Stop has something to do
					n.connect(t)
				}
				var came []<-chan answer
				c := n.client(t, how)
				for range 30 {
					came = append(came, c.start("GET", "/", nil))
				}
				time.Sleep(time.Second)
				go s.GracefulStop()
				time.Sleep(100 * time.Millisecond)
				s.Stop()
				for _, c := range came {
					if a := <-c; a.err == nil {
						t.Errorf("%s: heard %d %q", how, a.status, a.body)
					}
				}
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// With a force as the trigger, what was there before it was there before.
func TestForceAsTheTrigger(t *testing.T) {
	for range 100 {
		bubble(t, func(t *testing.T) {
			n := memory()
			l := begin(t, n, setup{handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
			came := n.client(t, h1).start("GET", "/", nil)
			time.Sleep(time.Second)
			l.Force()
			r := l.report(t)
			wantWork(t, r, "GET (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Cancelled: 1})
			if a := <-came; a.status != http.StatusServiceUnavailable {
				t.Errorf("got %d, %v", a.status, a.err)
			}
		})
	}
}

// A request that comes in the instant in which its connection is closed for its
// silence is served, or its handler is not called.
func TestRequestInTheInstantOfTheSilence(t *testing.T) {
	for range 300 {
		bubble(t, func(t *testing.T) {
			n := memory()
			var began atomic.Int32
			l := begin(t, n, setup{handler: func(w http.ResponseWriter, _ *http.Request) { began.Add(1); _, _ = io.WriteString(w, "ok") }})
			c := n.connect(t)
			br := bufio.NewReader(c)
			heard := make(chan answer, 1)
			time.AfterFunc(time.Second, func() { _, _ = fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") })
			go func() { heard <- readAnswer(br) }()
			wantDrained(t, l.shutdown(t))
			a := <-heard
			if (a.err == nil) != (began.Load() == 1) {
				t.Errorf("%d handlers began, and the client heard %d, %v", began.Load(), a.status, a.err)
			}
			if w := work(l.last, "GET (no pattern)"); w.Arrived != int(began.Load()) || w.Completed != w.Arrived {
				t.Errorf("%d handlers began: %+v", began.Load(), w)
			}
		})
	}
}

// Connections that are left to those who have taken them over are left alone when the
// timer fires as well.
func TestHijackedAreLeftAtTheTimer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		stop := make(chan struct{})
		var failed error
		mux := routes("POST /left", func(w http.ResponseWriter, r *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			go func() {
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("read: %v", err)
				}
			}()
			for {
				if _, failed = io.WriteString(c, "x"); failed != nil {
					return
				}
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
		mux.HandleFunc("GET /slow", func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			time.Sleep(900 * time.Millisecond)
		})
		l := begin(t, n, setup{server: &http.Server{Handler: mux}, adapter: leaveHijacked()})
		raw(t, n.connect(t), "POST /left HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
		came := n.client(t, h1).start("GET", "/slow", nil)
		time.Sleep(time.Second)
		r := l.shutdown(t)
		<-came
		l.wantTook(t, usualTimer+900*time.Millisecond)
		wantWork(t, r, "POST /left", lastcall.Work{Kind: lastcall.WorkConn, Before: 1, Running: 1})
		wantWork(t, r, "GET /slow", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Cancelled: 1})
		close(stop)
		synctest.Wait()
		if failed != nil {
			t.Error(failed)
		}
	})
}

// Connections of h2c.NewHandler are waited for, and told, like others.
func TestH2CHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		h2s := &http2.Server{} //nolint:staticcheck // the same
		srv := &http.Server{Protocols: setProtocols(h1)}
		srv.Handler = xh2c.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:staticcheck // the same
			<-lastcall.Draining(r.Context())
			time.Sleep(2 * time.Second)
			_, _ = io.WriteString(w, "ok")
		}), h2s)
		if err := http2.ConfigureServer(srv, h2s); err != nil { //nolint:staticcheck // the same
			t.Fatal(err)
		}
		l := begin(t, n, setup{server: srv})
		came := n.client(t, h2c).start("GET", "/", nil)
		time.Sleep(time.Second)
		r := l.shutdown(t)
		(<-came).wantOK(t, "ok")
		work := lastcall.Work{Kind: lastcall.WorkConn, Before: 1, Completed: 1}
		if tellsHandlerOfXNet {
			wantDrained(t, r)
			if l.took < 2*time.Second || l.took > 3*time.Second {
				t.Errorf("the shutdown took %v", l.took)
			}
		} else { // the client does not go: golang.org/x/net serves with an http.Server that nobody can reach
			l.wantTook(t, usualTimer)
			work = lastcall.Work{Kind: lastcall.WorkConn, Before: 1, Cancelled: 1}
		}
		wantWork(t, r, "(other method) (no pattern)", work)
	})
}

// A function of WithPattern that ends its goroutine ends no request.
func TestPatternEndsItsGoroutine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		l := begin(t, n, setup{
			adapter: []httpadapter.Option{httpadapter.WithPattern(func(*http.Request) string { goexit(); return "" })},
			handler: func(w http.ResponseWriter, r *http.Request) {
				<-lastcall.Draining(context.WithoutCancel(r.Context()))
				_, _ = io.WriteString(w, "ok")
			},
		})
		came := n.client(t, h1).start("GET", "/", nil)
		time.Sleep(time.Second)
		r := l.shutdown(t)
		wantDrained(t, r)
		l.wantTook(t, 0)
		(<-came).wantOK(t, "ok")
		wantWork(t, r, "GET (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Completed: 1})
	})
}
