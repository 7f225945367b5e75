package hazards_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"
)

// Rows 11 to 14: clients that do not do their part.

// manyBytes is more than a connection holds on its way: bufconn's buffer and the
// windows that HTTP/2 begins with are 64 KiB each.
const manyBytes = 300 << 10

// generous answers each unary RPC at once with many bytes.
func generous() fnService {
	return fnService{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return &testgrpc.SimpleResponse{Payload: &testgrpc.Payload{Body: make([]byte, manyBytes)}}, nil
	}}
}

// wantAll checks that a generous answer has come as a whole.
func wantAll(t *testing.T, got ended) {
	t.Helper()
	want, err := proto.Marshal(&testgrpc.SimpleResponse{Payload: &testgrpc.Payload{Body: make([]byte, manyBytes)}})
	if err != nil {
		t.Fatal(err)
	}
	if got.code != codes.OK || !bytes.Equal(got.data, message(want)) {
		t.Errorf("the client got %v %q and %d bytes, want %d", got.code, got.text, len(got.data), len(want)+5)
	}
}

// lazinesses are the ways not to read: to give the server no more window, or to
// leave what comes in the connection's buffer. Each has a way to make up for it.
func lazinesses() map[string]struct {
	config peerConfig
	read   func(t *testing.T, p *peer, id uint32)
} {
	return map[string]struct {
		config peerConfig
		read   func(*testing.T, *peer, uint32)
	}{
		"window": {peerConfig{leaves: true}, func(t *testing.T, p *peer, id uint32) {
			t.Helper()
			p.window(t, 0, 1<<20)
			p.window(t, id, 1<<20)
		}},
		"buffer": {peerConfig{leaves: true, deaf: true, streamSize: 1 << 20, connSize: 1 << 20}, func(_ *testing.T, p *peer, _ uint32) {
			p.listen()
		}},
	}
}

// Row 11: all handlers have returned, and a client does not read its answer.
// GracefulStop waits for it, and Stop loses what has been "sent". lastcall waits for
// GracefulStop as long as there is time; that no handler runs does not count.
func TestHazard11_ClientDoesNotRead(t *testing.T) {
	for name, lazy := range lazinesses() {
		inVirtualTime(t, "grpc/"+name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			srv := bare(t, n, generous())
			p := n.peer(t, lazy.config)
			id := p.call(t, unaryMethod)
			synctest.Wait()
			graceful := start(noError(srv.GracefulStop))
			graceful.stays(t, "GracefulStop", time.Hour)
			start(noError(srv.Stop)).wantNow(t, "Stop")
			graceful.wantNow(t, "GracefulStop")
			if lazy.config.deaf {
				p.listen()
			}
			_, _ = p.closed(t)
			if got := len(p.received(id)); got == 0 || got >= manyBytes {
				t.Errorf("the client got %d of %d bytes, which is not the loss that is known", got, manyBytes)
			}
		})
		for _, tt := range []struct {
			name    string
			reads   time.Duration // after the trigger; 0: never
			took    time.Duration
			outcome report.Outcome
			failed  []string
		}{
			{"reads in the drain", 5 * time.Second, 5 * time.Second, report.OutcomeDrained, nil},
			{"reads in phase cancel", usualTimer + time.Second, usualTimer + time.Second, report.OutcomeCancelled, []string{late}},
			{"never reads", 0, usualTimer + fullCancel, report.OutcomeStopped, []string{late}},
		} {
			inVirtualTime(t, "lastcall/"+name+"/"+tt.name, func(t *testing.T, _ <-chan struct{}) {
				n := memory()
				l := begin(t, n, setup{service: generous()})
				p := n.peer(t, lazy.config)
				id := p.call(t, unaryMethod)
				synctest.Wait()
				if tt.reads > 0 {
					time.AfterFunc(tt.reads, func() { lazy.read(t, p, id) })
				}
				r := l.shutdown(t)
				wantEnd(t, r, tt.outcome, tt.took, tt.failed...)
				if tt.reads > 0 {
					wantAll(t, p.status(t, id))
				}
				wantNoServer(t, r)
			})
		}
	}
}

