package hazards_test

import (
	"context"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// stubborn returns peers whose RPCs are over, and for which GracefulStop waits 6 s.
func stubborn(t *testing.T, n *network) {
	t.Helper()
	for range 3 {
		p := n.peer(t, peerConfig{noPingAcks: true})
		id := p.open(t, unaryMethod, false)
		p.data(t, id, message(nil), true)
		if e := p.status(t, id); e.code != codes.OK {
			t.Fatalf("the RPC ended with %v", e.code)
		}
	}
}

// G4: a force waits neither for peers whose connections are idle, nor for anything else
// where there is nothing to cancel. Over TLS without Credentials the adapter does not see which
// streams are open: an answer that was given a moment ago gets its time there, and what has
// held the drain for more than a second the share of phase cancel.
func TestForcedIdle(t *testing.T) {
	for name, tt := range map[string]struct {
		idle    time.Duration // for how long no RPC has ended when the drain begins
		force   time.Duration // counted from the trigger
		silent  bool          // there is a peer in its handshake, too
		tls     bool
		took    time.Duration
		outcome report.Outcome // 0: any path is legal
	}{
		"at once":                     {idle: time.Minute}, // with the timer
		"at once, TLS":                {idle: time.Minute, tls: true},
		"soon":                        {idle: time.Minute, force: 300 * time.Millisecond, took: 300 * time.Millisecond, outcome: report.OutcomeStopped},
		"soon, TLS":                   {idle: time.Minute, tls: true, force: 300 * time.Millisecond, took: 300 * time.Millisecond, outcome: report.OutcomeStopped},
		"beside a silent peer":        {idle: time.Minute, force: 300 * time.Millisecond, silent: true, took: 300 * time.Millisecond, outcome: report.OutcomeStopped},
		"after an answer":             {idle: 20 * time.Millisecond},
		"after an answer, TLS":        {idle: 20 * time.Millisecond, tls: true, took: 30 * time.Millisecond, outcome: report.OutcomeStopped},
		"soon after an answer":        {idle: 20 * time.Millisecond, force: 20 * time.Millisecond, took: 20 * time.Millisecond, outcome: report.OutcomeStopped},
		"soon after an answer, TLS":   {idle: 20 * time.Millisecond, tls: true, force: 20 * time.Millisecond, took: 30 * time.Millisecond, outcome: report.OutcomeStopped},
		"when they hold it long":      {idle: time.Minute, force: 2 * time.Second, took: 2 * time.Second, outcome: report.OutcomeStopped},
		"when they hold it long, TLS": {idle: time.Minute, tls: true, force: 2 * time.Second, took: 2*time.Second + fullCancel, outcome: report.OutcomeStopped},
	} {
		inVirtualTime(t, name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			if tt.tls {
				n.secure(t)
			}
			l := begin(t, n, setup{})
			stubborn(t, n)
			time.Sleep(tt.idle)
			if tt.silent {
				n.silent(t)
			}
			l.trigger()
			time.AfterFunc(tt.force, l.Force)
			r := l.report(t)
			if tt.outcome != 0 && r.Outcome != tt.outcome || r.Took() != tt.took {
				t.Errorf("%v after %v, want %v after %v\n%v", r.Outcome, r.Took(), tt.outcome, tt.took, r)
			}
			wantNoServer(t, r)
		})
	}
}

// With a force before the drain no GOAWAYs are written to idle connections: Stop would
// have to wait for its turn.
func TestForcedWithoutGoAways(t *testing.T) {
	inVirtualTime(t, "idle", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		l := begin(t, n, setup{})
		p := n.peer(t, peerConfig{})
		time.Sleep(time.Minute)
		l.Force()
		r := l.report(t)
		if _, err := p.closed(t); err == nil {
			t.Error("the connection is open")
		}
		if away := p.frames(isGoAway); len(away) != 0 || r.Took() != 0 {
			t.Errorf("%d GOAWAYs in %v\n%v", len(away), r.Took(), r)
		}
	})
}

// G4: a server from Use has nothing to cancel, so Stop comes with the timer.
func TestForcedUse(t *testing.T) {
	for name, opts := range map[string]func(*network) []grpcadapter.Option{
		"with a listener":  func(n *network) []grpcadapter.Option { return []grpcadapter.Option{grpcadapter.WithListener(n)} },
		"served elsewhere": func(*network) []grpcadapter.Option { return nil },
	} {
		inVirtualTime(t, name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			srv := grpc.NewServer()
			h := newHandler(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			h.service().register(srv)
			use := opts(n)
			var how []controller.ServerOption
			if use == nil {
				go func() { _ = srv.Serve(n) }()
				how = append(how, controller.ServedElsewhere(serving()))
			}
			c := controllerOf(t, usual(), controller.WithServer("grpc", grpcadapter.Use(srv, use...), how...))
			var r report.Report
			run := start(noError(func() { r = c.Run(context.Background()) }))
			rpc := start(call(n.client(t)))
			<-h.in
			c.Shutdown(nil)
			_ = run.result()
			if r.Outcome != report.OutcomeStopped || r.Took() != usualTimer {
				t.Errorf("%v after %v\n%v", r.Outcome, r.Took(), r)
			}
			if rpc.result() == nil {
				t.Error("the RPC was answered")
			}
		})
	}
}

// Rows 11 and 22: a force soon after the drain began, and even with it, loses no answer
// that a handler has returned, though its client reads nothing of it for a while.
func TestForcedUnread(t *testing.T) {
	for name, peers := range map[string]peerConfig{
		"no window for the stream": {connSize: 1 << 20},
		"no window at all":         {streamSize: 1 << 20},
		"a full socket":            {streamSize: 1 << 20, connSize: 1 << 20, deaf: true},
	} {
		for when, before := range map[string]time.Duration{"just answered": time.Millisecond, "long unread": 40 * time.Second} {
			inVirtualTime(t, name+"/"+when, func(t *testing.T, _ <-chan struct{}) {
				n := memory()
				if peers.deaf {
					small := mempipe.Listen(4 << 10) // a Write blocks before any has returned
					n.Listener, n.dial = small, small.DialContext
				}
				h := newHandler(func(context.Context) error { return nil })
				l := begin(t, n, setup{service: bigAnswers{h}})
				p := n.peer(t, peers)
				id := p.open(t, unaryMethod, false)
				p.data(t, id, message(nil), true)
				<-h.in
				time.Sleep(before)
				l.trigger()
				l.Force()
				time.Sleep(300 * time.Millisecond)
				if peers.deaf {
					p.listen()
				}
				p.window(t, 0, 1<<20)
				p.window(t, id, 1<<20)
				if e := p.status(t, id); e.code != codes.OK || len(e.data) < 200_000 {
					t.Errorf("the client got %d bytes of its answer, and %v %q", len(e.data), e.code, e.text)
				}
				p.conn.Close()
				r := l.report(t)
				if r.Outcome != report.OutcomeCancelled || r.Took() != 300*time.Millisecond {
					t.Errorf("%v", r)
				}
			})
		}
	}
}
