package httpadapter_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// A request that net/http has read, and has not given to its handler, when the drain
// begins is served. net/http itself drops what it has read as Shutdown is called: the hook
// of the user holds it in that instant.
func TestRequestReadAsTheDrainBegins(t *testing.T) {
	for _, how := range []string{h1, h1s} {
		for name, before := range map[string]int{"its first": 0, "kept alive": 1} {
			t.Run(name+" "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := on(t, memory(), how)
					read, active := make(chan struct{}), 0
					l := begin(t, n, setup{
						handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") },
						server: &http.Server{ConnState: func(_ net.Conn, state http.ConnState) {
							if state == http.StateActive {
								if active++; active > before {
									close(read)
									time.Sleep(300 * time.Millisecond)
								}
							}
						}},
					})
					c := n.speak(t)
					br := bufio.NewReader(c)
					for range before {
						raw(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
						readAnswer(br).wantOK(t, "ok")
					}
					raw(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
					<-read
					l.trigger()
					a := readAnswer(br)
					a.wantOK(t, "ok")
					if !a.close {
						t.Error("no Connection: close")
					}
					wantDrained(t, l.report(t))
					l.wantTook(t, 300*time.Millisecond)
				})
			})
		}
	}
}

// A request that arrives as its idle connection is closed calls no handler, and is not
// answered 400.
func TestRequestAsTheConnectionCloses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		lis := n.Listener
		var late *lateConn
		n.Listener = &faults.Listener{Listener: lis, OnAccept: func() (net.Conn, error) {
			c, err := lis.Accept()
			if err == nil {
				late = &lateConn{Conn: c, closed: make(chan struct{}), first: "GET /first HTTP/1.1\r\nHost: x\r\n\r\n", woken: make(chan struct{})}
				c = late
			}
			return c, err
		}}
		var handlers atomic.Int32
		l := begin(t, n, setup{handler: func(http.ResponseWriter, *http.Request) { handlers.Add(1) }})
		n.connect(t)
		synctest.Wait()
		written := late.written.Load()
		wantDrained(t, l.shutdown(t))
		synctest.Wait()
		if handlers.Load() != 1 || late.written.Load() != written {
			t.Errorf("%d handlers, %d bytes after the close", handlers.Load(), late.written.Load()-written)
		}
	})
}

// A new connection that begins to speak HTTP/2 when the drain has begun is served, and
// told to go: its GOAWAY is not missed.
func TestNewConnectionOfHTTP2(t *testing.T) {
	for _, how := range []string{h2c, h2} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				l := begin(t, n, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
					time.Sleep(2 * time.Second)
					_, _ = io.WriteString(w, "ok")
				}})
				silent := n.connect(t)
				n.dial = func(context.Context) (net.Conn, error) { return silent, nil }
				synctest.Wait()
				l.trigger()
				time.Sleep(300 * time.Millisecond)
				n.client(t, how).do("GET", "/", nil).wantOK(t, "ok")
				wantDrained(t, l.report(t))
				if want := 2300 * time.Millisecond; l.took < want || l.took > want+quiet {
					t.Errorf("the shutdown took %v, want %v and at most %v", l.took, want, quiet)
				}
			})
		})
	}
}

// quiet is for how long a connection of HTTP/2 has to be quiet.
const quiet = 50 * time.Millisecond

// A peer of HTTP/2 that keeps its connection after GOAWAY holds the drain for 50 ms after
// its last answer, or after GOAWAY if it is idle; net/http would wait for a second.
func TestPeerStaysAfterGoAway(t *testing.T) {
	for _, how := range []string{h2c, h2} {
		for name, takes := range map[string]time.Duration{"idle": 0, "busy": 3 * time.Second} {
			t.Run(name+" "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := on(t, memory(), how)
					l := begin(t, n, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
						time.Sleep(takes)
						_, _ = io.WriteString(w, "ok")
					}})
					p := newH2Peer(t, n)
					p.request(t, 1)
					if takes == 0 {
						p.answer(t, 1)
						time.Sleep(time.Minute)
					} else {
						time.Sleep(time.Second)
					}
					l.trigger()
					goAway, data := p.rest(t)
					if goAway != 1 || takes > 0 && data != "ok" {
						t.Errorf("%d GOAWAYs, answer %q", goAway, data)
					}
					wantDrained(t, l.report(t))
					l.wantTook(t, max(0, takes-time.Second)+quiet)
				})
			})
		}
	}
}

