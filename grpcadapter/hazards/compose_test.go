package hazards_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
)

// What users have set up themselves goes on working beside lastcall.

// unix returns a Unix socket.
func unix(t *testing.T) *network {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	return &network{Listener: lis, dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
}

// openStream opens a stream and reads it to its end.
func openStream(conn *grpc.ClientConn) func() error {
	return func() error {
		s, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(context.Background())
		if err == nil {
			_, err = s.Recv()
		}
		return err
	}
}

// hooks counts what grpc calls of a user's.
type hooks struct {
	mu    sync.Mutex
	calls map[string]int
}

func (h *hooks) note(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.calls == nil {
		h.calls = map[string]int{}
	}
	h.calls[name]++
}

func (h *hooks) unary(name string) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		resp, err := handler(h.enter(ctx, name), req)
		h.note(fmt.Sprint(name, " saw ", status.Code(err)))
		return resp, err
	}
}

func (h *hooks) stream(name string) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		err := handler(srv, wrappedStream{ss, h.enter(ss.Context(), name)})
		h.note(fmt.Sprint(name, " saw ", status.Code(err)))
		return err
	}
}

// enter is what every interceptor does: it looks for the Life and leaves its name.
func (h *hooks) enter(ctx context.Context, name string) context.Context {
	if lastcall.Draining(ctx) == nil {
		h.note(name + " has no Life")
	}
	h.note(name)
	_ = grpc.SetTrailer(ctx, metadata.Pairs("hook", name))
	return context.WithValue(ctx, hookKey{}, append(slices.Clone(hooked(ctx)), name))
}

type hookKey struct{}

// hooked returns the names of the hooks around a handler, outermost first.
func hooked(ctx context.Context) []string {
	names, _ := ctx.Value(hookKey{}).([]string)
	return names
}

func (h *hooks) tap(ctx context.Context, _ *tap.Info) (context.Context, error) {
	h.note("tap")
	return context.WithValue(ctx, hookKey{}, []string{"tap"}), nil
}

func (h *hooks) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, hookKey{}, append(slices.Clone(hooked(ctx)), "stats"))
}

func (h *hooks) HandleRPC(_ context.Context, s stats.RPCStats) {
	switch s := s.(type) {
	case *stats.Begin:
		h.note("stats begin")
	case *stats.End:
		h.note(fmt.Sprint("stats end ", status.Code(s.Error)))
	case *stats.OutTrailer:
		h.note("stats trailer")
	}
}

func (h *hooks) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (h *hooks) HandleConn(_ context.Context, s stats.ConnStats) {
	h.note(fmt.Sprintf("%T", s))
}

// The user's interceptors (of both kinds of option), tap and stats handler run for
// each RPC, in grpc's order, those of RPCs that are drained and those of RPCs that
// are cancelled.
func TestComposeHooks(t *testing.T) {
	for name, tt := range map[string]struct {
		until   func(context.Context) <-chan struct{}
		outcome report.Outcome
		saw     codes.Code // by the interceptors inside ours
		outside codes.Code // by those outside
		ended   codes.Code // for the stats handler
		good    func(error) bool
	}{
		"drained":   {lastcall.Draining, report.OutcomeDrained, codes.OK, codes.OK, codes.OK, func(err error) bool { return err == nil || err.Error() == "EOF" }},
		"cancelled": {context.Context.Done, report.OutcomeCancelled, codes.Canceled, codes.Unavailable, codes.Unavailable, isLeaving},
	} {
		inVirtualTime(t, name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			var h hooks
			around := map[string][]string{}
			handle := func(kind string) func(ctx context.Context) error {
				return func(ctx context.Context) error {
					h.mu.Lock()
					around[kind] = hooked(ctx)
					h.mu.Unlock()
					<-tt.until(ctx)
					return status.FromContextError(ctx.Err()).Err()
				}
			}
			unary, stream := newHandler(handle("unary")), newHandler(handle("stream"))
			l := begin(t, n, setup{
				service: fnService{
					unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
						return &testgrpc.SimpleResponse{}, unary.handle(ctx)
					},
					duplex: func(s testgrpc.TestService_FullDuplexCallServer) error { return stream.handle(s.Context()) },
				},
				grpc: []grpc.ServerOption{
					grpc.UnaryInterceptor(h.unary("unary")), grpc.ChainUnaryInterceptor(h.unary("unary 1"), h.unary("unary 2")),
					grpc.StreamInterceptor(h.stream("stream")), grpc.ChainStreamInterceptor(h.stream("stream 1"), h.stream("stream 2")),
					grpc.InTapHandle(h.tap), grpc.StatsHandler(&h),
				},
			})
			conn := n.client(t)
			calls := map[string]*pending{"unary": start(call(conn)), "stream": start(openStream(conn))}
			<-unary.in
			<-stream.in
			r := l.shutdown(t)
			for kind, rpc := range calls {
				if err := rpc.result(); !tt.good(err) {
					t.Errorf("%s: the client got %v", kind, err)
				}
			}
			if r.Outcome != tt.outcome {
				t.Error(r)
			}
			wantNoServer(t, r)
			h.mu.Lock()
			defer h.mu.Unlock()
			want := map[string]int{
				"tap": 2, "stats begin": 2, "stats trailer": 2, fmt.Sprint("stats end ", tt.ended): 2,
				"*stats.ConnBegin": 1, "*stats.ConnEnd": 1,
			}
			wantAround := map[string][]string{}
			for _, kind := range []string{"unary", "stream"} {
				wantAround[kind] = []string{"tap", "stats", kind, kind + " 1", kind + " 2"}
				for _, hook := range wantAround[kind][2:] {
					want[hook] = 1
					saw := tt.saw
					if hook == kind { // the option that is not chained is outside all that are
						saw = tt.outside
						want[hook+" has no Life"] = 1
					}
					want[fmt.Sprint(hook, " saw ", saw)] = 1
				}
			}
			if !maps.Equal(h.calls, want) {
				t.Errorf("grpc has called\n%v, want\n%v", h.calls, want)
			}
			if !maps.EqualFunc(around, wantAround, slices.Equal) {
				t.Errorf("around the handlers were\n%q, want\n%q", around, wantAround)
			}
		})
	}
}

