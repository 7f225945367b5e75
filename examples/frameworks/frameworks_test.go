// Package frameworks shows what gin, echo, chi and WebSocket libraries need: how reports get
// routes, and what clients of streams and WebSockets see.
package frameworks

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"
	echo5 "github.com/labstack/echo/v5"
	echo5middleware "github.com/labstack/echo/v5/middleware"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// holds has requests wait for the drain.
type holds struct{ came chan struct{} }

func (h holds) wait(ctx context.Context) {
	h.came <- struct{}{}
	<-lastcall.Draining(ctx)
}

// withGin: a middleware that runs first tells the route, which gin has found by then.
func withGin(h holds) (http.Handler, []httpadapter.Option) {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.Use(func(c *gin.Context) {
		httpadapter.SetPattern(c.Writer, c.Request, c.FullPath())
		c.Next()
	})
	e.GET("/orders/:id", func(c *gin.Context) { h.wait(c.Request.Context()); c.String(http.StatusOK, "ok") })
	return e, nil
}

// withEcho: the same.
func withEcho(h holds) (http.Handler, []httpadapter.Option) {
	e := echo.New()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			httpadapter.SetPattern(c.Response(), c.Request(), c.Path())
			return next(c)
		}
	})
	e.GET("/orders/:id", func(c echo.Context) error { h.wait(c.Request().Context()); return c.String(http.StatusOK, "ok") })
	return e, nil
}

// withEcho5: the same with version 5, where Response returns a http.ResponseWriter.
func withEcho5(h holds) (http.Handler, []httpadapter.Option) {
	e := echo5.New()
	e.Use(func(next echo5.HandlerFunc) echo5.HandlerFunc {
		return func(c *echo5.Context) error {
			httpadapter.SetPattern(c.Response(), c.Request(), c.Path())
			return next(c)
		}
	})
	e.GET("/orders/:id", func(c *echo5.Context) error { h.wait(c.Request().Context()); return c.String(http.StatusOK, "ok") })
	return e, nil
}

// withChi: its middleware runs before it has found the route, so it is asked for that.
func withChi(h holds) (http.Handler, []httpadapter.Option) {
	r := chi.NewRouter()
	r.Use(middleware.Logger, middleware.Compress(5))
	r.Get("/orders/{id}", func(w http.ResponseWriter, r *http.Request) { h.wait(r.Context()); _, _ = w.Write([]byte("ok")) })
	return r, []httpadapter.Option{httpadapter.WithPattern(func(req *http.Request) string {
		return r.Find(chi.NewRouteContext(), req.Method, req.URL.Path)
	})}
}

func TestRoutes(t *testing.T) {
	for name, tt := range map[string]struct {
		build func(holds) (http.Handler, []httpadapter.Option)
		want  string
	}{
		"gin":    {withGin, "GET /orders/:id"},
		"echo":   {withEcho, "GET /orders/:id"},
		"echo 5": {withEcho5, "GET /orders/:id"},
		"chi":    {withChi, "GET /orders/{id}"},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, tt.build, func(w lastcall.Work) bool { return w.Name == tt.want && w.Running == 1 && w.Path == "" })
		})
	}
}

// Without that the report has the path of the oldest request, without its query.
func TestPathWithoutRoute(t *testing.T) {
	build := func(h holds) (http.Handler, []httpadapter.Option) {
		handler, _ := withChi(h)
		return handler, nil
	}
	serve(t, build, func(w lastcall.Work) bool { return w.Name == "GET (no pattern)" && w.Path == "/orders/17" })
}

