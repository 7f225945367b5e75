package hazards_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
)

// Row 17 where the http.Server goes on when the gRPC server in it has drained, or where
// the gRPC server has a listener as well.

// lingering is a server that takes its time to drain.
type lingering time.Duration

func (l lingering) GracefulStop() { time.Sleep(time.Duration(l)) }
func (lingering) Stop()           {}

// elsewhere serves the handler on an http.Server that no controller knows.
func elsewhere(t *testing.T, h http.Handler) *front {
	t.Helper()
	f := newFront(t, false)
	f.http.Handler = h
	served := start(f.Serve)
	t.Cleanup(func() { f.Stop(); _ = served.result() })
	return f
}

// shutdownOf runs a controller and shuts it down when everything is at rest.
func shutdownOf(t *testing.T, meanwhile func(), opts ...controller.Option) report.Report {
	t.Helper()
	ctl := controllerOf(t, usual(), opts...)
	var r report.Report
	run := start(func() error { r = ctl.Run(context.Background()); return nil })
	synctest.Wait()
	ctl.Shutdown(errors.New("asked for"))
	if meanwhile != nil {
		meanwhile()
	}
	_ = run.result()
	checkReport(t, r)
	return r
}

// RPCs that come over HTTP when the server has drained get a status, and the report has
// a note. grpc alone would answer 200 and nothing else.
func TestHazard17_LateOverHTTP(t *testing.T) {
	inVirtualTime(t, "grpc", func(t *testing.T, _ <-chan struct{}) {
		srv := grpc.NewServer()
		fnService{}.register(srv)
		f := elsewhere(t, srv)
		srv.GracefulStop()
		if err := call(f.client(t))(); err == nil || isLeaving(err) {
			t.Errorf("an RPC after GracefulStop: %v; the adapter need not answer it any more", err)
		}
	})
	inVirtualTime(t, "lastcall", func(t *testing.T, _ <-chan struct{}) {
		g := grpcadapter.New(nil, grpcadapter.OverHTTP(), grpcadapter.WithRetryPushback(1500*time.Millisecond))
		fnService{}.register(g.NewServer())
		f := elsewhere(t, g)
		if err := call(f.client(t))(); err != nil {
			t.Fatal(err)
		}
		r := shutdownOf(t, func() {
			time.Sleep(time.Second)
			for range 3 {
				var trailer metadata.MD
				_, err := testgrpc.NewTestServiceClient(f.last).UnaryCall(context.Background(), &testgrpc.SimpleRequest{}, grpc.Trailer(&trailer))
				wantLeaving(t, "an RPC after GracefulStop", err)
				if got := trailer.Get("grpc-retry-pushback-ms"); !slices.Equal(got, []string{"1500"}) {
					t.Errorf("the trailer has %q", got)
				}
			}
			w := httptest.NewRecorder()
			g.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
			if w.Code != http.StatusServiceUnavailable {
				t.Errorf("a browser gets %d", w.Code)
			}
		}, controller.WithServer("grpc", g), controller.WithServer("other", lingering(rpcTime), controller.ServedElsewhere(serving())))
		wantEnd(t, r, report.OutcomeDrained, rpcTime)
		wantNote(t, r, "when the drain of this server began, 0 RPCs were in flight over HTTP, and 3 came later and were refused")
	})
	inVirtualTime(t, "lastcall/after Stop", func(t *testing.T, _ <-chan struct{}) {
		g := grpcadapter.New(nil, grpcadapter.OverHTTP())
		fnService{}.register(g.NewServer())
		f := elsewhere(t, g)
		g.Stop()
		wantLeaving(t, "an RPC after Stop", call(f.client(t))())
		if notes := g.Notes(); len(notes) > 0 {
			t.Errorf("the notes are %q", notes)
		}
	})
	inVirtualTime(t, "lastcall/came after the announcement", func(t *testing.T, _ <-chan struct{}) {
		g := grpcadapter.New(memory())
		fnService{}.register(g.NewServer())
		f := elsewhere(t, g)
		if err := g.Announce(t.Context()); err != nil {
			t.Error(err)
		}
		if err := call(f.client(t))(); err != nil {
			t.Error(err)
		}
		if notes := g.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "say OverHTTP()") {
			t.Errorf("the notes are %q", notes)
		}
		g.GracefulStop()
	})
	// The instant in which no RPC is in flight is the one from which none is let in.
	inVirtualTime(t, "lastcall/under load", func(t *testing.T, _ <-chan struct{}) {
		g := grpcadapter.New(nil, grpcadapter.OverHTTP())
		h := newHandler(nil)
		h.in = make(chan struct{}, 1<<20)
		h.answering().register(g.NewServer())
		f := elsewhere(t, g)
		over := make(chan struct{})
		var loads []*pending
		for range 20 {
			rpc := call(f.client(t))
			loads = append(loads, start(func() error {
				for {
					select {
					case <-over:
						return nil
					default:
					}
					if err := rpc(); err != nil && !isLeaving(err) {
						return err
					}
					time.Sleep(time.Millisecond)
				}
			}))
		}
		time.Sleep(50 * time.Millisecond)
		g.GracefulStop()
		time.Sleep(50 * time.Millisecond)
		close(over)
		for _, l := range loads {
			if err := l.result(); err != nil {
				t.Errorf("a client got %v, want an answer or %q", err, ourText)
			}
		}
	})
	inVirtualTime(t, "lastcall/GracefulStop twice", func(t *testing.T, _ <-chan struct{}) {
		g := grpcadapter.New(nil, grpcadapter.OverHTTP())
		h := newHandler(func(context.Context) error { time.Sleep(rpcTime); return nil })
		h.service().register(g.NewServer())
		rpc := start(call(elsewhere(t, g).client(t)))
		<-h.in
		begun := time.Now()
		first, second := start(noError(g.GracefulStop)), start(noError(g.GracefulStop))
		for _, p := range []*pending{first, second} {
			_ = p.result()
			if took := p.at.Sub(begun); took != rpcTime {
				t.Errorf("GracefulStop took %v", took)
			}
		}
		if err := rpc.result(); err != nil {
			t.Error(err)
		}
	})
}

