package hazards_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

// Rows 8 to 10: Stop itself does not return. Where that is because of a mutex a test
// needs real time, as virtual time stands still then.

// notYet checks, in real time, that something does not end.
func (p *pending) notYet(t *testing.T, what string) {
	t.Helper()
	select {
	case <-p.done:
		t.Errorf("%s has returned", what)
	case <-time.After(100 * time.Millisecond):
	}
}

// others are clients on connections of their own, beside the one that holds Stop.
type others struct{ drains, waits *pending }

// mixed is a service with three kinds of handlers: UnaryCall is stuck,
// StreamingOutputCall ends when the drain begins, FullDuplexCall with its context.
func mixed(t *testing.T) (service fnService, in <-chan struct{}, letGo func()) {
	t.Helper()
	h, letGo := stuck(t)
	drains := &handler{in: h.in, run: func(ctx context.Context) error { <-lastcall.Draining(ctx); return nil }}
	waits := &handler{in: h.in, run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	service = h.service()
	service.output = drains.service().output
	service.duplex = waits.service().duplex
	return service, h.in, letGo
}

// beside begins the RPCs of the other clients.
func beside(t *testing.T, n *network, in <-chan struct{}) others {
	t.Helper()
	o := others{drains: start(stream(n.client(t))), waits: start(duplex(n.client(t)))}
	comes(t, "the call of a handler", in)
	comes(t, "the call of a handler", in)
	return o
}

// want checks what the other clients have been given.
func (o others) want(t *testing.T) {
	t.Helper()
	if err := o.drains.result(); err != nil {
		t.Errorf("an RPC whose handler ended in the drain: %v", err)
	}
	wantLeaving(t, "an RPC on another connection", o.waits.result())
}

// wantBounded checks a shutdown in real time whose Stop did not return.
func wantBounded(t *testing.T, r report.Report, unary lastcall.Work) {
	t.Helper()
	if r.Outcome != report.OutcomeAbandoned || r.ExitCode() != report.ExitAbandoned {
		t.Errorf("exit code %d\n%v", r.ExitCode(), r)
	}
	if unary != (lastcall.Work{}) {
		wantWork(t, r, work(unaryMethod, unary))
	}
	wantWork(t, r, work(outputMethod, lastcall.Work{Before: 1, Completed: 1}))
	wantWork(t, r, work(duplexMethod, lastcall.Work{Before: 1, Cancelled: 1}))
	wantAbandoned(t, r, report.OpServe, report.OpGracefulStop, report.OpStop)
}

// Row 8: handlers that were cancelled and still run fill MaxConcurrentStreams, and
// one more request comes. The connection's reader waits for a handler then, and Stop
// for the reader.
func TestHazard08_MaxConcurrentStreams(t *testing.T) {
	limited := func() (options []grpc.ServerOption, read chan struct{}) {
		read = make(chan struct{}, 10) // has an element for each request that the reader has seen
		return []grpc.ServerOption{
			grpc.MaxConcurrentStreams(1),
			grpc.InTapHandle(func(ctx context.Context, _ *tap.Info) (context.Context, error) {
				read <- struct{}{}
				return ctx, nil
			}),
		}, read
	}
	fill := func(t *testing.T, n *network, in, read <-chan struct{}) *peer {
		t.Helper()
		p := n.peer(t, peerConfig{})
		first := p.call(t, unaryMethod)
		comes(t, "the call of the handler", in)
		comes(t, "the first request", read)
		p.reset(t, first)
		p.call(t, unaryMethod)
		comes(t, "the second request", read) // the reader holds the lock that GOAWAY needs
		return p
	}
	inVirtualTime(t, "grpc/Stop", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h, letGo := stuck(t)
		options, read := limited()
		srv := bare(t, n, h.service(), options...)
		p := fill(t, n, h.in, read)
		synctest.Wait()
		stop := start(noError(srv.Stop))
		stop.stays(t, "Stop", time.Hour)
		p.conn.Close()
		stop.stays(t, "Stop, and every connection is closed", time.Hour)
		letGo()
		stop.wantNow(t, "Stop")
	})
	t.Run("grpc/GracefulStop", func(t *testing.T) {
		n := tcp(t)
		h, letGo := stuck(t)
		options, read := limited()
		srv := bare(t, n, h.service(), options...)
		p := fill(t, n, h.in, read)
		graceful := start(noError(srv.GracefulStop))
		graceful.notYet(t, "GracefulStop")
		if got := p.frames(isGoAway); len(got) > 0 {
			t.Errorf("the client has been sent away: %v", got)
		}
		stop := start(noError(srv.Stop))
		_, _ = p.closed(t)
		graceful.notYet(t, "GracefulStop")
		if stop.isDone() {
			t.Error("Stop has returned")
		}
		letGo()
		comes(t, "the end of Stop", stop.done)
		comes(t, "the end of GracefulStop", graceful.done)
	})
	t.Run("lastcall", func(t *testing.T) {
		n := tcp(t)
		service, in, letGo := mixed(t)
		options, read := limited()
		l := begin(t, n, setup{service: service, budget: quick(), grpc: options})
		fill(t, n, in, read)
		o := beside(t, n, in)
		r := l.shutdown(t)
		wantBounded(t, r, lastcall.Work{Before: 1, Running: 1})
		o.want(t)
		letGo()
		wantLeft(t, "", 0, r)
		wantNoServer(t, r)
	})
}

