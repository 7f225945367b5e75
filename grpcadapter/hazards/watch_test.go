package hazards_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/mempipe"
	"github.com/lastcall-go/lastcall/report"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lastcall-go/lastcall/grpcadapter"
)

// Row 32: a health Watch that is ended in the same instant in which NOT_SERVING is
// set may lose that message. lastcall waits until it is out.
func TestHazard32_LastMessageOfWatch(t *testing.T) {
	const runs, watchers = 50, 10
	t.Run("grpc", func(t *testing.T) {
		lost := 0
		for range runs {
			h := health.NewServer()
			drain := make(chan struct{})
			n := memory()
			// The obvious way to end a Watch: return as soon as the drain begins.
			srv := bare(t, n, registerFunc(func(srv grpc.ServiceRegistrar) { healthpb.RegisterHealthServer(srv, h) }),
				grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
					done := start(func() error { return handler(srv, ss) })
					select {
					case <-done.done:
						return done.err
					case <-drain:
						return nil
					}
				}))
			all := watchAll(t, n, watchers)
			go h.Shutdown()
			close(drain)
			srv.GracefulStop()
			for _, w := range all {
				if _, told := w.end(); !told {
					lost++
				}
			}
		}
		t.Logf("NOT_SERVING was lost in %d of %d", lost, runs*watchers)
		if lost == 0 {
			t.Errorf("NOT_SERVING was lost in none of %d", runs*watchers)
		}
	})
	for name, tt := range map[string]struct {
		clock   func(t *testing.T, f func(*testing.T))
		network func(t *testing.T) *network
	}{
		"virtual time": {func(t *testing.T, f func(*testing.T)) { synctest.Test(t, f) }, func(*testing.T) *network { return memory() }},
		"real time":    {func(t *testing.T, f func(*testing.T)) { f(t) }, tcp},
	} {
		t.Run("lastcall/"+name, func(t *testing.T) {
			var errs []error
			lost := 0
			for range runs {
				tt.clock(t, func(t *testing.T) {
					n := tt.network(t)
					l := begin(t, n, setup{}) // without a settle: drained in the instant of the announcement
					all := watchAll(t, n, watchers)
					r := l.shutdown(t)
					for _, w := range all {
						err, told := w.end()
						errs = append(errs, err)
						if !told {
							lost++
						}
					}
					if r.Outcome != report.OutcomeDrained || inBubble() && r.Took() != 0 {
						t.Error(r)
					}
					wantWork(t, r, infra(healthpb.Health_Watch_FullMethodName, lastcall.Work{Before: watchers, Completed: watchers}))
				})
			}
			if bad := tally(errs, isLeaving); lost > 0 || len(bad) > 0 {
				t.Errorf("NOT_SERVING was lost in %d of %d; not with Unavailable, %q, ended %v", lost, runs*watchers, ourText, bad)
			}
		})
	}
}

// Also in a shutdown that is forced before its drain a Watch is told before it is cancelled.
func TestHazard32_LastMessageOfWatchInAForcedEnd(t *testing.T) {
	const watchers = 10
	inVirtualTime(t, "lastcall", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		l := begin(t, n, setup{})
		all := watchAll(t, n, watchers)
		l.Force()
		r := l.shutdown(t)
		lost := 0
		for _, w := range all {
			err, told := w.end()
			if !isLeaving(err) {
				t.Errorf("a Watch ended with %v", err)
			}
			if !told {
				lost++
			}
		}
		if lost > 0 || !r.Forced {
			t.Errorf("NOT_SERVING was lost in %d of %d\n%v", lost, watchers, r)
		}
	})
}

// watcher is a client of a Watch that is SERVING.
type watcher struct {
	conn   *grpc.ClientConn
	stream healthpb.Health_WatchClient
}

// watchAll opens Watches, each on a connection of its own.
func watchAll(t *testing.T, n *network, watchers int) []watcher {
	t.Helper()
	var all []watcher
	for range watchers {
		w := watcher{conn: n.client(t)}
		var err error
		if w.stream, err = healthpb.NewHealthClient(w.conn).Watch(context.Background(), &healthpb.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
		if first, err := w.stream.Recv(); err != nil || first.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Fatalf("the first message is %v, %v", first, err)
		}
		all = append(all, w)
	}
	return all
}