// A server that listens and is in an http.Server as well: the listener is closed when
// the drain begins, although RPCs over HTTP hold it. Its connections are told to go
// only afterwards.
func TestHazard17_BothWays(t *testing.T) {
	inVirtualTime(t, "lastcall", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		g := grpcadapter.New(n, grpcadapter.OverHTTP())
		h := newHandler(func(context.Context) error { time.Sleep(rpcTime); return nil })
		service := h.service()
		service.output = func(testgrpc.TestService_StreamingOutputCallServer) error { return nil }
		service.register(g.NewServer())
		f := elsewhere(t, g)
		open := n.client(t)
		var overHTTP *pending
		r := shutdownOf(t, func() {
			time.Sleep(time.Second)
			if _, err := n.dial(t.Context()); err == nil {
				t.Error("one second into the drain the listener is open")
			}
		}, controller.WithServer("grpc", g), controller.WithObserver("serve", func(s report.Step) {
			if s.Kind == report.KindPhase && s.Phase == lastcall.PhaseServe {
				if err := stream(open)(); err != nil {
					t.Errorf("over the listener: %v", err)
				}
				overHTTP = start(call(f.client(t)))
				<-h.in
			}
		}))
		wantEnd(t, r, report.OutcomeDrained, rpcTime)
		if err := overHTTP.result(); err != nil {
			t.Errorf("over HTTP: %v", err)
		}
		for _, step := range r.Steps {
			if step.Op == report.OpServe && step.Err != nil {
				t.Errorf("Serve returned %v", step.Err)
			}
		}
		if r.ExitCode() != report.ExitOK || len(r.Notes) != 2 || !strings.Contains(r.Notes[1].Text, "use one Server for each") {
			t.Errorf("%v\n%q", r, r.Notes)
		}
	})
}

// A server that an http.Server serves has the adapter's health service as well, from the
// first request on.
func TestHazard17_HealthOverHTTP(t *testing.T) {
	inVirtualTime(t, "lastcall", func(t *testing.T, _ <-chan struct{}) {
		g := grpcadapter.New(nil, grpcadapter.OverHTTP())
		fnService{}.register(g.NewServer())
		client := healthpb.NewHealthClient(elsewhere(t, g).client(t))
		check := func(want healthpb.HealthCheckResponse_ServingStatus) {
			t.Helper()
			got, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: testgrpc.TestService_ServiceDesc.ServiceName})
			if err != nil || got.Status != want {
				t.Errorf("health is %v, %v, want %v", got, err, want)
			}
		}
		check(healthpb.HealthCheckResponse_SERVING)
		if err := g.Announce(t.Context()); err != nil {
			t.Error(err)
		}
		check(healthpb.HealthCheckResponse_NOT_SERVING)
		g.GracefulStop()
	})
}
