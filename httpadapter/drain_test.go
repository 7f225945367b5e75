package httpadapter_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// Idle connections end the drain at once: those of HTTP/1.1 are closed; those of
// HTTP/2 get a GOAWAY, and over TCP the end of the stream, so that no second is spent
// on a client that keeps them.
func TestIdleConnections(t *testing.T) {
	for _, how := range []string{h1, h1s} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				l := begin(t, n, setup{handler: func(http.ResponseWriter, *http.Request) {}})
				n.client(t, how).do("GET", "/", nil).wantOK(t, "")
				time.Sleep(time.Minute)
				wantDrained(t, l.shutdown(t))
				l.wantTook(t, 0)
			})
		})
	}
	for _, how := range []string{h2c, h2} {
		t.Run(how, func(t *testing.T) {
			n := on(t, tcp(t), how)
			l := begin(t, n, setup{handler: func(http.ResponseWriter, *http.Request) {}})
			n.client(t, how).do("GET", "/", nil).wantOK(t, "")
			wantDrained(t, l.shutdown(t))
			if l.took > 900*time.Millisecond {
				t.Errorf("the shutdown took %v", l.took)
			}
		})
	}
}

// A connection on which no request comes holds the drain for the handshake time, and
// one that had that time already not at all; one on which a request comes in time is
// served.
func TestSilentConnections(t *testing.T) {
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }
	tests := map[string]struct {
		options []httpadapter.Option
		before  time.Duration // the connection's age at the trigger
		after   time.Duration // when a request comes on it; 0: none
		budget  lastcall.Budget
		want    time.Duration
		note    bool
	}{
		"young":              {want: time.Second, note: true},
		"a little older":     {before: 600 * time.Millisecond, want: time.Second, note: true},
		"old":                {before: 2 * time.Second, want: 0, note: true},
		"very old":           {before: time.Minute, want: 0, note: true},
		"with another time":  {options: []httpadapter.Option{httpadapter.WithHandshakeTime(3 * time.Second)}, want: 3 * time.Second, note: true},
		"with little budget": {budget: lastcall.Budget{Total: 3 * time.Second, Reserve: 2 * time.Second}, want: 500 * time.Millisecond, note: true},
		"in time":            {after: 300 * time.Millisecond, want: 300 * time.Millisecond},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := memory()
				l := begin(t, n, setup{handler: ok, adapter: tt.options, budget: tt.budget})
				c := n.connect(t)
				time.Sleep(tt.before)
				synctest.Wait()
				answered := make(chan struct{})
				if tt.after > 0 {
					time.AfterFunc(tt.after, func() {
						defer close(answered)
						raw(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
						a := readAnswer(bufio.NewReader(c))
						a.wantOK(t, "ok")
						if !a.close {
							t.Error("no Connection: close")
						}
					})
				}
				r := l.shutdown(t)
				wantDrained(t, r)
				l.wantTook(t, tt.want)
				if got := len(r.Notes) > 0; got != tt.note {
					t.Errorf("notes: %q", r.Notes)
				}
				if tt.after > 0 {
					<-answered
				} else if _, err := io.Copy(io.Discard, c); err != nil {
					t.Errorf("the peer sees %v", err)
				}
			})
		})
	}
}

// A header that comes slowly is waited for as long as one that has not begun, although
// net/http takes the connection for idle, and would close it.
func TestSlowHeader(t *testing.T) {
	for _, how := range []string{h1, h1s} {
		for name, rest := range map[string]bool{"it ends": true, "it does not": false} {
			t.Run(name+" "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := on(t, memory(), how)
					l := begin(t, n, setup{handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }})
					c := n.speak(t)
					br := bufio.NewReader(c)
					raw(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") // it is no new connection
					readAnswer(br).wantOK(t, "ok")
					raw(t, c, "GET / HTT")
					synctest.Wait()
					answered := make(chan struct{})
					if rest {
						time.AfterFunc(700*time.Millisecond, func() {
							defer close(answered)
							raw(t, c, "P/1.1\r\nHost: x\r\n\r\n")
							readAnswer(br).wantOK(t, "ok")
						})
					}
					wantDrained(t, l.shutdown(t))
					if rest {
						<-answered
						l.wantTook(t, 700*time.Millisecond)
					} else {
						l.wantTook(t, time.Second)
					}
				})
			})
		}
	}
}