// Row 12: an idle peer that is not grpc-go keeps its connection when it is sent away.
// GracefulStop takes 1 s if it acknowledges pings, and 6 s if not. The adapter closes the
// first sort when it has been silent for 50 ms after its last GOAWAY. The second is no error
// and no work was lost; the report notes it.
func TestHazard12_IdleForeignPeer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config peerConfig
		bare   time.Duration
		took   time.Duration
		note   string
		tls    bool // with Credentials
	}{
		{"acknowledges pings", peerConfig{}, time.Second, 50 * time.Millisecond, "", false},
		{"acknowledges pings, TLS", peerConfig{}, time.Second, 50 * time.Millisecond, "", true},
		{"never acknowledges", peerConfig{noPingAcks: true}, 6 * time.Second, 6 * time.Second, "GracefulStop returned 6s after the last RPC had ended: until then peers kept their connections open, or had not read their answers, the last one memory -> memory", false},
		{"leaves", peerConfig{leaves: true}, 0, 0, "", false},
	} {
		for _, calls := range []int{0, 1} {
			name := tt.name
			if calls > 0 {
				name += ", after an RPC"
			}
			inVirtualTime(t, "grpc/"+name, func(t *testing.T, _ <-chan struct{}) {
				n := memory()
				if tt.tls {
					n = followed(t)
				}
				srv := bare(t, n, fnService{})
				p := n.peer(t, tt.config)
				for range calls {
					p.status(t, p.call(t, unaryMethod))
				}
				synctest.Wait()
				begun := time.Now()
				graceful := start(noError(srv.GracefulStop))
				_ = graceful.result()
				if got := graceful.at.Sub(begun); got != tt.bare {
					t.Errorf("GracefulStop took %v, want %v", got, tt.bare)
				}
			})
			inVirtualTime(t, "lastcall/"+name, func(t *testing.T, _ <-chan struct{}) {
				n := memory()
				if tt.tls {
					n = followed(t)
				}
				l := begin(t, n, setup{})
				p := n.peer(t, tt.config)
				for range calls {
					p.status(t, p.call(t, unaryMethod))
				}
				synctest.Wait()
				r := l.shutdown(t)
				wantEnd(t, r, report.OutcomeDrained, tt.took)
				wantNote(t, r, tt.note)
				if sum := report.Sum(r.Work); r.ExitCode() != report.ExitOK || sum.Before+sum.Arrived > 0 {
					t.Errorf("exit code %d, work %+v", r.ExitCode(), r.Work)
				}
				if at, err := p.closed(t); at.Sub(r.Triggered) != tt.took || tt.took > 0 && !errors.Is(err, io.EOF) {
					t.Errorf("its connection ended with %v, %v after the trigger", err, at.Sub(r.Triggered))
				}
				wantNoServer(t, r)
			})
		}
	}
}

