package hazards_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
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
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
)

// Rows 1 to 6: handlers that do not come to their end.

// late is the failure that the report has of a GracefulStop which never came back; see
// wantEnd for one that outlived the timer and then did.
const late = `GracefulStop "grpc" timed out`

// stream makes a streaming RPC; the end of the stream is no error.
func stream(conn *grpc.ClientConn) func() error {
	return func() error {
		s, err := testgrpc.NewTestServiceClient(conn).StreamingOutputCall(context.Background(), &testgrpc.StreamingOutputCallRequest{})
		for err == nil {
			_, err = s.Recv()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
}

// duplex makes a streaming RPC in both directions; the client sends nothing.
func duplex(conn *grpc.ClientConn) func() error {
	return func() error {
		s, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(context.Background())
		for err == nil {
			_, err = s.Recv()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
}

// kinds are the kinds of RPCs that a handler may serve.
func kinds() map[string]func(*grpc.ClientConn) func() error {
	return map[string]func(*grpc.ClientConn) func() error{unaryMethod: call, outputMethod: stream}
}

// work is what a report has of an RPC's method.
func work(method string, w lastcall.Work) lastcall.Work {
	w.Name = method
	w.Kind = map[string]lastcall.WorkKind{unaryMethod: lastcall.WorkUnary, outputMethod: lastcall.WorkServerStream, duplexMethod: lastcall.WorkBidiStream}[method]
	return w
}

// wantAt checks that something ended in an instant, counted from the trigger.
func (p *pending) wantAt(t *testing.T, what string, r report.Report, want time.Duration) {
	t.Helper()
	synctest.Wait()
	switch {
	case !p.isDone():
		t.Errorf("%s has not ended", what)
	case p.at.Sub(r.Triggered) != want:
		t.Errorf("%s ended %v after the trigger, want %v", what, p.at.Sub(r.Triggered), want)
	}
}

// wantNow checks, in virtual time, that something ends in this instant.
func (p *pending) wantNow(t *testing.T, what string) {
	t.Helper()
	now := time.Now()
	synctest.Wait()
	if !p.isDone() || !p.at.Equal(now) {
		t.Errorf("%s does not end at once (ended: %v)", what, p.isDone())
	}
}

// wantAbandoned checks which calls a report names as not returned.
func wantAbandoned(t *testing.T, r report.Report, want ...report.Op) {
	t.Helper()
	var got []report.Op
	for _, s := range r.Abandoned() {
		got = append(got, s.Op)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("abandoned are %v, want %v\n%v", got, want, r)
	}
}

// obedient returns a handler that waits for the end of its context, and the cause of
// that.
func obedient() (*handler, <-chan error) {
	causes := make(chan error, 1000)
	return newHandler(func(ctx context.Context) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	}), causes
}

// stuck returns a handler that ignores its context until it is let go.
func stuck(t *testing.T) (h *handler, letGo func()) {
	t.Helper()
	held := make(chan struct{})
	letGo = sync.OnceFunc(func() { close(held) })
	t.Cleanup(letGo)
	return newHandler(func(context.Context) error { <-held; return nil }), letGo
}

// Row 1: GracefulStop waits for ever for a stream whose handler waits; Stop frees
// it. With lastcall the handler hears of the drain, or its RPC is cancelled when the
// timer fires.
func TestHazard01_OpenStream(t *testing.T) {
	for method, rpc := range kinds() {
		inVirtualTime(t, "grpc"+method, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			h, _ := obedient()
			srv := bare(t, n, h.service())
			client := start(rpc(n.client(t)))
			comes(t, "the call of the handler", h.in)
			graceful := start(noError(srv.GracefulStop))
			graceful.stays(t, "GracefulStop", time.Hour)
			start(noError(srv.Stop)).wantNow(t, "Stop")
			graceful.wantNow(t, "GracefulStop")
			client.wantNow(t, "the RPC")
			if err := client.result(); status.Code(err) != codes.Unavailable || status.Convert(err).Message() == ourText {
				t.Errorf("the client got %v, want an Unavailable of grpc's", err)
			}
		})
		inVirtualTime(t, "lastcall/drain signal"+method, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			h := newHandler(func(ctx context.Context) error {
				<-lastcall.Draining(ctx)
				time.Sleep(3 * time.Second)
				return ctx.Err()
			})
			l := begin(t, n, setup{service: h.service()})
			client := start(rpc(n.client(t)))
			comes(t, "the call of the handler", h.in)
			r := l.shutdown(t)
			wantEnd(t, r, report.OutcomeDrained, 3*time.Second)
			wantWork(t, r, work(method, lastcall.Work{Before: 1, Completed: 1}))
			client.wantAt(t, "the RPC", r, 3*time.Second)
			if err := client.result(); err != nil {
				t.Errorf("the client got %v", err)
			}
			wantNoServer(t, r)
		})
		inVirtualTime(t, "lastcall/no drain signal"+method, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			h, causes := obedient()
			l := begin(t, n, setup{service: h.service()})
			client := start(rpc(n.client(t)))
			comes(t, "the call of the handler", h.in)
			r := l.shutdown(t)
			wantEnd(t, r, report.OutcomeCancelled, usualTimer, late)
			wantWork(t, r, work(method, lastcall.Work{Before: 1, Cancelled: 1}))
			client.wantAt(t, "the RPC", r, usualTimer)
			wantLeaving(t, "an open RPC", client.result())
			want := lastcall.ErrTimer
			if method == unaryMethod {
				want = context.Canceled // without WithUnaryContexts
			}
			if cause := <-causes; !errors.Is(cause, want) {
				t.Errorf("the handler's context ended because of %v, want %v", cause, want)
			}
			wantNoServer(t, r)
		})
	}
}

