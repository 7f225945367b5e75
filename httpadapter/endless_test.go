package httpadapter_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// Event streams and long polls that know only their contexts end as the drain begins, and
// are answered as their handlers like: with 503 if they say nothing.
func TestEndlessPaths(t *testing.T) {
	events := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		_, _ = io.WriteString(w, context.Cause(r.Context()).Error())
	}
	poll := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if <-r.Context().Done(); status != 0 {
				w.WriteHeader(status)
			}
		}
	}
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		status int
		body   string
	}{
		"events":                   {events, 200, lastcall.ErrDraining.Error()},
		"a poll that says nothing": {poll(0), 503, "the server is shutting down\n"},
		"a poll with no news":      {poll(204), 204, ""},
		"a poll that says 200":     {poll(200), 200, ""},
		"a poll that fails":        {poll(500), 500, ""},
	} {
		for _, how := range []string{h1, h2c, h2, h1s} {
			t.Run(name+" "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := on(t, memory(), how)
					l := begin(t, n, setup{
						server:  &http.Server{Handler: routes("GET /feeds/{id}", tt.handle)},
						adapter: []httpadapter.Option{httpadapter.WithEndlessPaths("GET /feeds/{id}")},
						budget:  lastcall.Budget{Total: 16 * time.Second, Settle: 3 * time.Second, Reserve: 6 * time.Second},
					})
					came := n.client(t, how).start("GET", "/feeds/7", nil)
					time.Sleep(time.Second)
					r := l.shutdown(t)
					a := <-came
					if a.err != nil || a.status != tt.status || a.body != tt.body {
						t.Errorf("%d %q, %v", a.status, a.body, a.err)
					}
					if at := a.at.Sub(l.asked); at != 3*time.Second {
						t.Errorf("answered after %v", at)
					}
					wantDrained(t, r)
					wantWork(t, r, "GET /feeds/{id}", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Completed: 1})
				})
			})
		}
	}
}

// A handler that reads a body without an end (a stream in both directions, of connect for
// example) is woken when what is on its way has had a second: a context ends no Read.
func TestEndlessBodies(t *testing.T) {
	for _, how := range []string{h1, h2c, h2, h1s} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				l := begin(t, n, setup{
					adapter: []httpadapter.Option{httpadapter.WithEndlessPaths("POST /chat")},
					handler: func(w http.ResponseWriter, r *http.Request) {
						if _, err := io.Copy(io.Discard, r.Body); err == nil || !errors.Is(context.Cause(r.Context()), lastcall.ErrDraining) {
							t.Errorf("read with %v, and the context ended with %v", err, context.Cause(r.Context()))
						}
					},
				})
				body, says := io.Pipe()
				came := n.client(t, how).start("POST", "/chat", body)
				_, _ = io.WriteString(says, "hello") // the handler reads
				time.Sleep(time.Second)
				r := l.shutdown(t)
				a := <-came
				_ = says.Close()
				if a.err != nil || a.status != http.StatusServiceUnavailable || a.at.Sub(l.asked) != time.Second {
					t.Errorf("%d, %v, after %v", a.status, a.err, a.at.Sub(l.asked))
				}
				wantDrained(t, r)
				wantWork(t, r, "POST (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Completed: 1})
			})
		})
	}
}

// A server that is After another one ends its endless requests when the drain begins, as
// the requests of the other may wait for them; others are served until it drains itself.
func TestEndlessPathsBehindAnotherServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		in, out := memory(), memory()
		inner := httpadapter.New(in.Listener, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/events" {
				<-r.Context().Done()
			}
			_, _ = io.WriteString(w, "ok")
		})}, httpadapter.WithEndlessPaths("/events"))
		l := begin(t, out, setup{
			controller: []controller.Option{controller.WithServer("inner", inner, controller.After("http"))},
			handler: func(w http.ResponseWriter, _ *http.Request) {
				c := in.client(t, h1)
				c.do("GET", "/events", nil).wantOK(t, "ok")
				time.Sleep(time.Second)
				c.do("GET", "/other", nil).wantOK(t, "ok")
				c.do("GET", "/events", nil).wantOK(t, "ok") // its context has ended already
				_, _ = io.WriteString(w, "ok")
			},
		})
		came := out.client(t, h1).start("GET", "/", nil)
		time.Sleep(time.Second)
		wantDrained(t, l.shutdown(t))
		(<-came).wantOK(t, "ok")
		l.wantTook(t, time.Second)
	})
}

// Other requests do not notice that there are endless ones.
func TestOtherPathsDoNotEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		l := begin(t, n, setup{adapter: []httpadapter.Option{httpadapter.WithEndlessPaths("POST /events")}, handler: func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * time.Second)
			if r.Context().Err() == nil {
				_, _ = io.WriteString(w, "ok")
			}
		}})
		came := n.client(t, h1).start("GET", "/events", nil)
		time.Sleep(time.Second)
		wantDrained(t, l.shutdown(t))
		(<-came).wantOK(t, "ok")
	})
}

// Patterns that are wrong are errors from New; those that nothing serves, from Serve.
func TestWrongEndlessPaths(t *testing.T) {
	for pattern, want := range map[string]string{
		"events": `"events"`, "": `""`, "/a/{": `"/a/{"`, "GET": `"GET"`, "/x/{id}/{id}": "duplicate wildcard",
	} {
		n := memory()
		_, err := controller.New(usual(), controller.WithServer("http", httpadapter.New(n.Listener, &http.Server{}, httpadapter.WithEndlessPaths(pattern))))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "WithEndlessPaths") {
			t.Errorf("%q: %v", pattern, err)
		}
	}
	_, err := controller.New(usual(), controller.WithServer("http", httpadapter.New(memory().Listener, &http.Server{}, httpadapter.WithEndlessPaths())))
	if err == nil || !strings.Contains(err.Error(), "no pattern") {
		t.Error(err)
	}
	mux := routes("GET /feeds/{id}", http.NotFound)
	mux.HandleFunc("POST /all/{rest...}", http.NotFound)
	mux.HandleFunc("example.com/{$}", http.NotFound)
	mux.HandleFunc("GET /users/{id}/events", http.NotFound)
	for pattern, ok := range map[string]bool{
		"/feeds/{x}": true, "GET /feeds/{x}": true, "HEAD /feeds/{x}": true, "/all/": true, "/all/{r...}": true, "example.com/{$}": true,
		"/feeds/": true, "GET /feeds/{x...}": true, "/all/deep/": true, "/users/": true, "/users/{id}/{rest...}": true,
		"/none/": true, // what is below it cannot be known
		"/feeds": false, "POST /feeds/{x}": false, "/{$}": false, "example.com/x": false,
	} {
		s := httpadapter.New(memory().Listener, &http.Server{Handler: mux}, httpadapter.WithEndlessPaths(pattern))
		s.GracefulStop() // so that Serve returns
		switch err := s.Serve(); {
		case ok && err != nil:
			t.Errorf("%q: %v", pattern, err)
		case !ok && (err == nil || !strings.Contains(err.Error(), "no route") || errors.Is(err, http.ErrServerClosed)):
			t.Errorf("%q: %v", pattern, err)
		}
	}
}