// Row 13: an RPC is accepted after GracefulStop was called, until the second GOAWAY;
// what comes after that gets no answer. The count rises from zero again, and nothing
// is over before it has ended.
func TestHazard13_LateRPC(t *testing.T) {
	second := func() *handler {
		return newHandler(func(context.Context) error { time.Sleep(time.Second); return nil })
	}
	// tooLate sends the peer away for good, with a stream open so that the connection
	// stays, and checks that the server does not hear of a stream that comes then.
	tooLate := func(t *testing.T, p *peer, open uint32, h *handler) {
		t.Helper()
		p.ackPings(t)
		if got := p.goAway(t, 1); got.last != open {
			t.Errorf("the second GOAWAY says that the last stream is %d, want %d", got.last, open)
		}
		synctest.Wait() // until the handler of the open stream has been called
		runs := h.runs.Load()
		id := p.call(t, unaryMethod)
		synctest.Wait()
		if h.runs.Load() != runs || len(p.frames(func(f frame) bool { return f.StreamID == id })) > 0 {
			t.Error("an RPC after the second GOAWAY was answered")
		}
	}
	inVirtualTime(t, "grpc", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h := second()
		srv := bare(t, n, h.service())
		p := n.peer(t, peerConfig{noPingAcks: true})
		synctest.Wait()
		begun := time.Now()
		graceful := start(noError(srv.GracefulStop))
		if got := p.goAway(t, 0); got.last != 1<<31-1 {
			t.Errorf("the first GOAWAY says that the last stream is %d", got.last)
		}
		time.Sleep(2 * time.Second)
		if got := p.status(t, p.call(t, unaryMethod)); got.code != codes.OK {
			t.Errorf("an RPC after the first GOAWAY: %v", got.code)
		}
		open := p.call(t, unaryMethod)
		tooLate(t, p, open, h)
		if got := p.status(t, open); got.code != codes.OK {
			t.Errorf("an RPC before the second GOAWAY: %v", got.code)
		}
		_ = graceful.result()
		// 2 s of silence, two RPCs of 1 s, and 1 s for the peer, which does not leave.
		if got := graceful.at.Sub(begun); got != 5*time.Second {
			t.Errorf("GracefulStop took %v, want 5s", got)
		}
	})
	inVirtualTime(t, "lastcall", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h := second()
		l := begin(t, n, setup{service: h.service()})
		p := n.peer(t, peerConfig{noPingAcks: true})
		synctest.Wait()
		l.trigger()
		p.goAway(t, 0)
		time.Sleep(2 * time.Second)
		if got := l.adapter.InFlight(); count(got) != 0 {
			t.Errorf("in flight is %+v before anything came", got)
		}
		first := p.call(t, unaryMethod)
		synctest.Wait()
		if got := l.adapter.InFlight(); count(got) != 1 {
			t.Errorf("in flight is %+v while a late RPC runs", got)
		}
		if got := p.status(t, first); got.code != codes.OK {
			t.Errorf("a late RPC: %v", got.code)
		}
		open := p.call(t, unaryMethod)
		tooLate(t, p, open, h)
		if got := p.status(t, open); got.code != codes.OK {
			t.Errorf("a late RPC: %v", got.code)
		}
		r := l.report(t)
		wantEnd(t, r, report.OutcomeDrained, 5*time.Second)
		wantWork(t, r, work(unaryMethod, lastcall.Work{Arrived: 2, Late: 2, Completed: 2}))
		wantNoServer(t, r)
	})
	inVirtualTime(t, "lastcall/after the timer", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h, letGo := stuck(t)
		l := begin(t, n, setup{service: h.service()})
		p := n.peer(t, peerConfig{noPingAcks: true})
		held := p.call(t, unaryMethod)
		comes(t, "the call of the handler", h.in)
		l.trigger()
		p.goAway(t, 0)
		time.Sleep(time.Second)
		l.Force()
		time.Sleep(time.Second)
		for _, id := range []uint32{held, p.call(t, unaryMethod)} {
			if got := p.status(t, id); got.code != codes.Unavailable || got.text != ourText {
				t.Errorf("stream %d: %v %q", id, got.code, got.text)
			}
		}
		if got := h.runs.Load(); got != 1 {
			t.Errorf("the handler ran %d times, want once", got)
		}
		letGo()
		p.conn.Close()
		r := l.report(t)
		wantEnd(t, r, report.OutcomeCancelled, 2*time.Second, late)
		wantWork(t, r, work(unaryMethod, lastcall.Work{Before: 1, Arrived: 1, Late: 1, Cancelled: 2}))
		wantNoServer(t, r)
	})
	inVirtualTime(t, "lastcall/still running at the timer", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h, _ := obedient()
		l := begin(t, n, setup{service: h.service()})
		p := n.peer(t, peerConfig{noPingAcks: true})
		synctest.Wait()
		l.trigger()
		p.goAway(t, 0)
		id := p.call(t, unaryMethod)
		r := l.report(t)
		// After its last stream grpc gives the peer a second to leave.
		wantEnd(t, r, report.OutcomeCancelled, usualTimer+time.Second, late)
		wantWork(t, r, work(unaryMethod, lastcall.Work{Arrived: 1, Late: 1, Cancelled: 1}))
		got := p.status(t, id)
		if got.code != codes.Unavailable || got.text != ourText || got.at.Sub(r.Triggered) != usualTimer {
			t.Errorf("a late RPC: %v %q %v after the trigger", got.code, got.text, got.at.Sub(r.Triggered))
		}
		wantNoServer(t, r)
	})
}