// Row 2: Stop returns while a handler that ignores its context runs, and a
// GracefulStop called before does not. lastcall gives the client its status when the
// timer fires, waits for the handler within the reserve, and names it.
func TestHazard02_HandlerIgnoresContext(t *testing.T) {
	inVirtualTime(t, "grpc", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h, letGo := stuck(t)
		srv := bare(t, n, h.service())
		client := start(call(n.client(t)))
		comes(t, "the call of the handler", h.in)
		graceful := start(noError(srv.GracefulStop))
		synctest.Wait()
		start(noError(srv.Stop)).wantNow(t, "Stop")
		client.wantNow(t, "the RPC")
		graceful.stays(t, "GracefulStop", time.Hour)
		letGo()
		graceful.wantNow(t, "GracefulStop")
	})
	for method, rpc := range kinds() {
		inVirtualTime(t, "lastcall/never"+method, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			h, letGo := stuck(t)
			l := begin(t, n, setup{service: h.service()})
			client := start(rpc(n.client(t)))
			comes(t, "the call of the handler", h.in)
			r := l.shutdown(t)
			wantEnd(t, r, report.OutcomeAbandoned, usualTimer+fullCancel+stopGrace+waitIfNot, late)
			wantWork(t, r, work(method, lastcall.Work{Before: 1, Running: 1}))
			wantAbandoned(t, r, report.OpGracefulStop)
			client.wantAt(t, "the RPC", r, usualTimer)
			wantLeaving(t, "an RPC whose handler ignores its context", client.result())
			letGo()
			wantLeft(t, "", 0, r)
			wantNoServer(t, r)
		})
		for _, tt := range []struct {
			name    string
			after   time.Duration // the timer
			outcome report.Outcome
		}{
			{"in phase cancel", 2 * time.Second, report.OutcomeCancelled},
			{"in phase wait", 5 * time.Second, report.OutcomeStopped},
		} {
			inVirtualTime(t, "lastcall/"+tt.name+method, func(t *testing.T, _ <-chan struct{}) {
				n := memory()
				h := newHandler(func(ctx context.Context) error {
					<-ctx.Done()
					time.Sleep(tt.after)
					return nil
				})
				l := begin(t, n, setup{service: h.service()})
				client := start(rpc(n.client(t)))
				comes(t, "the call of the handler", h.in)
				r := l.shutdown(t)
				wantEnd(t, r, tt.outcome, usualTimer+tt.after, late)
				wantWork(t, r, work(method, lastcall.Work{Before: 1, Cancelled: 1}))
				client.wantAt(t, "the RPC", r, usualTimer)
				wantLeaving(t, "an RPC whose handler is slow to end", client.result())
				wantNoServer(t, r)
			})
		}
	}
}

