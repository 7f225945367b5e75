package httpadapter_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
)

type key struct{}

// What the user has set in the http.Server works as without the adapter. Only what Serve
// puts hooks around is changed.
func TestUsersFields(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		var mu sync.Mutex
		var states []http.ConnState
		var base net.Listener
		var seen, given net.Conn
		downs := 0
		srv := &http.Server{
			ReadTimeout: time.Hour,
			BaseContext: func(l net.Listener) context.Context { base = l; return context.WithValue(t.Context(), key{}, "base") },
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				seen = c
				return context.WithValue(ctx, key{}, ctx.Value(key{}).(string)+" conn")
			},
			ConnState: func(c net.Conn, s http.ConnState) {
				mu.Lock()
				defer mu.Unlock()
				given = c
				states = append(states, s)
			},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				at, ok := lastcall.TimerAt(r.Context())
				_, _ = fmt.Fprint(w, r.Context().Value(key{}), r.Context().Value(http.ServerContextKey).(*http.Server).ReadTimeout, at.IsZero(), ok)
			}),
		}
		srv.RegisterOnShutdown(func() { mu.Lock(); defer mu.Unlock(); downs++ })
		srv.Protocols = all()
		before := fields(srv)
		l := begin(t, n, setup{server: srv})
		n.client(t, h1).do("GET", "/", nil).wantOK(t, "base conn1h0m0s true false")
		wantDrained(t, l.shutdown(t))
		synctest.Wait()
		if base != n.Listener {
			t.Errorf("BaseContext was given %T", base)
		}
		if strings.Contains(fmt.Sprintf("%T", seen), "httpadapter.") || seen != given {
			t.Errorf("ConnContext was given %T, ConnState %T", seen, given)
		}
		if want := []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateClosed}; !slices.Equal(states, want) {
			t.Errorf("states %v, want %v", states, want)
		}
		if downs != 1 {
			t.Errorf("the function of RegisterOnShutdown was called %d times", downs)
		}
		after := fields(srv)
		for _, hooked := range []string{"Handler", "ConnState", "ConnContext", "BaseContext", "TLSConfig", "TLSNextProto"} { // net/http sets the last two
			delete(before, hooked)
			delete(after, hooked)
		}
		if !reflect.DeepEqual(before, after) {
			t.Errorf("the http.Server was %v, is %v", before, after)
		}
	})
}

// fields returns the exported fields in words: functions by their address.
func fields(srv *http.Server) map[string]string {
	all := map[string]string{}
	v := reflect.ValueOf(srv).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() {
			all[f.Name] = fmt.Sprint(v.Field(i).Interface())
		}
	}
	return all
}

// One http.Server cannot have two adapters: one call of its Shutdown would drain both. The
// second one says so.
func TestTwoAdapters(t *testing.T) {
	srv := &http.Server{Handler: http.NotFoundHandler()}
	_, err := controller.New(usual(),
		controller.WithServer("one", httpadapter.New(memory().Listener, srv)),
		controller.WithServer("two", httpadapter.New(memory().Listener, srv)))
	if err == nil || !strings.Contains(err.Error(), "another adapter") {
		t.Errorf("error %v", err)
	}
}

// The Handler may be set after New, and put into another one: a request is served once,
// and counted once.
func TestHandlerSetLater(t *testing.T) {
	ok := func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(2 * time.Second)
		_, _ = io.WriteString(w, "ok")
	}
	for name, set := range map[string]func(*http.Server){
		"another": func(srv *http.Server) { srv.Handler = http.HandlerFunc(ok) },
		"around":  func(srv *http.Server) { srv.Handler = http.StripPrefix("/x", srv.Handler) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := memory()
				srv := &http.Server{Handler: http.HandlerFunc(ok)}
				s := httpadapter.New(n.Listener, srv)
				ctl, err := controller.New(usual(), controller.WithSignals(), controller.WithServer("http", s))
				if err != nil {
					t.Fatal(err)
				}
				set(srv)
				over := make(chan report.Report)
				go func() { over <- ctl.Run(context.Background()) }()
				came := n.client(t, h1).start("GET", "/x", nil)
				time.Sleep(time.Second)
				ctl.Shutdown(errAsked)
				r := <-over
				(<-came).wantOK(t, "ok")
				wantWork(t, r, "GET (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Completed: 1})
			})
		})
	}
}