// A client that reads slowly gets all of the last answer before the drain is over.
func TestSlowReader(t *testing.T) {
	const size = 12 << 20 // more than Go's client takes in advance
	for _, how := range []string{h1, h2c, h2, h1s} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, narrow(), how)
				l := begin(t, n, setup{handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) }})
				c := n.client(t, how)
				res, err := c.get()
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				synctest.Wait()
				l.trigger()
				got := 0
				for range 4 {
					time.Sleep(time.Second)
					k, _ := io.ReadFull(res.Body, make([]byte, size/4))
					got += k
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil || got != size {
					t.Errorf("got %d of %d bytes, %v", got, size, err)
				}
				wantDrained(t, l.report(t))
				if l.took < 3*time.Second || l.took > 4*time.Second {
					t.Errorf("the shutdown took %v", l.took)
				}
			})
		})
	}
	for _, how := range []string{h1, h2c, h2, h1s} {
		t.Run(how+" TCP", func(t *testing.T) {
			t.Parallel()
			n := on(t, tcp(t), how)
			l := begin(t, n, setup{handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) }})
			c := n.client(t, how)
			res, err := c.get()
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			l.trigger()
			got := 0
			for range 20 {
				time.Sleep(50 * time.Millisecond)
				k, _ := io.ReadFull(res.Body, make([]byte, size/20))
				got += k
			}
			k, err := io.Copy(io.Discard, res.Body)
			if got += int(k); err != nil || got != size {
				t.Errorf("got %d of %d bytes, %v", got, size, err)
			}
			wantDrained(t, l.report(t))
		})
	}
}

// What is on its way when the drain begins goes on: uploads, 100-continue, streams, and
// a file through ReadFrom.
func TestWorkOnItsWay(t *testing.T) {
	for _, how := range []string{h1, h2c, h2, h1s} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				mux := http.NewServeMux()
				mux.HandleFunc("POST /upload", func(w http.ResponseWriter, r *http.Request) {
					k, err := io.Copy(io.Discard, r.Body)
					_, _ = fmt.Fprint(w, k, err)
				})
				mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
					for i := 0; ; i++ {
						_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
						_ = http.NewResponseController(w).Flush()
						select {
						case <-time.After(time.Second):
						case <-lastcall.Draining(r.Context()):
							_, _ = fmt.Fprint(w, "event: bye\n\n")
							return
						}
					}
				})
				l := begin(t, n, setup{server: &http.Server{Handler: mux}})
				c := n.client(t, how)
				body, feed := io.Pipe()
				upload := c.start("POST", "/upload", body)
				_, _ = feed.Write(make([]byte, 1000))
				events := c.start("GET", "/events", nil)
				time.Sleep(2500 * time.Millisecond)
				l.trigger()
				(<-events).wantOK(t, "data: 0\n\ndata: 1\n\ndata: 2\n\nevent: bye\n\n")
				time.Sleep(2 * time.Second)
				_, _ = feed.Write(make([]byte, 500))
				feed.Close()
				(<-upload).wantOK(t, "1500 <nil>")
				r := l.report(t)
				wantDrained(t, r)
				l.wantTook(t, 2*time.Second)
				wantWork(t, r, "POST /upload", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Completed: 1})
				wantWork(t, r, "GET /events", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Completed: 1})
			})
		})
	}
}

// A client that waits for 100-continue gets it in the drain, too.
func TestContinue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		l := begin(t, n, setup{handler: func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			b, _ := io.ReadAll(r.Body)
			_, _ = w.Write(b)
		}})
		c := n.connect(t)
		raw(t, c, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
		synctest.Wait()
		l.trigger()
		br := bufio.NewReader(c)
		if line, err := br.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
			t.Fatalf("%q, %v", line, err)
		}
		_, _ = br.ReadString('\n')
		raw(t, c, "ok")
		readAnswer(br).wantOK(t, "ok")
		wantDrained(t, l.report(t))
		l.wantTook(t, time.Second)
	})
}