// Several gRPC servers, each on its own kind of network, are shut down by one
// controller: at the same time, each with its own numbers.
func TestComposeServers(t *testing.T) {
	t.Run("drained", func(t *testing.T) {
		shutNetworks(t, lastcall.Draining, (*controller.Controller).Shutdown, report.OutcomeDrained,
			lastcall.Work{Before: 1, Completed: 1}, func(err error) bool { return err == nil || err.Error() == "EOF" })
	})
	t.Run("cancelled", func(t *testing.T) {
		force := func(c *controller.Controller, _ error) { c.Force() }
		shutNetworks(t, context.Context.Done, force, report.OutcomeCancelled, lastcall.Work{Before: 1, Cancelled: 1}, isLeaving)
	})
	inVirtualTime(t, "each by itself", func(t *testing.T, over <-chan struct{}) {
		quickOne, slowOne, stuckOne := memory(), memory(), memory()
		opts := []controller.Option{}
		rpcs := make([]*pending, 3)
		for i, n := range []*network{quickOne, slowOne, stuckOne} {
			h := newHandler(func(ctx context.Context) error {
				<-lastcall.Draining(ctx)
				switch i {
				case 0:
					time.Sleep(time.Second)
				case 1:
					<-ctx.Done()
				case 2:
					<-over
				}
				return nil
			})
			g := grpcadapter.New(n)
			h.service().register(g.NewServer())
			opts = append(opts, controller.WithServer(fmt.Sprint("server ", i), g))
			time.AfterFunc(time.Second, func() { rpcs[i] = start(call(n.client(t))) })
		}
		c := controllerOf(t, usual(), opts...)
		var r report.Report
		run := start(func() error { r = c.Run(context.Background()); return nil })
		time.Sleep(time.Minute)
		c.Shutdown(errors.New("asked for"))
		_ = run.result()
		checkReport(t, r)
		wantLeft(t, "controller.", len(r.Abandoned()), r)
		wantLeft(t, "grpcadapter.", 0, r)
		wantLeft(t, "internal/foreign.", 0, r)
		wantEnd(t, r, report.OutcomeAbandoned, usualTimer+fullCancel+stopGrace+waitIfNot, `GracefulStop "server 2" timed out`)
		for i, want := range []lastcall.Work{{Before: 1, Completed: 1}, {Before: 1, Cancelled: 1}, {Before: 1, Running: 1}} {
			want.Server, want.Name, want.Kind = fmt.Sprint("server ", i), unaryMethod, lastcall.WorkUnary
			wantWork(t, r, want)
		}
		if at := endOf(r, report.OpGracefulStop, "server 0"); at != time.Second {
			t.Errorf("GracefulStop of the first returned %v after the trigger", at)
		}
		for i, rpc := range rpcs {
			if err := rpc.result(); i == 0 && err != nil || i > 0 && !isLeaving(err) {
				t.Errorf("client %d got %v", i, err)
			}
		}
	})
}