// Row 9: a tap handle that blocks does so under a lock of its connection, which Stop
// needs.
func TestHazard09_TapBlocks(t *testing.T) {
	tapped := func(t *testing.T) (option grpc.ServerOption, in <-chan struct{}, letGo func()) {
		t.Helper()
		called, held := make(chan struct{}), make(chan struct{})
		letGo = sync.OnceFunc(func() { close(held) })
		t.Cleanup(letGo)
		return grpc.InTapHandle(func(ctx context.Context, info *tap.Info) (context.Context, error) {
			if info.FullMethodName == unaryMethod {
				close(called)
				<-held
			}
			return ctx, nil
		}), called, letGo
	}
	for name, end := range map[string]func(*grpc.Server){"GracefulStop": (*grpc.Server).GracefulStop, "Stop": (*grpc.Server).Stop} {
		t.Run("grpc/"+name, func(t *testing.T) {
			n := tcp(t)
			option, in, letGo := tapped(t)
			srv := bare(t, n, fnService{}, option)
			conn := n.client(t)
			client := start(call(conn))
			comes(t, "the call of the tap", in)
			stop := start(noError(func() { end(srv) }))
			stop.notYet(t, name)
			second := start(noError(srv.Stop))
			conn.Close()
			second.notYet(t, "Stop")
			if stop.isDone() {
				t.Errorf("%s has returned", name)
			}
			letGo()
			comes(t, "the end of "+name, stop.done)
			comes(t, "the end of Stop", second.done)
			comes(t, "the end of the RPC", client.done)
		})
	}
	t.Run("lastcall", func(t *testing.T) {
		n := tcp(t)
		service, in, letHandlers := mixed(t)
		letHandlers() // nothing but the tap is stuck
		option, tapIn, letGo := tapped(t)
		l := begin(t, n, setup{service: service, budget: quick(), grpc: []grpc.ServerOption{option}})
		start(call(n.client(t)))
		comes(t, "the call of the tap", tapIn)
		o := beside(t, n, in)
		r := l.shutdown(t)
		wantBounded(t, r, lastcall.Work{})
		o.want(t)
		letGo()
		wantLeft(t, "", 0, r)
		wantNoServer(t, r)
	})
}

// slowEnd is a stats handler that blocks when a connection ends.
type slowEnd struct {
	in   chan struct{}
	held chan struct{}
}

func (s *slowEnd) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (s *slowEnd) HandleRPC(context.Context, stats.RPCStats) {}

func (s *slowEnd) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (s *slowEnd) HandleConn(_ context.Context, what stats.ConnStats) {
	if _, ok := what.(*stats.ConnEnd); ok {
		s.in <- struct{}{}
		<-s.held
	}
}