// count is how many RPCs run.
func count(all []lastcall.Work) int {
	n := 0
	for _, w := range all {
		if w.Kind != lastcall.WorkCall {
			n += w.Running
		}
	}
	return n
}

// Row 14: a peer that has died without a word, with a stream open, holds GracefulStop
// unless keepalive finds out.
func TestHazard14_DeadPeer(t *testing.T) {
	dead := peerConfig{deaf: true, noPingAcks: true}
	alive := grpc.KeepaliveParams(keepalive.ServerParameters{Time: 3 * time.Second, Timeout: time.Second})
	open := func(t *testing.T, n *network, h *handler) *peer {
		t.Helper()
		p := n.peer(t, dead)
		p.call(t, outputMethod)
		comes(t, "the call of the handler", h.in)
		synctest.Wait()
		return p
	}
	inVirtualTime(t, "grpc", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h, _ := obedient()
		srv := bare(t, n, h.service())
		open(t, n, h)
		start(noError(srv.GracefulStop)).stays(t, "GracefulStop", time.Hour)
	})
	inVirtualTime(t, "grpc/keepalive", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h, _ := obedient()
		srv := bare(t, n, h.service(), alive)
		open(t, n, h)
		begun := time.Now()
		graceful := start(noError(srv.GracefulStop))
		_ = graceful.result()
		if got := graceful.at.Sub(begun); got != 4*time.Second {
			t.Errorf("GracefulStop took %v, want 4s", got)
		}
	})
	inVirtualTime(t, "lastcall", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h, causes := obedient()
		l := begin(t, n, setup{service: h.service()})
		p := open(t, n, h)
		r := l.shutdown(t)
		// After its last stream grpc gives the peer a second to leave.
		wantEnd(t, r, report.OutcomeCancelled, usualTimer+time.Second, late)
		wantWork(t, r, work(outputMethod, lastcall.Work{Before: 1, Cancelled: 1}))
		if cause := <-causes; !errors.Is(cause, lastcall.ErrTimer) {
			t.Errorf("the handler's context ended because of %v", cause)
		}
		p.listen() // a peer that was not dead after all has been told
		if got := p.status(t, 1); got.code != codes.Unavailable || got.text != ourText {
			t.Errorf("the peer was sent %v %q", got.code, got.text)
		}
		wantNoServer(t, r)
	})
	inVirtualTime(t, "lastcall/full buffer", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		sent := make(chan error, 1)
		service := fnService{output: func(s testgrpc.TestService_StreamingOutputCallServer) error {
			for {
				if err := s.Send(&testgrpc.StreamingOutputCallResponse{Payload: &testgrpc.Payload{Body: make([]byte, 10<<10)}}); err != nil {
					sent <- err
					return err
				}
			}
		}}
		l := begin(t, n, setup{service: service})
		config := dead
		config.streamSize, config.connSize = 1<<20, 1<<20
		p := n.peer(t, config)
		p.call(t, outputMethod)
		synctest.Wait()
		r := l.shutdown(t)
		// Nothing can be written any more: Stop ends the connection.
		wantEnd(t, r, report.OutcomeStopped, usualTimer+fullCancel, late)
		wantWork(t, r, work(outputMethod, lastcall.Work{Before: 1, Cancelled: 1}))
		if err := <-sent; err == nil {
			t.Error("SendMsg has succeeded")
		}
		wantNoServer(t, r)
	})
	inVirtualTime(t, "lastcall/keepalive", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h, _ := obedient()
		l := begin(t, n, setup{service: h.service(), grpc: []grpc.ServerOption{alive}})
		open(t, n, h)
		r := l.shutdown(t)
		wantEnd(t, r, report.OutcomeDrained, 4*time.Second)
		wantWork(t, r, work(outputMethod, lastcall.Work{Before: 1, Completed: 1}))
		wantNoServer(t, r)
	})
}