// Row 3: up to v1.84.0 Stop deadlocked behind a GracefulStop when the client of a
// handler that ignores its context had gone (grpc-go #9393).
func TestHazard03_ClientGone(t *testing.T) {
	inVirtualTime(t, "grpc", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h, letGo := stuck(t)
		srv := bare(t, n, h.service())
		conn := n.client(t)
		start(call(conn))
		comes(t, "the call of the handler", h.in)
		graceful := start(noError(srv.GracefulStop))
		synctest.Wait()
		conn.Close()
		graceful.stays(t, "GracefulStop", time.Hour)
		// In v1.84.0 this blocks on a mutex, and the test with it.
		start(noError(srv.Stop)).wantNow(t, "Stop")
		graceful.stays(t, "GracefulStop", time.Hour)
		letGo()
		graceful.wantNow(t, "GracefulStop")
	})
	t.Run("version", func(t *testing.T) {
		parts := strings.Split(grpc.Version, ".")
		minor, err := strconv.Atoi(parts[1])
		if err != nil || parts[0] != "1" || minor < 85 {
			t.Errorf("built with grpc %s; v1.85.0 is the first whose Stop does not deadlock", grpc.Version)
		}
	})
	for method, rpc := range kinds() {
		inVirtualTime(t, "lastcall"+method, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			h, letGo := stuck(t)
			l := begin(t, n, setup{service: h.service()})
			conn := n.client(t)
			start(rpc(conn))
			comes(t, "the call of the handler", h.in)
			l.trigger()
			synctest.Wait()
			conn.Close()
			r := l.report(t)
			wantEnd(t, r, report.OutcomeAbandoned, usualTimer+fullCancel+stopGrace+waitIfNot, late)
			wantWork(t, r, work(method, lastcall.Work{Before: 1, Running: 1}))
			wantAbandoned(t, r, report.OpGracefulStop)
			letGo()
			wantLeft(t, "", 0, r)
			wantNoServer(t, r)
		})
	}
}

// Row 4: with WaitForHandlers(true) Stop waits for the handlers, too.
func TestHazard04_WaitForHandlers(t *testing.T) {
	inVirtualTime(t, "grpc", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h, letGo := stuck(t)
		srv := bare(t, n, h.service(), grpc.WaitForHandlers(true))
		start(call(n.client(t)))
		comes(t, "the call of the handler", h.in)
		stop := start(noError(srv.Stop))
		stop.stays(t, "Stop", time.Hour)
		letGo()
		stop.wantNow(t, "Stop")
	})
	inVirtualTime(t, "lastcall/never", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h, letGo := stuck(t)
		l := begin(t, n, setup{service: h.service(), grpc: []grpc.ServerOption{grpc.WaitForHandlers(true)}})
		client := start(call(n.client(t)))
		comes(t, "the call of the handler", h.in)
		r := l.shutdown(t)
		wantEnd(t, r, report.OutcomeAbandoned, usualTimer+fullCancel+fullStop+waitIfStop,
			`Serve "grpc" timed out`, late, `Stop "grpc" timed out`)
		wantWork(t, r, work(unaryMethod, lastcall.Work{Before: 1, Running: 1}))
		wantAbandoned(t, r, report.OpGracefulStop, report.OpStop, report.OpServe)
		client.wantAt(t, "the RPC", r, usualTimer)
		wantLeaving(t, "an RPC whose handler ignores its context", client.result())
		letGo()
		wantLeft(t, "", 0, r)
		wantNoServer(t, r)
	})
	inVirtualTime(t, "lastcall/obedient", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h, _ := obedient()
		l := begin(t, n, setup{service: h.service(), grpc: []grpc.ServerOption{grpc.WaitForHandlers(true)}})
		client := start(call(n.client(t)))
		comes(t, "the call of the handler", h.in)
		r := l.shutdown(t)
		wantEnd(t, r, report.OutcomeCancelled, usualTimer, late)
		wantLeaving(t, "an open RPC", client.result())
		wantNoServer(t, r)
	})
}

// observed is a grpc server that notes which of its two ends was called when.
type observed struct {
	*grpc.Server
	mu    sync.Mutex
	calls []string
}

func (o *observed) note(call string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, call)
}

func (o *observed) noted() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.calls)
}

func (o *observed) GracefulStop() {
	o.note("GracefulStop")
	o.Server.GracefulStop()
}

func (o *observed) Stop() {
	o.note("Stop")
	o.Server.Stop()
}

// Row 5: a GracefulStop after Stop waits for the handlers, which Stop did not.
// lastcall never calls one.
func TestHazard05_GracefulStopAfterStop(t *testing.T) {
	inVirtualTime(t, "grpc", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h, letGo := stuck(t)
		srv := bare(t, n, h.service())
		start(call(n.client(t)))
		comes(t, "the call of the handler", h.in)
		start(noError(srv.Stop)).wantNow(t, "Stop")
		graceful := start(noError(srv.GracefulStop))
		graceful.stays(t, "GracefulStop after Stop", time.Hour)
		letGo()
		graceful.wantNow(t, "GracefulStop after Stop")
	})
	both := []string{"GracefulStop", "Stop"}
	for name, tt := range map[string]struct {
		end  func(*controller.Controller)
		rpc  bool // one is in flight
		want []string
	}{
		"drained":         {func(c *controller.Controller) { c.Shutdown(nil) }, false, both[:1]},
		"timer":           {func(c *controller.Controller) { c.Shutdown(nil) }, true, both},
		"forced":          {(*controller.Controller).Force, true, both},
		"forced at drain": {func(c *controller.Controller) { c.Shutdown(nil); time.Sleep(time.Second); c.Force() }, true, both},
	} {
		inVirtualTime(t, "lastcall/"+name, func(t *testing.T, _ <-chan struct{}) {
			for range 20 {
				n := memory()
				h, letGo := stuck(t)
				g := grpcadapter.New(n.Listener)
				srv := &observed{Server: grpc.NewServer(g.ServerOptions()...)}
				h.service().register(srv)
				g.Adopt(srv)
				c := controllerOf(t, usual(), controller.WithServer("grpc", g))
				run := start(func() error { c.Run(context.Background()); return nil })
				conn := n.client(t)
				if tt.rpc {
					start(call(conn))
					comes(t, "the call of the handler", h.in)
				}
				synctest.Wait()
				tt.end(c)
				_ = run.result()
				letGo()
				time.Sleep(time.Minute)
				if got := srv.noted(); !slices.Equal(got, tt.want) {
					t.Errorf("the calls were %v, want %v", got, tt.want)
				}
				conn.Close()
			}
		})
	}
}