// A pipelined request that comes with one in flight is not begun any more, and that one
// is answered whole.
func TestPipelining(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, runs := memory(), 0
		l := begin(t, n, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
			runs++
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "ok")
		}})
		c := n.connect(t)
		const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
		raw(t, c, get+get)
		synctest.Wait()
		l.trigger()
		br := bufio.NewReader(c)
		a := readAnswer(br)
		a.wantOK(t, "ok")
		if !a.close {
			t.Error("no Connection: close, so the client cannot know of its second request")
		}
		if b := readAnswer(br); b.err == nil {
			t.Error("a second answer")
		}
		wantDrained(t, l.report(t))
		l.wantTook(t, time.Second)
		if runs != 1 {
			t.Errorf("%d handlers", runs)
		}
	})
}

// Files still go through ReadFrom, and connections are TCP connections for who takes
// them over.
func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	n := tcp(t)
	var isReaderFrom, isTCP atomic.Bool
	l := begin(t, n, setup{handler: func(w http.ResponseWriter, r *http.Request) {
		_, ok := w.(io.ReaderFrom)
		isReaderFrom.Store(ok)
		if r.Method == http.MethodPut {
			c, _, _ := http.NewResponseController(w).Hijack()
			_, ok := c.(interface {
				SetNoDelay(bool) error
				io.ReaderFrom
				syscall.Conn
				CloseWrite() error
			})
			isTCP.Store(ok)
			c.Close()
			return
		}
		http.ServeFile(w, r, name)
	}})
	c := n.client(t, h1)
	a := c.start("GET", "/", nil)
	(<-a).wantOK(t, string(content))
	if !isReaderFrom.Load() {
		t.Error("the ResponseWriter has no ReadFrom")
	}
	if c.do("PUT", "/", nil); !isTCP.Load() {
		t.Error("a connection that was taken over can't do what one of TCP can")
	}
	wantDrained(t, l.shutdown(t))
}

// A server over a user's TLS listener drains as well.
func TestTLSListener(t *testing.T) {
	for _, how := range []string{h1s, h2} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				config := n.cert.Clone()
				config.NextProtos = []string{"h2", "http/1.1"}
				tlsListener := &network{Listener: newTLSListener(n.Listener, config), dial: n.dial, tls: n.tls, plain: true}
				l := begin(t, tlsListener, setup{handler: func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(2 * time.Second)
					_, _ = fmt.Fprint(w, r.TLS != nil, r.ProtoMajor)
				}})
				a := n.client(t, how).start("GET", "/", nil)
				time.Sleep(time.Second)
				wantDrained(t, l.shutdown(t))
				l.wantTook(t, time.Second)
				(<-a).wantOK(t, map[string]string{h1s: "true 1", h2: "true 2"}[how])
			})
		})
	}
}

// A client that has gone does not end the drain before its handler.
func TestClientHasGone(t *testing.T) {
	for _, how := range []string{h1, h2c, h2} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				l := begin(t, n, setup{handler: func(_ http.ResponseWriter, r *http.Request) {
					<-r.Context().Done()
					if !errors.Is(context.Cause(r.Context()), context.Canceled) {
						t.Errorf("cause %v", context.Cause(r.Context()))
					}
					time.Sleep(3 * time.Second) // it rolls something back
				}})
				c := n.client(t, how)
				ctx, cancel := context.WithCancel(t.Context())
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, c.base, nil)
				go func() {
					if res, err := c.Do(req); err == nil {
						res.Body.Close()
					}
				}()
				time.Sleep(time.Second)
				cancel()
				c.CloseIdleConnections()
				time.Sleep(time.Second)
				wantDrained(t, l.shutdown(t))
				l.wantTook(t, 2*time.Second)
			})
		})
	}
}