// shutNetworks shuts down one server on each kind of network, each with one unary
// RPC and one stream in flight.
func shutNetworks(t *testing.T, until func(context.Context) <-chan struct{}, shut func(*controller.Controller, error),
	outcome report.Outcome, work lastcall.Work, good func(error) bool,
) {
	t.Helper()
	networks := map[string]*network{"tcp": tcp(t), "tls": secureTCP(t), "unix": unix(t), "memory": memory(), "memory tls": secureMemory(t)}
	names := slices.Sorted(maps.Keys(networks))
	h := newHandler(func(ctx context.Context) error { <-until(ctx); return nil })
	var opts []controller.Option
	for _, name := range names {
		g := grpcadapter.New(networks[name].Listener)
		h.service().register(g.NewServer(networks[name].options...))
		opts = append(opts, controller.WithServer(name, g))
	}
	c := controllerOf(t, lastcall.Budget{Total: 2 * time.Minute, Reserve: time.Minute}, opts...)
	var r report.Report
	run := start(func() error { r = c.Run(context.Background()); return nil })
	rpcs := map[string]*pending{}
	for _, name := range names {
		conn := networks[name].client(t)
		rpcs[name+", unary"], rpcs[name+", stream"] = start(call(conn)), start(openStream(conn))
	}
	for range rpcs {
		<-h.in
	}
	shut(c, errors.New("asked for"))
	_ = run.result()
	checkReport(t, r)
	if r.Outcome != outcome {
		t.Error(r)
	}
	for what, rpc := range rpcs {
		if err := rpc.result(); !good(err) {
			t.Errorf("%s: the client got %v", what, err)
		}
	}
	for _, name := range names {
		work.Server, work.Name, work.Kind = name, unaryMethod, lastcall.WorkUnary
		wantWork(t, r, work)
		work.Name, work.Kind = duplexMethod, lastcall.WorkBidiStream
		wantWork(t, r, work)
	}
	wantLeft(t, "", 0, r)
	wantNoServer(t, r)
}

// The user's keepalive ends connections: while the server serves, which loses
// nothing, and in the drain and after the timer, when connections are too old.
func TestComposeKeepalive(t *testing.T) {
	for name, tt := range map[string]struct {
		age, grace time.Duration // counted from the connection's beginning, a second before the trigger; grpc adds up to a tenth to age
		took       time.Duration
		lost       bool
	}{
		"gone before the trigger": {500 * time.Millisecond, time.Hour, 5 * time.Second, false},
		"old in the drain":        {3 * time.Second, time.Hour, 5 * time.Second, false},
		"too old in the drain":    {time.Second, 2 * time.Second, 5 * time.Second, true},
	} {
		inVirtualTime(t, name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			h := newHandler(func(context.Context) error { time.Sleep(6 * time.Second); return nil }) // to 5 s after the trigger
			l := begin(t, n, setup{service: h.service(), grpc: []grpc.ServerOption{grpc.KeepaliveParams(keepalive.ServerParameters{
				MaxConnectionAge: tt.age, MaxConnectionAgeGrace: tt.grace,
			})}})
			rpc := start(call(n.client(t)))
			<-h.in
			time.Sleep(time.Second)
			r := l.shutdown(t)
			if err := rpc.result(); (err != nil) != tt.lost || tt.lost && status.Code(err) != codes.Unavailable {
				t.Errorf("the RPC in flight got %v", err)
			}
			wantEnd(t, r, report.OutcomeDrained, tt.took)
			wantWork(t, r, lastcall.Work{Name: unaryMethod, Kind: lastcall.WorkUnary, Before: 1, Completed: 1})
			wantNoServer(t, r)
		})
	}
}

// WaitForHandlers makes grpc's Stop wait for the handlers, for ever if need be.
func TestComposeWaitForHandlers(t *testing.T) {
	for name, tt := range map[string]struct {
		after   time.Duration // the handler returns, counted from the timer; less than 0: never
		outcome report.Outcome
		took    time.Duration
		failed  []string
	}{
		"obeys":               {0, report.OutcomeCancelled, usualTimer, []string{late}},
		"obeys after a while": {time.Second, report.OutcomeCancelled, usualTimer + time.Second, []string{late}},
		"ends in phase stop":  {4 * time.Second, report.OutcomeStopped, usualTimer + 4*time.Second, []string{late}},
		"never ends":          {-1, report.OutcomeAbandoned, usualTimer + fullCancel + fullStop + waitIfStop, []string{`Serve "grpc" timed out`, late, `Stop "grpc" timed out`}},
	} {
		inVirtualTime(t, name, func(t *testing.T, over <-chan struct{}) {
			n := memory()
			h := newHandler(func(ctx context.Context) error {
				<-ctx.Done()
				if tt.after < 0 {
					<-over
				}
				time.Sleep(tt.after)
				return nil
			})
			l := begin(t, n, setup{service: h.service(), grpc: []grpc.ServerOption{grpc.WaitForHandlers(true)}})
			rpc := start(call(n.client(t)))
			<-h.in
			r := l.shutdown(t)
			wantLeaving(t, "the RPC in flight", rpc.result())
			wantEnd(t, r, tt.outcome, tt.took, tt.failed...)
			want := lastcall.Work{Name: unaryMethod, Kind: lastcall.WorkUnary, Before: 1, Cancelled: 1}
			if tt.after < 0 {
				want.Cancelled, want.Running = 0, 1
			}
			wantWork(t, r, want)
		})
	}
}