// An HTTP/2 connection whose peer goes on talking is closed by net/http, a second after
// GOAWAY.
func TestTalkativePeer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		l := begin(t, n, setup{handler: func(http.ResponseWriter, *http.Request) {}})
		p := newH2Peer(t, n)
		p.request(t, 1)
		p.answer(t, 1)
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for p.framer.WritePing(false, [8]byte{1}) == nil {
				select {
				case <-stop:
					return
				case <-time.After(quiet / 2):
				}
			}
		}()
		time.Sleep(time.Second)
		go func() { _, _ = io.Copy(io.Discard, p.conn) }()
		wantDrained(t, l.shutdown(t))
		if l.took < quiet || l.took > time.Second+quiet {
			t.Errorf("the shutdown took %v", l.took)
		}
	})
}

// RegisterOnShutdown's functions run once, whatever connections there are, and GOAWAY
// waits for new connections only as long as those have.
func TestShutdownOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		var runs atomic.Int32
		srv := &http.Server{}
		var at time.Time
		srv.RegisterOnShutdown(func() { runs.Add(1); at = time.Now() })
		l := begin(t, n, setup{server: srv, handler: func(_ http.ResponseWriter, r *http.Request) {
			<-lastcall.Draining(r.Context())
			time.Sleep(3 * time.Second)
		}})
		n.connect(t) // is silent
		for _, how := range []string{h1, h2c, h1, h2c} {
			n.client(t, how).start("GET", "/", nil)
		}
		synctest.Wait()
		wantDrained(t, l.shutdown(t))
		synctest.Wait()
		if got := at.Sub(l.asked); runs.Load() != 1 || got != time.Second {
			t.Errorf("run %d times, after %v", runs.Load(), got)
		}
	})
}

// They run also if there is nothing to drain.
func TestShutdownOnceIdle(t *testing.T) {
	for name, connect := range map[string]func(*testing.T, *network){
		"no connection":  func(*testing.T, *network) {},
		"idle, HTTP/1.1": func(t *testing.T, n *network) { n.client(t, h1).do("GET", "/", nil).wantOK(t, "") },
		"idle, HTTP/2":   func(t *testing.T, n *network) { n.client(t, h2c).do("GET", "/", nil).wantOK(t, "") },
		"a silent peer":  func(t *testing.T, n *network) { n.connect(t) },
	} {
		bubble(t, func(t *testing.T) {
			n := memory()
			var runs atomic.Int32
			srv := &http.Server{}
			srv.RegisterOnShutdown(func() { runs.Add(1) })
			l := begin(t, n, setup{server: srv, handler: func(http.ResponseWriter, *http.Request) {}})
			connect(t, n)
			synctest.Wait()
			wantDrained(t, l.shutdown(t))
			synctest.Wait()
			if runs.Load() != 1 {
				t.Errorf("%s: run %d times", name, runs.Load())
			}
		})
	}
}

// GracefulStop and Stop may be called before Serve, more than once, and concurrently.
func TestStopsInAnyOrder(t *testing.T) {
	calls := map[string]func(*httpadapter.Server){
		"GracefulStop": (*httpadapter.Server).GracefulStop,
		"Stop":         (*httpadapter.Server).Stop,
	}
	for first, a := range calls {
		for second, b := range calls {
			for _, serves := range []bool{false, true} {
				bubble(t, func(t *testing.T) {
					n := memory()
					s := httpadapter.New(n.Listener, &http.Server{})
					served := make(chan error, 1)
					if serves {
						go func() { served <- s.Serve() }()
						synctest.Wait()
						n.connect(t)
					}
					both := make(chan struct{})
					go func() { defer close(both); b(s) }()
					a(s)
					<-both
					if !serves {
						served <- s.Serve()
					}
					if err := <-served; err != nil {
						t.Errorf("%s, %s, served before: %v: %v", first, second, serves, err)
					}
					if _, err := n.dial(t.Context()); err == nil {
						t.Error("the listener is open")
					}
				})
			}
		}
	}
}

