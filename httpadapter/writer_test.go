package httpadapter_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// The ResponseWriter has the optional methods that it has without the adapter.
func TestOptionalMethods(t *testing.T) {
	methods := func(w http.ResponseWriter, _ *http.Request) {
		var has []string
		note := func(name string, ok bool) {
			if ok {
				has = append(has, name)
			}
		}
		_, ok := w.(http.Flusher)
		note("Flusher", ok)
		_, ok = w.(interface{ FlushError() error })
		note("FlushError", ok)
		_, ok = w.(http.Hijacker)
		note("Hijacker", ok)
		_, ok = w.(http.Pusher)
		note("Pusher", ok)
		_, ok = w.(io.ReaderFrom)
		note("ReaderFrom", ok)
		_, ok = w.(io.StringWriter)
		note("StringWriter", ok)
		_, ok = w.(http.CloseNotifier) //nolint:staticcheck // people use it
		note("CloseNotifier", ok)
		_, _ = fmt.Fprint(w, has)
	}
	for _, how := range []string{h1, h1s, h2c, h2} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				plain := on(t, memory(), how)
				srv := &http.Server{Handler: http.HandlerFunc(methods), Protocols: all(), TLSConfig: plain.cert}
				go func() {
					if plain.cert != nil {
						_ = srv.ServeTLS(plain.Listener, "", "")
					} else {
						_ = srv.Serve(plain.Listener)
					}
				}()
				want := plain.client(t, how).do("GET", "/", nil)
				srv.Close()
				n := on(t, memory(), how)
				l := begin(t, n, setup{handler: methods})
				n.client(t, how).do("GET", "/", nil).wantOK(t, want.body)
				wantDrained(t, l.shutdown(t))
			})
		})
	}
}

// A part of an answer must not look like all of it when the timer has interrupted its
// handler; what is known to be all of it stays.
func TestInterruptedAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		body   string
		whole  bool
	}{
		"a part": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "a part")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "a part", false},
		"a part whose header is changed when it is out": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "a part")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Content-Length", "6")
		}, "a part", false},
		"all that was said": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "3")
			_, _ = io.WriteString(w, "all")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "all", true},
		"a header": {func(w http.ResponseWriter, r *http.Request) { // of a stream that has no event yet
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "", false},
		"a header and no body": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "0")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "", true},
		"afterwards, with its length": {func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.Header().Set("Content-Length", "3")
			_, _ = io.WriteString(w, "all")
		}, "all", true},
	} {
		for _, how := range []string{h1, h1s, h2c, h2} {
			t.Run(name+" "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := on(t, memory(), how)
					l := begin(t, n, setup{handler: tt.handle})
					came := n.client(t, how).start("GET", "/", nil)
					time.Sleep(time.Second)
					r := l.shutdown(t)
					if a := <-came; a.body != tt.body || (a.err == nil) != tt.whole || a.status != http.StatusOK {
						t.Errorf("%d %q, %v", a.status, a.body, a.err)
					}
					wantWork(t, r, "GET (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Cancelled: 1})
				})
			})
		}
	}
}

// Answers that have no body are whole with their header.
func TestInterruptedAnswersWithoutBody(t *testing.T) {
	for name, tt := range map[string]struct {
		method string
		status int
		flush  bool
		whole  bool
	}{
		"HEAD":        {"HEAD", http.StatusOK, true, true},
		"204":         {"GET", http.StatusNoContent, true, true},
		"304":         {"GET", http.StatusNotModified, true, true},
		"202":         {"GET", http.StatusAccepted, false, true},
		"202 flushed": {"GET", http.StatusAccepted, true, false}, // without its length it is the beginning of a stream
	} {
		for _, how := range []string{h1, h2c} {
			t.Run(name+" "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := memory()
					l := begin(t, n, setup{handler: func(w http.ResponseWriter, r *http.Request) {
						w.WriteHeader(tt.status)
						if tt.flush {
							_ = http.NewResponseController(w).Flush()
						}
						<-r.Context().Done()
					}})
					came := n.client(t, how).start(tt.method, "/", nil)
					time.Sleep(time.Second)
					l.shutdown(t)
					if a := <-came; (a.err == nil) != tt.whole || tt.whole && a.status != tt.status {
						t.Errorf("%d, %v", a.status, a.err)
					}
				})
			})
		}
	}
}

// A handler that says nothing answers 200: that ends the connection, too.
func TestAnswersOfSilentHandlersCloseTheConnection(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"nothing":          func(http.ResponseWriter, *http.Request) {},
		"a header":         func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Etag", "1") },
		"hints":            func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusEarlyHints) },
		"an empty file":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, http.NoBody) },
		"a TimeoutHandler": http.TimeoutHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), time.Second, "").ServeHTTP,
	} {
		for _, version := range []string{"1.1", "1.0"} {
			t.Run(name+" "+version, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := memory()
					l := begin(t, n, setup{handler: handle, budget: lastcall.Budget{Total: 10 * time.Second, Settle: 4 * time.Second, Reserve: 2 * time.Second}})
					c := n.connect(t)
					br := bufio.NewReader(c)
					for _, closes := range []bool{false, true} {
						raw(t, c, "GET / HTTP/%s\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", version)
						a := readAnswer(br)
						for a.status == http.StatusEarlyHints {
							a = readAnswer(br)
						}
						a.wantOK(t, "")
						if a.close != closes {
							t.Errorf("close %v, want %v: %v", a.close, closes, a.header)
						}
						if !closes {
							l.trigger()
							time.Sleep(time.Second)
						}
					}
					wantDrained(t, l.report(t))
				})
			})
		}
	}
}