// serve makes a request, ends the server, and checks what was in flight as the drain began.
func serve(t *testing.T, build func(holds) (http.Handler, []httpadapter.Option), isIt func(lastcall.Work) bool) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	held := holds{make(chan struct{})}
	handler, options := build(held)
	h := httpadapter.New(lis, &http.Server{Handler: handler}, options...)
	ctl, err := controller.New(lastcall.Budget{Total: 10 * time.Second, Reserve: 5 * time.Second}, controller.WithSignals(), controller.WithServer("http", h))
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { defer close(over); ctl.Run(context.Background()) }()
	<-ctl.Serving()
	answered := make(chan error, 1)
	go func() {
		resp, err := get(context.Background(), "http://"+lis.Addr().String()+"/orders/17?token=secret")
		if err == nil {
			err = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
		answered <- err
	}()
	<-held.came
	work := h.InFlight()
	if len(work) != 1 || !isIt(work[0]) || strings.Contains(work[0].Path, "secret") {
		t.Errorf("in flight: %+v", work)
	}
	ctl.Shutdown(nil)
	<-over
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// Two routes with a handler each that does not come back are told apart: the report has the
// line of code of each.
func TestDeafRoutes(t *testing.T) {
	for name, build := range map[string]func(func(), func()) (http.Handler, []httpadapter.Option){
		"gin": func(order, invoice func()) (http.Handler, []httpadapter.Option) {
			gin.SetMode(gin.ReleaseMode)
			e := gin.New()
			e.Use(func(c *gin.Context) {
				httpadapter.SetPattern(c.Writer, c.Request, c.FullPath())
				c.Next()
			})
			e.GET("/orders/:id", func(*gin.Context) { order() })
			e.GET("/invoices/:id", func(*gin.Context) { invoice() })
			return e, nil
		},
		"echo": func(order, invoice func()) (http.Handler, []httpadapter.Option) {
			e := echo.New()
			e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(c echo.Context) error {
					httpadapter.SetPattern(c.Response(), c.Request(), c.Path())
					return next(c)
				}
			})
			e.GET("/orders/:id", func(echo.Context) error { order(); return nil })
			e.GET("/invoices/:id", func(echo.Context) error { invoice(); return nil })
			return e, nil
		},
		"chi": func(order, invoice func()) (http.Handler, []httpadapter.Option) {
			r := chi.NewRouter()
			r.Use(middleware.Logger, middleware.Compress(5))
			r.Get("/orders/{id}", func(http.ResponseWriter, *http.Request) { order() })
			r.Get("/invoices/{id}", func(http.ResponseWriter, *http.Request) { invoice() })
			return r, []httpadapter.Option{httpadapter.WithPattern(func(req *http.Request) string {
				return r.Find(chi.NewRouteContext(), req.Method, req.URL.Path)
			})}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, never := make(chan struct{}, 2), make(chan struct{})
			defer close(never)
			handler, options := build(func() { deafOrder(in, never) }, func() { deafInvoice(in, never) })
			ctl, addr := run(t, handler, lastcall.Budget{Total: 4 * time.Second, Reserve: 2 * time.Second}, options...)
			for _, path := range []string{"/orders/17", "/invoices/4"} {
				go func() {
					if resp, err := get(t.Context(), "http://"+addr+path); err == nil {
						_ = resp.Body.Close()
					}
				}()
				<-in
			}
			ctl.Shutdown(nil)
			r, err := ctl.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for route, function := range map[string]string{"GET /orders/": "(frameworks.deafOrder, in channel receive)", "GET /invoices/": "(frameworks.deafInvoice, in channel receive)"} {
				found := ""
				for line := range strings.Lines(r.String()) {
					if strings.Contains(line, "running   "+route) {
						found = line
					}
				}
				if !strings.Contains(found, function) || strings.Count(found, "(frameworks.") != 1 {
					t.Errorf("%s: %q, in\n%v", route, found, r)
				}
			}
		})
	}
}

func deafOrder(in chan<- struct{}, never <-chan struct{})   { in <- struct{}{}; <-never }
func deafInvoice(in chan<- struct{}, never <-chan struct{}) { in <- struct{}{}; <-never }

// A framework answers the end of a request's context in its own way, most with 500. At the
// timer clients hear 503 all the same.
func TestTimer(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	g := gin.New()
	g.Use(gin.Recovery())
	g.GET("/orders/:id", func(c *gin.Context) {
		<-c.Request.Context().Done()
		c.AbortWithStatusJSON(http.StatusInternalServerError, gin.H{"error": c.Request.Context().Err().Error()})
	})
	e := echo.New()
	e.Use(echomiddleware.Gzip(), echomiddleware.Recover())
	e.GET("/orders/:id", func(c echo.Context) error { <-c.Request().Context().Done(); return c.Request().Context().Err() })
	e5 := echo5.New()
	e5.Use(echo5middleware.Gzip(), echo5middleware.Recover())
	e5.GET("/orders/:id", func(c *echo5.Context) error { <-c.Request().Context().Done(); return c.Request().Context().Err() })
	r := chi.NewRouter()
	r.Use(middleware.Compress(5), middleware.Recoverer)
	r.Get("/orders/{id}", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); panic(r.Context().Err()) })
	for name, handler := range map[string]http.Handler{"gin": g, "echo": e, "echo 5": e5, "chi": r} {
		t.Run(name, func(t *testing.T) {
			came := make(chan struct{})
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { close(came); handler.ServeHTTP(w, r) })
			ctl, addr := run(t, handler, lastcall.Budget{Total: 5 * time.Second, Reserve: 4900 * time.Millisecond})
			go func() { <-came; ctl.Shutdown(nil) }()
			resp, err := get(t.Context(), "http://"+addr+"/orders/17")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
				t.Errorf("%s, %v", resp.Status, resp.Header)
			}
		})
	}
}

// run serves a handler until the end of the test, and returns its address.
func run(t *testing.T, handler http.Handler, budget lastcall.Budget, options ...httpadapter.Option) (*controller.Controller, string) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctl, err := controller.New(budget, controller.WithSignals(), controller.WithServer("http", httpadapter.New(lis, &http.Server{Handler: handler}, options...)))
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { defer close(over); ctl.Run(context.Background()) }()
	t.Cleanup(func() { ctl.Force(); <-over })
	<-ctl.Serving()
	return ctl, lis.Addr().String()
}

func get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}