// The preface of HTTP/2 may come in pieces; what only begins like it is HTTP/1.x.
func TestPrefaceInPieces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		l := begin(t, n, setup{handler: func(http.ResponseWriter, *http.Request) {}})
		c := n.connect(t)
		for _, b := range []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00") {
			if _, err := c.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		like := n.connect(t)
		raw(t, like, "PRINT / HTTP/1.1\r\nHost: x\r\n\r\n")
		br := bufio.NewReader(like)
		readAnswer(br).wantOK(t, "")
		go func() { _, _ = io.Copy(io.Discard, c) }()
		l.trigger()
		if _, err := br.ReadByte(); err != io.EOF || time.Since(l.asked) != 0 {
			t.Errorf("HTTP/1.1 was closed after %v: %v", time.Since(l.asked), err)
		}
		wantDrained(t, l.report(t))
		l.wantTook(t, quiet)
	})
}

// Over TCP the connection is half-closed, and what a peer sends that is slow to read does
// not reset it: it gets all of its answer although the drain is over.
func TestPeerReadsAfterTheDrain(t *testing.T) {
	for _, how := range []string{h2c, h2} {
		t.Run(how, func(t *testing.T) {
			n := on(t, tcp(t), how)
			dial := n.dial
			n.dial = func(ctx context.Context) (net.Conn, error) {
				c, err := dial(ctx)
				if err == nil {
					err = c.(*net.TCPConn).SetReadBuffer(8 << 10)
				}
				return c, err
			}
			answer := strings.Repeat("x", 60000) // less than the window of HTTP/2, more than the peer's machine takes
			called := make(chan struct{})
			l := begin(t, n, setup{handler: func(w http.ResponseWriter, _ *http.Request) { close(called); _, _ = io.WriteString(w, answer) }})
			p := newH2Peer(t, n)
			p.request(t, 1)
			<-called
			wantDrained(t, l.shutdown(t))
			if l.took > 500*time.Millisecond {
				t.Errorf("the shutdown took %v", l.took)
			}
			for range 3 { // it says how much it has read
				if err := p.framer.WriteWindowUpdate(0, 1); err != nil {
					t.Error(err)
				}
				time.Sleep(20 * time.Millisecond)
			}
			if _, data := p.rest(t); data != answer {
				t.Errorf("got %d of %d bytes", len(data), len(answer))
			}
		})
	}
}

// A request of which something has come before the drain is served, wherever the drain cuts
// it, and nothing waits for more than the rest of it.
func TestRequestInTwoPieces(t *testing.T) {
	request := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
	for _, how := range []string{h1, h1s} {
		for name, kept := range map[string]bool{"new": false, "kept": true} {
			t.Run(how+" "+name, func(t *testing.T) {
				for i := 1; i < len(request) && !t.Failed(); i++ {
					bubble(t, func(t *testing.T) {
						n := on(t, memory(), how)
						l := begin(t, n, setup{handler: func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }})
						c := n.speak(t)
						br := bufio.NewReader(c)
						if kept {
							raw(t, c, "%s", request)
							readAnswer(br).wantOK(t, "abc")
						}
						raw(t, c, "%s", request[:i])
						synctest.Wait()
						l.trigger()
						time.Sleep(100 * time.Millisecond)
						raw(t, c, "%s", request[i:])
						a := readAnswer(br)
						a.wantOK(t, "abc")
						if !a.close {
							t.Errorf("cut after %d bytes: %v", i, a.header)
						}
						wantDrained(t, l.report(t))
						l.wantTook(t, 100*time.Millisecond)
					})
				}
			})
		}
	}
}