// end waits for the end of the stream, and says how it ended and whether NOT_SERVING
// came before.
func (w watcher) end() (err error, told bool) { //nolint:revive // the error is what is looked for, not a failure
	defer w.conn.Close()
	for {
		m, err := w.stream.Recv()
		if err != nil {
			return err, told
		}
		told = m.GetStatus() == healthpb.HealthCheckResponse_NOT_SERVING
	}
}

// On the wire NOT_SERVING comes to a Watch after the first GOAWAY has come to its
// connection, also where many watch and where another connection is silent, in its
// handshake, so that no GOAWAY is written until that is over; a health service that does not
// tell those who watch holds no GOAWAY.
func TestWatchAfterGoAway(t *testing.T) {
	isData := func(f frame) bool { return f.Type == http2.FrameData && len(f.data) > 0 }
	for i := range 20 {
		inVirtualTime(t, "told", func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			l := begin(t, n, setup{})
			if i%2 == 0 {
				n.silent(t)
			}
			var peers []*peer
			for range 10 {
				p := n.peer(t, peerConfig{leaves: true})
				for range 5 {
					p.call(t, healthpb.Health_Watch_FullMethodName)
				}
				peers = append(peers, p)
			}
			synctest.Wait()
			r := l.shutdown(t)
			for _, p := range peers {
				all := p.frames(func(f frame) bool { return isData(f) || isGoAway(f) })
				if at := slices.IndexFunc(all, isGoAway); at != 5 {
					t.Errorf("the first GOAWAY comes after %d messages, want SERVING of 5 Watches", at)
				}
				if got := len(slices.DeleteFunc(all, isGoAway)); got != 10 {
					t.Errorf("%d messages, want SERVING and NOT_SERVING of 5 Watches", got)
				}
			}
			if r.Outcome != report.OutcomeDrained || r.Took() > 2*time.Second {
				t.Errorf("%v", r)
			}
		})
	}
	inVirtualTime(t, "beside a peer that does not read", func(t *testing.T, _ <-chan struct{}) { // and holds its own GOAWAY back
		n := memory()
		small := mempipe.Listen(4 << 10)
		n.Listener, n.dial = small, small.DialContext
		h := newHandler(func(context.Context) error { return nil })
		l := begin(t, n, setup{service: bigAnswers{h}})
		deaf := n.peer(t, peerConfig{streamSize: 1 << 20, connSize: 1 << 20, deaf: true, leaves: true})
		id := deaf.open(t, unaryMethod, false)
		deaf.data(t, id, message(nil), true)
		<-h.in
		p := n.peer(t, peerConfig{leaves: true})
		p.call(t, healthpb.Health_Watch_FullMethodName)
		synctest.Wait()
		time.AfterFunc(500*time.Millisecond, deaf.listen)
		r := l.shutdown(t)
		told := p.frames(isData)
		if len(told) != 2 || told[1].at.Sub(r.Triggered) != 10*time.Millisecond {
			t.Errorf("a Watch was told %v", told)
		}
	})
	inVirtualTime(t, "TLS without Credentials", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		n.secure(t)
		l := begin(t, n, setup{})
		all := watchAll(t, n, 2)
		r := l.shutdown(t) // of the GOAWAYs the adapter cannot know
		if r.Outcome != report.OutcomeDrained || r.Took() != 10*time.Millisecond {
			t.Errorf("%v", r)
		}
		for _, w := range all {
			if err, told := w.end(); !told || !isLeaving(err) {
				t.Errorf("told: %t, and ended with %v", told, err)
			}
		}
	})
	inVirtualTime(t, "never told", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		l := begin(t, n, setup{service: registerFunc(func(srv grpc.ServiceRegistrar) {
			healthpb.RegisterHealthServer(srv, deafHealth{})
		}), adapter: []grpcadapter.Option{grpcadapter.WithHealth(deafHealth{})}})
		p, other := n.peer(t, peerConfig{leaves: true}), n.peer(t, peerConfig{leaves: true})
		p.call(t, healthpb.Health_Watch_FullMethodName)
		synctest.Wait()
		r := l.shutdown(t)
		if got := other.goAway(t, 0).at.Sub(r.Triggered); got != 0 {
			t.Errorf("the GOAWAY came after %v", got)
		}
	})
}

// deafHealth never says NOT_SERVING to those who watch.
type deafHealth struct {
	healthpb.UnimplementedHealthServer
}

func (deafHealth) Shutdown() {}

func (deafHealth) Watch(_ *healthpb.HealthCheckRequest, s healthpb.Health_WatchServer) error {
	if err := s.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}); err != nil {
		return err
	}
	<-s.Context().Done()
	return s.Context().Err()
}
