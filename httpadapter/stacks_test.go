package httpadapter_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// G15: a handler that hangs, and a task that it has left behind, are named with the line of
// code where they stand.
func TestG15_DeafHandler(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	never, in, background := make(chan struct{}), make(chan [2]int, 1), drain.New()
	defer close(never)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /deaf/{id}", func(_ http.ResponseWriter, req *http.Request) {
		lines := make(chan int, 1)
		_ = background.Watcher().Go(req.Context(), "mail", func(context.Context) {
			_, _, line, _ := runtime.Caller(0)
			lines <- line + 2
			<-never
		})
		task := <-lines
		_, _, line, _ := runtime.Caller(0)
		in <- [2]int{line + 2, task}
		<-never
	})
	c, err := controller.New(lastcall.Budget{Total: 2500 * time.Millisecond, Reserve: 2 * time.Second}, controller.WithSignals(), controller.WithoutStderr(),
		controller.WithServer("http", httpadapter.New(lis, &http.Server{Handler: mux, ReadHeaderTimeout: time.Second})),
		controller.WithServer("background", background, controller.After("http")))
	if err != nil {
		t.Fatal(err)
	}
	var lines [2]int
	go func() {
		go func() {
			resp, err := http.Get("http://" + lis.Addr().String() + "/deaf/7") //nolint:noctx // the server ends it
			if err == nil {
				resp.Body.Close()
			}
		}()
		lines = <-in
		c.Shutdown(nil)
	}()
	r := c.Run(context.Background())
	for name, line := range map[string]int{"GET /deaf/{id} x1": lines[0], "mail x1": lines[1]} {
		found := false
		for text := range strings.Lines(r.String()) {
			found = found || strings.Contains(text, name) && strings.Contains(text, fmt.Sprintf("stacks_test.go:%d (", line)) && strings.Contains(text, "in channel receive")
		}
		if !found {
			t.Errorf("the summary does not have %s at line %d:\n%v", name, line, r)
		}
	}
}

// G15: of several handlers that hang each is named with its own line, by the pattern of its
// route, over HTTP/1.1 and over one connection of HTTP/2, also behind a router that no one but
// the user can ask, or that tells it; one that has taken its connection over is, too.
func TestG15_DeafHandlersApart(t *testing.T) {
	pattern := func(mux *http.ServeMux, r *http.Request) string { _, p := mux.Handler(r); return p }
	routers := map[string]func(*http.ServeMux, string) (http.Handler, []httpadapter.Option){
		"mux": func(mux *http.ServeMux, _ string) (http.Handler, []httpadapter.Option) { return mux, nil },
		"WithPattern": func(mux *http.ServeMux, _ string) (http.Handler, []httpadapter.Option) {
			return http.HandlerFunc(mux.ServeHTTP), []httpadapter.Option{httpadapter.WithPattern(func(r *http.Request) string { return pattern(mux, r) })}
		},
		"SetPattern": func(mux *http.ServeMux, how string) (http.Handler, []httpadapter.Option) {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				pprof.Do(r.Context(), pprof.Labels("middleware", how), func(ctx context.Context) {
					r := r.WithContext(ctx)
					httpadapter.SetPattern(w, r, pattern(mux, r))
					mux.ServeHTTP(w, r)
				})
			}), nil
		},
	}
	for router, route := range routers {
		for _, how := range []string{h1, h2c} {
			t.Run(router+" "+how, func(t *testing.T) {
				t.Parallel()
				deafApart(t, how, router, route)
			})
		}
	}
}

func deafApart(t *testing.T, how, router string, route func(*http.ServeMux, string) (http.Handler, []httpadapter.Option)) {
	t.Helper()
	never := make(chan struct{})
	defer close(never)
	in := make(chan struct{}, 4)
	lines := map[string]int{}
	line := func(name string) {
		_, _, n, _ := runtime.Caller(1)
		lines[name] = n + 2
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /a/{id}", func(_ http.ResponseWriter, req *http.Request) {
		line("GET /a/{id} x1")
		in <- struct{}{}
		<-never
	})
	mux.HandleFunc("/b", func(http.ResponseWriter, *http.Request) {
		line("POST /b x1")
		in <- struct{}{}
		<-never
	})
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {
		line("GET /healthz x1")
		in <- struct{}{}
		<-never
	})
	mux.HandleFunc("GET /socket", func(w http.ResponseWriter, _ *http.Request) {
		if how == h1 {
			if _, _, err := http.NewResponseController(w).Hijack(); err != nil {
				t.Error(err)
			}
		}
		line("GET /socket x1")
		in <- struct{}{}
		<-never
	})
	handler, options := route(mux, how)
	n := tcp(t)
	l := begin(t, n, setup{ // over HTTP/2 with labels of the user's
		budget: lastcall.Budget{Total: 2500 * time.Millisecond, Reserve: 2 * time.Second}, adapter: options, server: &http.Server{
			Handler: handler, ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
				if how == h2c {
					return pprof.WithLabels(ctx, pprof.Labels("mine", "yes"))
				}
				return ctx
			},
		}})
	c := n.client(t, how)
	for _, r := range [][2]string{{"GET", "/a/7"}, {"POST", "/b"}, {"GET", "/healthz"}, {"GET", "/socket"}} {
		go c.do(r[0], r[1], nil)
		<-in // one after the other
	}
	var profile strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil || router == "SetPattern" && !strings.Contains(profile.String(), fmt.Sprintf(`"middleware":%q`, how)) {
		t.Errorf("the labels of the middleware are lost: %v, in\n%s", err, profile.String())
	}
	r := l.shutdown(t)
	for name, line := range lines {
		found := ""
		for text := range strings.Lines(r.String()) {
			if strings.Contains(text, name) {
				found = text
			}
		}
		if !strings.Contains(found, fmt.Sprintf("stacks_test.go:%d (", line)) || strings.Count(found, "stacks_test.go:") != 1 {
			t.Errorf("%s, at line %d: %q, in\n%v", name, line, found, r)
		}
	}
}
