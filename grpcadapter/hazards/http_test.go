package hazards_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/controller"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/tlstest"
)

// Row 17: behind http.Server, through ServeHTTP, GracefulStop is not graceful: it
// aborts the RPCs in flight. http.Server's own Shutdown is clean.
func TestHazard17_ServeHTTP(t *testing.T) {
	for _, secure := range []bool{false, true} {
		name := map[bool]string{false: "h2c", true: "TLS"}[secure]
		t.Run(name, func(t *testing.T) {
			t.Run("grpc", func(t *testing.T) {
				for name, tt := range map[string]struct {
					stop func(*front, *grpc.Server)
					want codes.Code
				}{
					"GracefulStop": {func(_ *front, srv *grpc.Server) { srv.GracefulStop() }, codes.Unknown},
					"Shutdown":     {func(f *front, _ *grpc.Server) { f.GracefulStop() }, codes.OK},
				} {
					inVirtualTime(t, name, func(t *testing.T, _ <-chan struct{}) {
						f := newFront(t, secure)
						h := newHandler(func(context.Context) error { time.Sleep(rpcTime); return nil })
						srv := grpc.NewServer()
						h.service().register(srv)
						f.http.Handler = srv
						served := start(f.Serve)
						rpc := start(call(f.client(t)))
						<-h.in
						tt.stop(f, srv)
						if err := rpc.result(); status.Code(err) != tt.want {
							t.Errorf("the RPC in flight got %v, want %v", err, tt.want)
						}
						f.Stop()
						_ = served.result()
					})
				}
			})
			t.Run("lastcall", func(t *testing.T) { overHTTP(t, secure) })
		})
	}
}

// rpcTime is how long an RPC in flight runs on, from the trigger.
const rpcTime = 3 * time.Second

// httpTail is how long http.Server's Shutdown may go on after the last request: it
// polls every half a second, and waits a second for HTTP/2 connections to close.
const httpTail = 1600 * time.Millisecond

// overHTTPCase is a way to put a gRPC server into an http.Server.
type overHTTPCase struct {
	adapter func() (*grpcadapter.Server, grpc.ServiceRegistrar, http.Handler)
	behind  bool          // the http.Server
	tail    time.Duration // what GracefulStop may add to the last RPC, as it cannot see when its answer is out
	failed  string        // what Announce says
	tracked bool
}

// overHTTPCases has those in which the http.Server calls ServeHTTP of the adapter,
// and those in which it calls that of the gRPC server.
func overHTTPCases() map[string]overHTTPCase {
	made := func(ours bool) func() (*grpcadapter.Server, grpc.ServiceRegistrar, http.Handler) {
		return func() (*grpcadapter.Server, grpc.ServiceRegistrar, http.Handler) {
			g := grpcadapter.New(nil, grpcadapter.OverHTTP())
			srv := g.NewServer()
			return g, srv, handlerOf(ours, g, srv)
		}
	}
	listens := func(ours bool) func() (*grpcadapter.Server, grpc.ServiceRegistrar, http.Handler) {
		return func() (*grpcadapter.Server, grpc.ServiceRegistrar, http.Handler) {
			g := grpcadapter.New(memory())
			srv := g.NewServer()
			return g, srv, handlerOf(ours, g, srv)
		}
	}
	used := func(ours bool, opts ...grpcadapter.Option) func() (*grpcadapter.Server, grpc.ServiceRegistrar, http.Handler) {
		return func() (*grpcadapter.Server, grpc.ServiceRegistrar, http.Handler) {
			srv := grpc.NewServer()
			g := grpcadapter.Use(srv, opts...)
			return g, srv, handlerOf(ours, g, srv)
		}
	}
	adopted := func() (*grpcadapter.Server, grpc.ServiceRegistrar, http.Handler) {
		g := grpcadapter.New(nil, grpcadapter.OverHTTP())
		srv := grpc.NewServer(g.ServerOptions()...)
		g.Adopt(srv)
		return g, srv, g
	}
	return map[string]overHTTPCase{
		"adapter":              {adapter: made(true), tracked: true},
		"adapter, Behind":      {adapter: made(true), tracked: true, behind: true},
		"adapter that listens": {adapter: listens(true), tracked: true, failed: "say OverHTTP()"},
		"adapter, Adopt":       {adapter: adopted, tracked: true},
		"adapter, Use":         {adapter: used(true, grpcadapter.OverHTTP())},
		"adapter, only Use":    {adapter: used(true), failed: "say OverHTTP()"},
		"grpc":                 {adapter: made(false), tracked: true, tail: moment},
		"grpc, Behind":         {adapter: made(false), tracked: true, behind: true},
		"grpc that listens":    {adapter: listens(false), tracked: true, tail: moment, failed: "say OverHTTP()"},
		"grpc, Use, Behind":    {adapter: used(false), behind: true},
	}
}