// The Handler of an http.Server with an adapter is inside that of another one: requests to
// that are its own, and only its own.
func TestHandlerOfAnotherAdapter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		inner := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(2 * time.Second)
			_, _ = io.WriteString(w, "ok")
		})}
		private, n := httpadapter.New(memory().Listener, inner), memory()
		outer := httpadapter.New(n.Listener, &http.Server{Handler: http.StripPrefix("/x", inner.Handler)})
		ctl, err := controller.New(usual(), controller.WithSignals(), controller.WithServer("private", private), controller.WithServer("public", outer))
		if err != nil {
			t.Fatal(err)
		}
		over := make(chan report.Report)
		go func() { over <- ctl.Run(context.Background()) }()
		came := n.client(t, h1).start("GET", "/x", nil)
		time.Sleep(time.Second)
		ctl.Shutdown(errAsked)
		r := <-over
		(<-came).wantOK(t, "ok")
		if len(r.Work) != 1 || r.Work[0].Server != "public" || r.Work[0].Completed != 1 {
			t.Errorf("counted as %+v", r.Work)
		}
	})
}

// Somebody who calls Shutdown of the http.Server triggers the shutdown.
func TestForeignShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(2 * time.Second)
			_, _ = io.WriteString(w, "ok")
		})}
		l := begin(t, n, setup{server: srv})
		came := n.client(t, h1).start("GET", "/", nil)
		time.Sleep(time.Second)
		l.asked = time.Now()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		wantDrained(t, l.report(t))
		l.wantTook(t, time.Second)
		(<-came).wantOK(t, "ok")
	})
}

// Close of the http.Server, called by other code, cuts off requests, and the report says so.
func TestForeignClose(t *testing.T) {
	for _, how := range []string{h1, h1s, h2c, h2} {
		for _, during := range []bool{false, true} {
			if during && (how == h2c || how == h2) {
				continue // the peer may have gone: net/http closes the connection then, too
			}
			t.Run(fmt.Sprint(how, ", in the drain: ", during), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := on(t, memory(), how)
					srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						select {
						case <-r.Context().Done():
						case <-time.After(time.Minute):
						}
					})}
					l := begin(t, n, setup{server: srv})
					came := n.client(t, how).start("GET", "/", nil)
					time.Sleep(time.Second)
					if l.asked = time.Now(); during {
						l.trigger()
						time.Sleep(time.Second)
					}
					if err := srv.Close(); err != nil {
						t.Error(err)
					}
					r := l.report(t)
					if a := <-came; a.err == nil {
						t.Errorf("the client got %d", a.status)
					}
					if r.Outcome != report.OutcomeStopped || r.ExitCode() != report.ExitInterrupted {
						t.Error(r)
					}
					wantWork(t, r, "GET (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Cut: 1})
					if !strings.Contains(r.String(), "other code called Close of the http.Server, which cut off 1 request") {
						t.Error(r)
					}
				})
			})
		}
	}
}

// An http.Server that was shut down before is a mistake: it serves nothing.
func TestShutDownBefore(t *testing.T) {
	for _, stop := range []func(*http.Server) error{(*http.Server).Close, func(s *http.Server) error { return s.Shutdown(t.Context()) }} {
		bubble(t, func(t *testing.T) {
			srv := &http.Server{}
			if err := stop(srv); err != nil {
				t.Fatal(err)
			}
			l := begin(t, memory(), setup{server: srv, neverReady: true})
			if r := l.report(t); r.ExitCode() != report.ExitFailed || !strings.Contains(r.String(), "was shut down before it served") {
				t.Error(r)
			}
		})
	}
}