// Row 6: GracefulStop in a handler waits for that handler. Shutdown and Force do not
// block, and Wait in a handler ends with the handler's context at the latest.
func TestHazard06_StopInsideHandler(t *testing.T) {
	inVirtualTime(t, "grpc", func(t *testing.T, over <-chan struct{}) {
		for name, end := range map[string]func(*grpc.Server){"GracefulStop": (*grpc.Server).GracefulStop, "Stop": (*grpc.Server).Stop} {
			n := memory()
			servers, ends := make(chan *grpc.Server, 1), make(chan *pending, 1)
			h := newHandler(func(context.Context) error {
				srv := <-servers
				p := start(noError(func() { end(srv) }))
				ends <- p
				select {
				case <-p.done: // what a handler would wait for
				case <-over: // so that the test can end
				}
				return nil
			})
			srv := bare(t, n, h.service())
			client := start(call(n.client(t)))
			servers <- srv
			p := <-ends
			if name == "Stop" {
				p.wantNow(t, "Stop in a handler")
				client.wantNow(t, "the RPC")
				continue
			}
			p.stays(t, "GracefulStop in a handler", time.Hour)
			start(noError(srv.Stop)).wantNow(t, "Stop")
			p.stays(t, "GracefulStop in a handler", time.Hour)
		}
	})
	for method, rpc := range kinds() {
		for name, tt := range map[string]struct {
			handle  func(context.Context, *controller.Controller) error
			outcome report.Outcome
			took    time.Duration
			work    lastcall.Work
			failed  []string
		}{
			"Shutdown": {
				func(_ context.Context, c *controller.Controller) error { c.Shutdown(nil); return nil },
				report.OutcomeDrained, 0, lastcall.Work{Before: 1, Completed: 1}, nil,
			},
			"Shutdown, a second's work": {
				func(_ context.Context, c *controller.Controller) error {
					c.Shutdown(nil)
					time.Sleep(time.Second)
					return nil
				},
				report.OutcomeDrained, time.Second, lastcall.Work{Before: 1, Completed: 1}, nil,
			},
			"Force": {
				func(ctx context.Context, c *controller.Controller) error { c.Force(); <-ctx.Done(); return ctx.Err() },
				report.OutcomeCancelled, 0, lastcall.Work{Before: 1, Cancelled: 1}, nil,
			},
			"Wait": {
				func(ctx context.Context, c *controller.Controller) error {
					c.Shutdown(nil)
					_, err := c.Wait(ctx)
					return err
				},
				report.OutcomeCancelled, usualTimer, lastcall.Work{Before: 1, Cancelled: 1}, []string{late},
			},
		} {
			inVirtualTime(t, "lastcall/"+name+method, func(t *testing.T, _ <-chan struct{}) {
				n := memory()
				controllers := make(chan *controller.Controller, 1)
				h := newHandler(func(ctx context.Context) error {
					synctest.Wait() // so that the call is in flight at the trigger, and not on its way into the handler
					return tt.handle(ctx, <-controllers)
				})
				l := begin(t, n, setup{service: h.service()})
				controllers <- l.Controller
				client := start(rpc(n.client(t)))
				r := l.report(t)
				wantEnd(t, r, tt.outcome, tt.took, tt.failed...)
				client.wantAt(t, "the RPC", r, tt.took)
				if err := client.result(); tt.outcome == report.OutcomeCancelled {
					wantLeaving(t, name, err)
				} else if err != nil {
					t.Errorf("the client got %v", err)
				}
				if name != "Shutdown" { // there the answer is out before anything is counted, or not
					wantWork(t, r, work(method, tt.work))
				}
				wantNoServer(t, r)
			})
		}
	}
}