func handlerOf(ours bool, g *grpcadapter.Server, srv *grpc.Server) http.Handler {
	if ours {
		return g
	}
	return srv
}

func overHTTP(t *testing.T, secure bool) {
	t.Helper()
	for name, tt := range overHTTPCases() {
		inVirtualTime(t, name, func(t *testing.T, _ <-chan struct{}) {
			h := newHandler(func(context.Context) error { time.Sleep(rpcTime); return nil })
			r, errs := runOverHTTP(t, newFront(t, secure), h, h.service(), 20, tt)
			wrong := tally(errs, func(err error) bool { return err == nil })
			if len(wrong) > 0 {
				t.Errorf("of %d RPCs in flight those failed: %v", len(errs), wrong)
			}
			if r.Outcome != report.OutcomeDrained || r.Took() < rpcTime || r.Took() > rpcTime+httpTail {
				t.Errorf("%v", r)
			}
			failures := r.Failures()
			switch {
			case tt.failed == "" && len(failures) > 0:
				t.Errorf("failed: %q", failures)
			case tt.failed != "" && (len(failures) != 1 || failures[0].Op != report.OpAnnounce || !strings.Contains(r.String(), tt.failed) || r.ExitCode() != report.ExitStep):
				t.Errorf("want a failure of Announce that says %q, and exit code %d\n%v", tt.failed, report.ExitStep, r)
			}
			if tt.tracked {
				wantWork(t, r, lastcall.Work{Server: "grpc", Name: unaryMethod, Kind: lastcall.WorkUnary, Before: 20, Completed: 20})
			}
			switch {
			case tt.tail > 0: // past the adapter
			case tt.behind:
				wantNote(t, r, "")
			default:
				wantNote(t, r, "when the drain of this server began, 20 RPCs were in flight over HTTP, and 0 came later")
			}
			if at := endOf(r, report.OpGracefulStop, "grpc"); !tt.behind && at != rpcTime+tt.tail {
				t.Errorf("GracefulStop of grpc returned %v after the trigger, want %v", at, rpcTime+tt.tail)
			}
		})
		if !tt.tracked {
			continue
		}
		inVirtualTime(t, name+", cancelled", func(t *testing.T, _ <-chan struct{}) {
			h := newHandler(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			r, errs := runOverHTTP(t, newFront(t, secure), h, h.service(), 100, tt)
			if wrong := tally(errs, isLeaving); len(wrong) > 0 {
				t.Errorf("of %d clients those did not get Unavailable, %q: %v", len(errs), ourText, wrong)
			}
			if r.Outcome != report.OutcomeCancelled && r.Outcome != report.OutcomeStopped || r.Took() < usualTimer || r.Took() > usualTimer+httpTail {
				t.Errorf("%v", r)
			}
			wantWork(t, r, lastcall.Work{Server: "grpc", Name: unaryMethod, Kind: lastcall.WorkUnary, Before: 100, Cancelled: 100})
			if tt.behind && strings.Contains(fmt.Sprint(r.Notes), "in flight over HTTP") {
				t.Errorf("it is Behind the http.Server, and the notes are %q", r.Notes)
			}
		})
	}
	inVirtualTime(t, "adapter, clients read slowly", func(t *testing.T, _ <-chan struct{}) {
		f := newFront(t, secure)
		f.dial = slowReaders(f.dial)
		h := newHandler(func(context.Context) error { time.Sleep(rpcTime); return nil })
		r, errs := runOverHTTP(t, f, h, bigAnswers{h}, 20, overHTTPCases()["adapter"])
		wrong := tally(errs, func(err error) bool { return err == nil })
		if at := endOf(r, report.OpGracefulStop, "grpc"); len(wrong) > 0 || at < rpcTime+50*time.Millisecond {
			t.Errorf("of %d answers on the way those were lost: %v; GracefulStop of grpc returned %v after the trigger", len(errs), wrong, at)
		}
	})
	inVirtualTime(t, "no RPC came that way", func(t *testing.T, _ <-chan struct{}) {
		r, _ := runOverHTTP(t, newFront(t, secure), newHandler(nil), fnService{}, 0, overHTTPCases()["grpc that listens"])
		if r.ExitCode() != report.ExitOK {
			t.Error(r)
		}
	})
}

// runOverHTTP shuts down an http.Server and the gRPC server in it, while RPCs are
// in flight, and returns the report and what the clients got.
func runOverHTTP(t *testing.T, f *front, h *handler, service registers, rpcs int, c overHTTPCase) (report.Report, []error) {
	t.Helper()
	g, registrar, served := c.adapter()
	service.register(registrar)
	f.http.Handler = served
	var opts []controller.ServerOption
	if c.behind {
		opts = append(opts, controller.After("http"))
	}
	if g.Accepting() == nil {
		opts = append(opts, controller.ServedElsewhere(serving()))
	}
	ctl := controllerOf(t, usual(), controller.WithServer("http", f), controller.WithServer("grpc", g, opts...))
	var r report.Report
	run := start(func() error { r = ctl.Run(context.Background()); return nil })
	<-ctl.Serving() // an RPC that comes past the adapter may not come while services are registered
	var calls []*pending
	for i := range rpcs {
		if i%10 == 0 {
			calls = append(calls, start(call(f.client(t))))
		} else { // on the same connection
			calls = append(calls, start(call(f.last)))
		}
	}
	for range rpcs {
		<-h.in
	}
	ctl.Shutdown(errors.New("asked for"))
	_ = run.result()
	checkReport(t, r)
	wantLeft(t, "controller.", len(r.Abandoned()), r)
	wantLeft(t, "grpcadapter.", 0, r)
	wantLeft(t, "internal/foreign.", 0, r)
	var errs []error
	for _, p := range calls {
		errs = append(errs, p.result())
	}
	return r, errs
}

// endOf returns when a call returned, counted from the trigger; -1 if there was none.
func endOf(r report.Report, op report.Op, name string) time.Duration {
	for _, s := range r.Steps {
		if s.Kind == report.KindCall && s.Op == op && s.Name == name {
			return s.Elapsed + s.Duration
		}
	}
	return -1
}

// front is an http.Server as a controller wants it.
type front struct {
	lastcall.Unimplemented
	*network
	http *http.Server
	last *grpc.ClientConn
}

func newFront(t *testing.T, secure bool) *front {
	t.Helper()
	f := &front{network: memory(), http: &http.Server{ReadHeaderTimeout: time.Minute, Protocols: new(http.Protocols)}}
	if secure {
		f.http.Protocols.SetHTTP2(true)
		f.http.TLSConfig, f.tls = tlsConfigs(t)
	} else {
		f.http.Protocols.SetUnencryptedHTTP2(true)
	}
	return f
}

// client returns another grpc-go client.
func (f *front) client(t *testing.T) *grpc.ClientConn {
	t.Helper()
	f.last = f.network.client(t)
	return f.last
}

func (*front) Accepting() <-chan struct{} { return serving() }

func (f *front) Serve() error {
	serve := func() error { return f.http.Serve(f.network) }
	if f.tls != nil {
		serve = func() error { return f.http.ServeTLS(f.network, "", "") }
	}
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (f *front) GracefulStop() { _ = f.http.Shutdown(context.Background()) }
func (f *front) Stop()         { _ = f.http.Close() }

// tlsConfigs returns the two sides of TLS for HTTP/2.
func tlsConfigs(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	cert, roots, err := tlstest.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	server = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13}
	return server, &tls.Config{RootCAs: roots, ServerName: tlstest.Name, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13}
}