// Requests are counted by the pattern of their route, however that is found, never by
// their path; and probes apart.
func TestNames(t *testing.T) {
	wait := func(http.ResponseWriter, *http.Request) { time.Sleep(2 * time.Second) }
	mux := routes("GET /orders/{id}", wait)
	mux.HandleFunc("/any/", wait)
	mux.HandleFunc("GET /readyz", wait)
	mux.HandleFunc("GET /internal/", wait)
	request := lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Completed: 1}
	infra := lastcall.Work{Kind: lastcall.WorkInfra, Before: 1, Completed: 1}
	outer := func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, 1)))
	}
	inner := func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(w, r) }
	pattern := func(r *http.Request) string { _, p := mux.Handler(r); return p }
	tests := map[string]struct {
		handler      http.Handler
		options      []httpadapter.Option
		method, path string
		agent        string
		want         string
		work         lastcall.Work
	}{
		"a pattern with a method":       {mux, nil, "GET", "/orders/17", "", "GET /orders/{id}", request},
		"HEAD":                          {mux, nil, "HEAD", "/orders/17", "", "GET /orders/{id}", request},
		"a pattern without":             {mux, nil, "PUT", "/any/thing", "", "PUT /any/", request},
		"a method that nobody knows":    {mux, nil, "BREW", "/any/thing", "", "(other method) /any/", request},
		"middleware that copies":        {http.HandlerFunc(outer), nil, "GET", "/orders/17", "", "GET (no pattern)", request},
		"middleware that does not":      {http.HandlerFunc(inner), nil, "GET", "/orders/17", "", "GET /orders/{id}", request},
		"middleware that was told of":   {http.HandlerFunc(outer), []httpadapter.Option{httpadapter.WithPattern(pattern)}, "GET", "/orders/17", "", "GET /orders/{id}", request},
		"a function that panics":        {http.HandlerFunc(outer), []httpadapter.Option{httpadapter.WithPattern(func(*http.Request) string { panic(1) })}, "GET", "/orders/17", "", "GET (no pattern)", request},
		"a probe":                       {mux, nil, "GET", "/readyz", "", "GET /readyz", infra},
		"a probe of kubelet":            {mux, nil, "GET", "/orders/17", "kube-probe/1.30", "GET /orders/{id}", infra},
		"infrastructure with an option": {mux, []httpadapter.Option{httpadapter.WithInfrastructurePaths("/internal/")}, "GET", "/internal/a/b", "", "GET /internal/", infra},
		"without it":                    {mux, nil, "GET", "/internal/a/b", "", "GET /internal/", request},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := memory()
				l := begin(t, n, setup{server: &http.Server{Handler: tt.handler}, adapter: tt.options})
				c := n.connect(t)
				go func() { _, _ = io.Copy(io.Discard, c) }()
				raw(t, c, "%s %s HTTP/1.1\r\nHost: x\r\nUser-Agent: %s\r\n\r\n", tt.method, tt.path, tt.agent)
				time.Sleep(time.Second)
				r := l.shutdown(t)
				wantDrained(t, r)
				wantWork(t, r, tt.want, tt.work)
				if len(r.Work) != 1 {
					t.Errorf("%+v", r.Work)
				}
			})
		})
	}
}

// Probes do not keep a settle going that waits for quiet; requests do.
func TestQuiet(t *testing.T) {
	for path, want := range map[string]time.Duration{"/livez": time.Second, "/orders": 4 * time.Second} {
		t.Run(path, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := memory()
				l := begin(t, n, setup{
					handler: func(http.ResponseWriter, *http.Request) {},
					budget:  lastcall.Budget{Total: 16 * time.Second, Settle: 5 * time.Second, Quiet: time.Second, Reserve: 6 * time.Second},
				})
				c := n.client(t, h1)
				go func() {
					for range 7 {
						time.Sleep(500 * time.Millisecond)
						c.do("GET", path, nil)
					}
				}()
				time.Sleep(250 * time.Millisecond)
				synctest.Wait()
				l.trigger()
				r := l.report(t)
				wantDrained(t, r)
				if path == "/orders" {
					l.wantTook(t, 3250*time.Millisecond+time.Second)
				} else {
					l.wantTook(t, want)
				}
				time.Sleep(5 * time.Second)
			})
		})
	}
}

// RPCs that come through ServeHTTP are answered, and the gRPC server behind the HTTP
// server stops after them.
func TestGRPC(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		g := grpcadapter.New(nil, grpcadapter.OverHTTP())
		srv := g.NewServer()
		testgrpc.RegisterTestServiceServer(srv, service{})
		l := begin(t, n, setup{
			server:     &http.Server{Handler: g},
			controller: []controller.Option{controller.WithServer("grpc", g, controller.After("http"))},
		})
		conn, err := grpc.NewClient("passthrough:///x",
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return n.dial(ctx) }),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		errs := make(chan error, 100)
		for range cap(errs) {
			go func() {
				_, err := testgrpc.NewTestServiceClient(conn).UnaryCall(context.Background(), &testgrpc.SimpleRequest{})
				errs <- err
			}()
		}
		time.Sleep(time.Second)
		r := l.shutdown(t)
		wantDrained(t, r)
		l.wantTook(t, 2*time.Second)
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		wantWork(t, r, "POST (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 100, Completed: 100})
	})
}

// service answers after three seconds.
type service struct {
	testgrpc.UnimplementedTestServiceServer
}

func (service) UnaryCall(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	time.Sleep(3 * time.Second)
	return &testgrpc.SimpleResponse{}, nil
}