// A server from Use that was built without our interceptors is drained and stopped
// within the deadline. What is missing is a number, a note or an error, and never a
// wrong one.
func TestComposeUse(t *testing.T) {
	for name, tt := range map[string]struct {
		takes   time.Duration // of the RPC, from the trigger; less than 0: until its context ends
		outcome report.Outcome
		took    time.Duration
		failed  []string
		code    codes.Code
	}{
		"drained": {3 * time.Second, report.OutcomeDrained, 3 * time.Second, nil, codes.OK},
		"stopped": {-1, report.OutcomeStopped, usualTimer, []string{late}, codes.Unavailable},
	} {
		for served, with := range map[string]bool{"with a listener": true, "served elsewhere": false} {
			inVirtualTime(t, name+", "+served, func(t *testing.T, _ <-chan struct{}) {
				n := memory()
				h := newHandler(func(ctx context.Context) error {
					if tt.takes < 0 {
						<-ctx.Done()
					} else {
						time.Sleep(tt.takes)
					}
					return nil
				})
				var g *grpcadapter.Server
				var how []controller.ServerOption
				if with {
					srv := grpc.NewServer()
					h.service().register(srv)
					g = grpcadapter.Use(srv, grpcadapter.WithListener(n))
				} else {
					g = grpcadapter.Use(bare(t, n, h.service()))
					how = append(how, controller.ServedElsewhere(serving()))
				}
				c := controllerOf(t, usual(), controller.WithServer("grpc", g, how...))
				var r report.Report
				run := start(func() error { r = c.Run(context.Background()); return nil })
				rpc := start(call(n.client(t)))
				<-h.in
				c.Shutdown(errors.New("asked for"))
				_ = run.result()
				checkReport(t, r)
				if err := rpc.result(); status.Code(err) != tt.code {
					t.Errorf("the RPC in flight got %v, want %v", err, tt.code)
				}
				wantEnd(t, r, tt.outcome, tt.took+cancelTook(r), tt.failed...)
				if cancel := cancelTook(r); cancel > 10*time.Millisecond {
					t.Errorf("phase cancel took %v, and had nothing to do", cancel)
				}
				if len(r.Work) > 0 || len(r.Notes) > 0 {
					t.Errorf("of RPCs that it cannot see the report tells\n%+v\n%+v", r.Work, r.Notes)
				}
				wantLeft(t, "", 0, r)
				wantNoServer(t, r)
			})
		}
	}
	t.Run("Quiet", func(t *testing.T) {
		budget := usual()
		budget.Settle, budget.Quiet = 2*time.Second, time.Second
		_, err := controller.New(budget, controller.WithServer("the orders", grpcadapter.Use(grpc.NewServer()), controller.ServedElsewhere(serving())))
		if err == nil || !strings.Contains(err.Error(), `"the orders"`) || !strings.Contains(err.Error(), "Quiet") {
			t.Errorf("controller.New says %v", err)
		}
		_, err = controller.New(budget, controller.WithServer("the orders", grpc.NewServer(), controller.ServedElsewhere(serving())))
		if err == nil || !strings.Contains(err.Error(), `"the orders"`) || !strings.Contains(err.Error(), "Quiet") {
			t.Errorf("controller.New says %v", err)
		}
	})
	inVirtualTime(t, "Quiet with our interceptors", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		budget := usual()
		budget.Settle, budget.Quiet = 10*time.Second, 2*time.Second
		l := begin(t, n, setup{budget: budget})
		conn := n.client(t)
		triggered := time.Now()
		l.trigger()
		for range 3 { // at 1, 2 and 3 s
			time.Sleep(time.Second)
			if err := call(conn)(); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		r := l.report(t)
		wantEnd(t, r, report.OutcomeDrained, 5*time.Second)
		if !r.Triggered.Equal(triggered) {
			t.Errorf("triggered %v late", r.Triggered.Sub(triggered))
		}
	})
}