// Answers of HTTP/1.x end their connection from the announcement on, whose requests were
// in flight then, too, and say so to clients of HTTP/1.0.
func TestAnswersInFlightCloseTheConnection(t *testing.T) {
	for _, version := range []string{"1.1", "1.0"} {
		for name, settle := range map[string]time.Duration{"settle": 4 * time.Second, "drain": 0} {
			t.Run(version+" "+name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := memory()
					l := begin(t, n, setup{
						budget: lastcall.Budget{Total: 10 * time.Second, Settle: settle, Reserve: 2 * time.Second},
						handler: func(w http.ResponseWriter, r *http.Request) {
							w.Header().Set("Content-Length", "2")
							if r.URL.Path == "/slow" {
								time.Sleep(2 * time.Second)
							}
							_, _ = io.WriteString(w, "ok")
						},
					})
					c := n.connect(t)
					br := bufio.NewReader(c)
					raw(t, c, "GET / HTTP/%s\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", version)
					if a := readAnswer(br); a.close || a.err != nil {
						t.Errorf("before: close %v, %v", a.close, a.err)
					}
					raw(t, c, "GET /slow HTTP/%s\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", version)
					time.Sleep(time.Second)
					l.trigger()
					a := readAnswer(br)
					a.wantOK(t, "ok")
					if !a.close || strings.EqualFold(a.header.Get("Connection"), "keep-alive") {
						t.Errorf("close %v, %v", a.close, a.header)
					}
					if _, err := br.ReadByte(); err != io.EOF {
						t.Errorf("the connection is open: %v", err)
					}
					if at := time.Since(l.asked); at != time.Second {
						t.Errorf("closed after %v", at)
					}
					wantDrained(t, l.report(t))
				})
			})
		}
	}
}

// http.MaxBytesReader does not find net/http's ResponseWriter. A 413 closes the connection
// all the same.
func TestMaxBytesReader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		l := begin(t, n, setup{handler: func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10)); err != nil {
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			}
		}})
		a := n.client(t, h1).do("POST", "/", strings.NewReader(strings.Repeat("x", 1000)))
		if a.status != http.StatusRequestEntityTooLarge || !a.close {
			t.Errorf("%d, close %v, %v", a.status, a.close, a.err)
		}
		wantDrained(t, l.shutdown(t))
	})
}

// A function of WithPattern that hangs is asked once, and named.
func TestPatternHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		block := make(chan struct{})
		defer close(block)
		l := begin(t, n, setup{
			adapter: []httpadapter.Option{httpadapter.WithPattern(func(*http.Request) string { <-block; return "" })},
			handler: func(w http.ResponseWriter, r *http.Request) {
				<-lastcall.Draining(r.Context())
				_, _ = io.WriteString(w, "ok")
			},
		})
		var came []<-chan answer
		for range 20 {
			came = append(came, n.client(t, h1).start("GET", "/", nil))
		}
		synctest.Wait()
		r := l.shutdown(t)
		for _, c := range came {
			(<-c).wantOK(t, "ok")
		}
		wantDrained(t, r)
		wantWork(t, r, "GET (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 20, Completed: 20})
		wantWork(t, r, "WithPattern", lastcall.Work{Kind: lastcall.WorkCall, Running: work(r, "WithPattern").Running})
		if work(r, "WithPattern").Running == 0 || l.took > 30*time.Millisecond {
			t.Errorf("took %v, %+v", l.took, r.Work)
		}
	})
}

// outer is a wrapper of the kind that http.ResponseController looks through.
type outer struct{ http.ResponseWriter }

func (o outer) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// round is a wrapper that has itself inside.
type round struct{ http.ResponseWriter }

func (r *round) Unwrap() http.ResponseWriter { return r }

// A handler may name its route itself. Where no route is known, the path of the oldest
// request is told, without its query, and not all of a long one.
func TestSetPattern(t *testing.T) {
	for name, tt := range map[string]struct {
		set        func(http.ResponseWriter, *http.Request) bool
		found      bool
		want, path string
	}{
		"set": {func(w http.ResponseWriter, r *http.Request) bool { return httpadapter.SetPattern(w, r, "/orders/:id") }, true, "GET /orders/:id", ""},
		"through another": {func(w http.ResponseWriter, r *http.Request) bool {
			return httpadapter.SetPattern(outer{outer{w}}, r, "/orders/:id")
		}, true, "GET /orders/:id", ""},
		"empty": {func(w http.ResponseWriter, r *http.Request) bool { return httpadapter.SetPattern(w, r, "") }, true, "GET (no pattern)", "/orders/" + strings.Repeat("7", 92)},
		"hidden": {func(w http.ResponseWriter, r *http.Request) bool {
			return httpadapter.SetPattern(struct{ http.ResponseWriter }{w}, r, "/x")
		}, false, "GET (no pattern)", "/orders/" + strings.Repeat("7", 92)},
		"in a circle": {func(w http.ResponseWriter, r *http.Request) bool {
			return httpadapter.SetPattern(&round{w}, r, "/x")
		}, false, "GET (no pattern)", "/orders/" + strings.Repeat("7", 92)},
	} {
		for _, how := range []string{h1, h2c} {
			t.Run(name+" "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := memory()
					l := begin(t, n, setup{handler: func(w http.ResponseWriter, r *http.Request) {
						if found := tt.set(w, r); found != tt.found {
							t.Errorf("SetPattern returned %v", found)
						}
						<-lastcall.Draining(r.Context())
					}})
					came := n.client(t, how).start("GET", "/orders/"+strings.Repeat("7", 200)+"?token=secret", nil)
					synctest.Wait()
					if all := l.adapter.InFlight(); len(all) != 1 || all[0].Name != tt.want || all[0].Path != tt.path {
						t.Errorf("%+v", all)
					}
					wantDrained(t, l.shutdown(t))
					(<-came).wantOK(t, "")
				})
			})
		}
	}
}