// Row 10: a stats handler that blocks in ConnEnd keeps its connection in the table
// that Stop waits for.
func TestHazard10_StatsHandlerBlocksInConnEnd(t *testing.T) {
	slow := func(t *testing.T) (handler *slowEnd, letGo func()) {
		t.Helper()
		s := &slowEnd{in: make(chan struct{}, 10), held: make(chan struct{})}
		letGo = sync.OnceFunc(func() { close(s.held) })
		t.Cleanup(letGo)
		return s, letGo
	}
	for name, end := range map[string]func(*grpc.Server){"GracefulStop": (*grpc.Server).GracefulStop, "Stop": (*grpc.Server).Stop} {
		inVirtualTime(t, "grpc/"+name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			s, letGo := slow(t)
			srv := bare(t, n, fnService{}, grpc.StatsHandler(s))
			if err := call(n.client(t))(); err != nil {
				t.Fatal(err)
			}
			stop := start(noError(func() { end(srv) }))
			comes(t, "ConnEnd", s.in)
			stop.stays(t, name, time.Hour)
			second := start(noError(srv.Stop))
			second.stays(t, "Stop", time.Hour)
			letGo()
			second.wantNow(t, "Stop")
			stop.wantNow(t, name)
		})
	}
	for _, tt := range []struct {
		name   string
		letsGo time.Duration // after the trigger; 0: never
		took   time.Duration
		want   report.Outcome
		failed []string
	}{
		{"in the drain", 2 * time.Second, 2 * time.Second, report.OutcomeDrained, nil},
		{"in phase cancel", usualTimer + time.Second, usualTimer + time.Second, report.OutcomeCancelled, []string{late}},
		{
			"never", 0, usualTimer + fullCancel + fullStop + waitIfStop, report.OutcomeAbandoned,
			[]string{`Serve "grpc" timed out`, late, `Stop "grpc" timed out`},
		},
	} {
		inVirtualTime(t, "lastcall/"+tt.name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			s, letGo := slow(t)
			h, causes := obedient()
			service := h.service()
			service.unary = nil
			l := begin(t, n, setup{service: service, grpc: []grpc.ServerOption{grpc.StatsHandler(s)}})
			// One connection ends before the trigger. On the other a stream is open until
			// the timer, if there is time: it gets its status all the same.
			gone := n.client(t)
			if err := call(gone)(); err != nil {
				t.Fatal(err)
			}
			gone.Close()
			comes(t, "ConnEnd", s.in)
			var open *pending
			if tt.want == report.OutcomeAbandoned {
				open = start(stream(n.client(t)))
				comes(t, "the call of the handler", h.in)
			}
			if tt.letsGo > 0 {
				time.AfterFunc(tt.letsGo, letGo)
			}
			r := l.shutdown(t)
			wantEnd(t, r, tt.want, tt.took, tt.failed...)
			if open != nil {
				wantAbandoned(t, r, report.OpServe, report.OpGracefulStop, report.OpStop)
				wantWork(t, r, work(outputMethod, lastcall.Work{Before: 1, Cancelled: 1}))
				open.wantAt(t, "the RPC", r, usualTimer)
				wantLeaving(t, "an open RPC", open.result())
				if cause := <-causes; !errors.Is(cause, lastcall.ErrTimer) {
					t.Errorf("the handler's context ended because of %v", cause)
				}
			}
			letGo()
			wantLeft(t, "", 0, r)
			wantNoServer(t, r)
		})
	}
	inVirtualTime(t, "lastcall/connections that end in the drain", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		s, letGo := slow(t)
		l := begin(t, n, setup{grpc: []grpc.ServerOption{grpc.StatsHandler(s)}})
		client := n.client(t)
		if err := call(client)(); err != nil {
			t.Fatal(err)
		}
		r := l.shutdown(t)
		wantEnd(t, r, report.OutcomeAbandoned, usualTimer+fullCancel+fullStop+waitIfStop,
			`Serve "grpc" timed out`, late, `Stop "grpc" timed out`)
		if err := call(client)(); status.Code(err) != codes.Unavailable {
			t.Errorf("an RPC after the end: %v", err)
		}
		letGo()
		wantLeft(t, "", 0, r)
		wantNoServer(t, r)
	})
}

// slowTrailer is a stats handler that blocks when the status of a unary RPC has been
// written.
type slowTrailer struct{ slowEnd }

type unaryKey struct{}

func (s *slowTrailer) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, unaryKey{}, info.FullMethodName == unaryMethod)
}

func (s *slowTrailer) HandleRPC(ctx context.Context, what stats.RPCStats) {
	if _, ok := what.(*stats.OutTrailer); ok && ctx.Value(unaryKey{}).(bool) {
		s.in <- struct{}{}
		<-s.held
	}
}

func (s *slowTrailer) HandleConn(context.Context, stats.ConnStats) {}

// Row 10 for a stats handler that blocks on the status that lastcall writes: that call
// holds nothing up but its own RPC, and the report names it.
func TestHazard10_StatsHandlerBlocksOnStatus(t *testing.T) {
	n := tcp(t)
	s := &slowTrailer{slowEnd{in: make(chan struct{}, 10), held: make(chan struct{})}}
	letGo := sync.OnceFunc(func() { close(s.held) })
	t.Cleanup(letGo)
	service, in, _ := mixed(t)
	h, _ := obedient()
	service.unary = h.service().unary
	l := begin(t, n, setup{service: service, budget: quick(), grpc: []grpc.ServerOption{grpc.StatsHandler(s)}})
	client := start(call(n.client(t)))
	comes(t, "the call of the handler", h.in)
	o := beside(t, n, in)
	r := l.shutdown(t)
	if r.Outcome != report.OutcomeAbandoned {
		t.Error(r)
	}
	wantWork(t, r, lastcall.Work{Name: "stats.Handler", Kind: lastcall.WorkCall, Running: 1})
	wantWork(t, r, work(unaryMethod, lastcall.Work{Before: 1, Cancelled: 1}))
	wantAbandoned(t, r, report.OpGracefulStop)
	wantLeaving(t, "its RPC", client.result())
	o.want(t)
	letGo()
	wantLeft(t, "", 0, r)
	wantNoServer(t, r)
}