// What is wrong with the arguments is an error of controller.New that says so.
func TestBadInput(t *testing.T) {
	var none *net.TCPListener
	tests := map[string]struct {
		server *httpadapter.Server
		want   string
	}{
		"zero":              {&httpadapter.Server{}, "not made by New"},
		"no listener":       {httpadapter.New(nil, &http.Server{}), "the listener is nil"},
		"a nil listener":    {httpadapter.New(none, &http.Server{}), "the listener is nil"},
		"no server":         {httpadapter.New(memory().Listener, nil), "the http.Server is nil"},
		"a nil option":      {httpadapter.New(memory().Listener, &http.Server{}, nil), "option 1 is nil"},
		"no handshake time": {httpadapter.New(memory().Listener, &http.Server{}, httpadapter.WithHandshakeTime(0)), "WithHandshakeTime was given 0s"},
		"less":              {httpadapter.New(memory().Listener, &http.Server{}, httpadapter.WithHandshakeTime(-time.Second)), "WithHandshakeTime was given -1s"},
		"no unit":           {httpadapter.New(memory().Listener, &http.Server{}, httpadapter.WithHandshakeTime(5)), "WithHandshakeTime is 5ns: a number without a unit"},
		"nil mux":           {httpadapter.New(memory().Listener, &http.Server{Handler: (*http.ServeMux)(nil)}), "the http.Server's Handler holds a nil value"},
		"nil HandlerFunc":   {httpadapter.New(memory().Listener, &http.Server{Handler: http.HandlerFunc(nil)}), "the http.Server's Handler holds a nil value"},
		"no key":            {httpadapter.New(memory().Listener, &http.Server{}, httpadapter.WithTLS("a", "")), `WithTLS was given the files "a" and ""`},
		"no function":       {httpadapter.New(memory().Listener, &http.Server{}, httpadapter.WithPattern(nil)), "WithPattern was given a nil function"},
		"no path":           {httpadapter.New(memory().Listener, &http.Server{}, httpadapter.WithInfrastructurePaths()), "no path"},
		"a bad path":        {httpadapter.New(memory().Listener, &http.Server{}, httpadapter.WithInfrastructurePaths("health")), `given "health"`},
		"all paths":         {httpadapter.New(memory().Listener, &http.Server{}, httpadapter.WithInfrastructurePaths("/")), `given "/"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := controller.New(usual(), controller.WithServer("http", tt.server))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if err := tt.server.Serve(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Serve: %v", err)
			}
			tt.server.Attach(new(controller.Controller))
			_ = tt.server.Announce(t.Context())
			tt.server.GracefulStop() // and nothing hangs
			tt.server.Cancel(t.Context(), errAsked)
			tt.server.Stop()
			tt.server.Cut()
			_, _, _, _ = tt.server.Addr(), tt.server.InFlight(), tt.server.Notes(), tt.server.LastArrival()
		})
	}
}

// What Serve finds wrong is a trigger and a failure, and closes the listener.
func TestServeFails(t *testing.T) {
	tests := map[string]struct {
		server  *http.Server
		options []httpadapter.Option
		want    string
	}{
		"no files":          {&http.Server{}, []httpadapter.Option{httpadapter.WithTLS("/none/cert", "/none/key")}, "/none/cert"},
		"a bad TLSConfig":   {&http.Server{TLSConfig: oddCiphers(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errAsked })}, []httpadapter.Option{httpadapter.WithTLS("", "")}, "CipherSuites"},
		"no base context":   {&http.Server{BaseContext: func(net.Listener) context.Context { return nil }}, nil, "nil context"},
		"a panic":           {&http.Server{BaseContext: func(net.Listener) context.Context { panic("boom") }}, nil, "boom"},
		"the end of a hook": {&http.Server{BaseContext: func(net.Listener) context.Context { goexit(); return nil }}, nil, "ended its goroutine"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := memory()
				s := httpadapter.New(n.Listener, tt.server, tt.options...)
				if err := s.Serve(); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Serve: %v, want %q", err, tt.want)
				}
				synctest.Wait()
				if _, err := n.dial(t.Context()); err == nil {
					t.Error("the listener is open")
				}
				if err := s.Serve(); err == nil || !strings.Contains(err.Error(), "before") {
					t.Errorf("the second Serve: %v", err)
				}
			})
		})
	}
}

// oddCiphers returns a configuration with which HTTP/2 is not possible.
func oddCiphers(cert func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{GetCertificate: cert, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}, MinVersion: tls.VersionTLS12}
}

// A listener that does not obey holds nobody up, and is named.
func TestStubbornListener(t *testing.T) {
	block := make(chan struct{})
	tests := map[string]struct {
		lis  *faults.Listener
		left string
	}{
		"Accept ignores Close": {&faults.Listener{OnAccept: func() (net.Conn, error) { <-block; return nil, errors.New("late") }}, "net.Listener.Accept"},
		"Close hangs":          {&faults.Listener{OnClose: func() error { <-block; return nil }}, "net.Listener.Close"},
		"Close panics":         {&faults.Listener{OnClose: func() error { panic("boom") }}, "net.Listener.Accept"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				block = make(chan struct{})
				n := memory()
				tt.lis.Listener = n.Listener
				l := begin(t, &network{Listener: tt.lis}, setup{handler: func(http.ResponseWriter, *http.Request) {}})
				synctest.Wait()
				r := l.shutdown(t)
				wantDrained(t, r)
				l.wantTook(t, 10*time.Millisecond) // a moment, so that the report names only what hangs
				found := false
				for _, w := range r.Work {
					found = found || w.Kind == lastcall.WorkCall && w.Name == tt.left && w.Running == 1
				}
				if !found {
					t.Errorf("%+v", r.Work)
				}
				close(block)
				n.Close()
				synctest.Wait()
			})
		})
	}
}

// An error of Accept that passes does not end the server, and does not hold its end.
func TestTemporaryError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		fails := 0
		lis := &faults.Listener{Listener: n.Listener, OnAccept: func() (net.Conn, error) {
			if fails++; fails > 1 && fails < 12 {
				return nil, temporary{}
			}
			return n.Accept()
		}}
		l := begin(t, &network{Listener: lis, dial: n.dial}, setup{handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }, server: &http.Server{ErrorLog: discard()}})
		c := (&network{Listener: lis, dial: n.dial}).client(t, h1)
		c.do("GET", "/", nil).wantOK(t, "ok")
		time.Sleep(2 * time.Second) // net/http is asleep
		wantDrained(t, l.shutdown(t))
		if l.took > 10*time.Millisecond {
			t.Errorf("the shutdown took %v", l.took)
		}
		time.Sleep(time.Second)
	})
}

type temporary struct{}

func (temporary) Error() string   { return "too many open files" }
func (temporary) Temporary() bool { return true }
func (temporary) Timeout() bool   { return false }

// A trigger before anything is served closes the listener.
func TestTriggerBeforeRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		ctl, err := controller.New(usual(), controller.WithSignals(), controller.WithServer("http", httpadapter.New(n.Listener, &http.Server{})))
		if err != nil {
			t.Fatal(err)
		}
		ctl.Shutdown(nil)
		wantDrained(t, ctl.Run(context.Background()))
		synctest.Wait()
		if _, err := n.dial(t.Context()); err == nil {
			t.Error("the listener is open")
		}
	})
}

// Without a Handler http.DefaultServeMux serves.
func TestDefaultServeMux(t *testing.T) {
	defer func(mux *http.ServeMux) { http.DefaultServeMux = mux }(http.DefaultServeMux)
	http.DefaultServeMux = http.NewServeMux()
	bubble(t, func(t *testing.T) {
		http.HandleFunc("GET /of-the-default-mux", func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(2 * time.Second)
			_, _ = io.WriteString(w, "ok")
		})
		n := memory()
		l := begin(t, n, setup{})
		came := n.client(t, h1).start("GET", "/of-the-default-mux", nil)
		time.Sleep(time.Second)
		r := l.shutdown(t)
		(<-came).wantOK(t, "ok")
		wantWork(t, r, "GET /of-the-default-mux", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Completed: 1})
	})
}

// A handler's ResponseController can do everything that it can without the adapter.
func TestResponseController(t *testing.T) {
	for _, how := range []string{h1, h2c} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := memory()
				l := begin(t, n, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
					rc := http.NewResponseController(w)
					_, _ = fmt.Fprint(w, rc.EnableFullDuplex(), rc.SetReadDeadline(time.Now().Add(time.Hour)), rc.SetWriteDeadline(time.Now().Add(time.Hour)), rc.Flush())
				}})
				n.client(t, how).do("GET", "/", nil).wantOK(t, "<nil> <nil> <nil> <nil>")
				l.shutdown(t)
			})
		})
	}
}

// A ConnContext whose context is not made from the one that it is given: requests have no
// Life then, but are waited for.
func TestConnContextOfItsOwn(t *testing.T) {
	for _, how := range []string{h1, h2c} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := memory()
				l := begin(t, n, setup{
					server: &http.Server{ConnContext: func(context.Context, net.Conn) context.Context { return context.Background() }},
					handler: func(w http.ResponseWriter, _ *http.Request) {
						time.Sleep(5 * time.Second)
						_, _ = io.WriteString(w, "ok")
					},
				})
				came := n.client(t, how).start("GET", "/", nil)
				time.Sleep(time.Second)
				r := l.shutdown(t)
				(<-came).wantOK(t, "ok")
				wantDrained(t, r)
				wantWork(t, r, "GET (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Completed: 1})
			})
		})
	}
}
