package hazards_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/lastcall-go/lastcall/grpcadapter"
)

// Row 22: Stop loses answers that handlers have returned and that are on their way;
// GracefulStop loses none. Here the clients read so slowly that an answer is on its
// way for more than 50 ms.
func TestHazard22_AnswersOnTheWay(t *testing.T) {
	const requests = 40
	for name, stop := range map[string]func(*grpc.Server){"grpc Stop": (*grpc.Server).Stop, "grpc GracefulStop": (*grpc.Server).GracefulStop} {
		inVirtualTime(t, name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			n.dial = slowReaders(n.dial)
			release := make(chan struct{})
			h := newHandler(func(context.Context) error { <-release; return nil })
			srv := bare(t, n, bigAnswers{h})
			rpcs := ask(t, n, h, requests)
			close(release)
			time.Sleep(time.Millisecond) // all handlers have returned
			go stop(srv)
			lost := 0
			for _, rpc := range rpcs {
				if rpc.result() != nil {
					lost++
				}
			}
			if want := map[string]int{"grpc Stop": requests}[name]; lost != want {
				t.Errorf("%d of %d answers were lost, want %d", lost, requests, want)
			}
		})
	}
	t.Run("lastcall", func(t *testing.T) {
		for name, tt := range map[string]struct {
			before  time.Duration // how long before the timer the handlers return; that of the last one never does
			certain bool          // that their answers count
		}{
			"just before the timer": {time.Nanosecond, true},
			"with the timer":        {0, false},
			"just after the timer":  {-time.Nanosecond, false},
		} {
			inVirtualTime(t, name, func(t *testing.T, _ <-chan struct{}) {
				n := memory()
				n.dial = slowReaders(n.dial)
				last := make(chan struct{}, 1)
				last <- struct{}{}
				h := newHandler(func(ctx context.Context) error {
					select {
					case <-last:
						<-ctx.Done()
					default:
						time.Sleep(usualTimer - tt.before)
					}
					return nil
				})
				l := begin(t, n, setup{service: bigAnswers{h}})
				rpcs := ask(t, n, h, requests)
				r := l.shutdown(t)
				answered := 0
				for _, rpc := range rpcs {
					if err := rpc.result(); err == nil {
						answered++
					} else {
						wantLeaving(t, name, err)
					}
				}
				if tt.certain && answered != requests-1 || tt.before < 0 && answered != 0 {
					t.Errorf("%d of %d answers came", answered, requests-1)
				}
				t.Logf("%d of %d answers came", answered, requests-1)
				wantWork(t, r, lastcall.Work{
					Name: unaryMethod, Kind: lastcall.WorkUnary,
					Before: requests, Completed: answered, Cancelled: requests - answered,
				})
				if r.Outcome != report.OutcomeCancelled || cancelTook(r) >= fullCancel {
					t.Errorf("%v", r)
				}
				wantNoServer(t, r)
			})
		}
	})
}

// bigAnswers is a service whose answers take a while to read.
type bigAnswers struct{ *handler }

func (b bigAnswers) register(srv grpc.ServiceRegistrar) {
	fnService{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		err := b.handle(ctx)
		return &testgrpc.SimpleResponse{Payload: &testgrpc.Payload{Body: make([]byte, 200_000)}}, err
	}}.register(srv)
}

// slowReaders makes clients that read 4 KiB in a millisecond.
func slowReaders(dial func(context.Context) (net.Conn, error)) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		return slowReader{conn}, err
	}
}

type slowReader struct{ net.Conn }

func (c slowReader) Read(b []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return c.Conn.Read(b[:min(len(b), 4096)])
}

// ask makes requests, each on a connection of its own, and waits until their
// handlers run.
func ask(t *testing.T, n *network, h *handler, requests int) []*pending {
	t.Helper()
	var rpcs []*pending
	for range requests {
		rpcs = append(rpcs, start(call(n.client(t))))
	}
	for range requests {
		<-h.in
	}
	return rpcs
}

// Row 23: clients see Unavailable when the server is stopped. Without a retry policy
// they do not try again; with one the request runs a second time on another server.
// The same goes for RPCs that lastcall cancels, unless a pushback says when to try
// again, or not to.
func TestHazard23_Retries(t *testing.T) {
	const patience = 5 * time.Second
	for name, tt := range map[string]struct {
		policy bool
		runs   int // on the other server
	}{
		"no policy":    {false, 0},
		"retry policy": {true, 1},
	} {
		inVirtualTime(t, "grpc/"+name, func(t *testing.T, _ <-chan struct{}) {
			p := newPair()
			srv := bare(t, p.first, p.leaving.service())
			bare(t, p.second, p.staying.service())
			rpc := p.ask(t, tt.policy)
			srv.Stop()
			err := rpc.result()
			if want := map[int]codes.Code{0: codes.Unavailable}[tt.runs]; status.Code(err) != want {
				t.Errorf("the client got %v, want %v", err, want)
			}
			p.want(t, 1, int32(tt.runs))
		})
	}
	for name, tt := range map[string]struct {
		policy  bool
		adapter []grpcadapter.Option
		runs    int           // on the other server
		after   time.Duration // when it comes to the other server, at least, counted from the timer
		atMost  time.Duration
	}{
		"no policy":               {policy: false},
		"retry policy":            {policy: true, runs: 1, atMost: 2 * time.Second}, // backoffs are random, up to that
		"policy and pushback":     {policy: true, adapter: []grpcadapter.Option{grpcadapter.WithRetryPushback(patience)}, runs: 1, after: patience, atMost: patience},
		"policy and no more":      {policy: true, adapter: []grpcadapter.Option{grpcadapter.WithRetryPushback(-1)}},
		"no policy, but pushback": {policy: false, adapter: []grpcadapter.Option{grpcadapter.WithRetryPushback(patience)}},
	} {
		inVirtualTime(t, "lastcall/"+name, func(t *testing.T, _ <-chan struct{}) {
			p := newPair()
			l := begin(t, p.first, setup{service: p.leaving.service(), adapter: tt.adapter})
			bare(t, p.second, p.staying.service())
			rpc := p.ask(t, tt.policy)
			r := l.shutdown(t)
			err := rpc.result()
			if tt.runs > 0 {
				if after := rpc.at.Sub(r.Triggered) - usualTimer; err != nil || after < tt.after || after > tt.atMost {
					t.Errorf("the client got %v %v after the timer, want an answer after %v to %v", err, after, tt.after, tt.atMost)
				}
			} else {
				wantLeaving(t, name, err)
			}
			p.want(t, 1, int32(tt.runs))
			wantEnd(t, r, report.OutcomeCancelled, usualTimer, late)
			wantWork(t, r, lastcall.Work{Name: unaryMethod, Kind: lastcall.WorkUnary, Before: 1, Cancelled: 1})
		})
	}
}

// pair is two servers with the same service, of which clients prefer the first.
type pair struct {
	first, second    *network
	leaving, staying *handler
}

func newPair() *pair {
	return &pair{
		first: memory(), second: memory(),
		leaving: newHandler(func(ctx context.Context) error { <-ctx.Done(); return nil }),
		staying: newHandler(func(context.Context) error { return nil }),
	}
}

// ask makes a request that the first server does not answer.
func (p *pair) ask(t *testing.T, policy bool) *pending {
	t.Helper()
	r := manual.NewBuilderWithScheme("pair")
	r.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: "first"}, {Addr: "second"}}})
	opts := []grpc.DialOption{
		grpc.WithResolvers(r),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return map[string]*network{"first": p.first, "second": p.second}[addr].dial(ctx)
		}),
	}
	if policy {
		opts = append(opts, grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{}], "retryPolicy": {
			"maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`))
	}
	conn, err := grpc.NewClient("pair:///", opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	rpc := start(call(conn))
	<-p.leaving.in
	return rpc
}

// want checks how often the handlers have run.
func (p *pair) want(t *testing.T, first, second int32) {
	t.Helper()
	if l, s := p.leaving.runs.Load(), p.staying.runs.Load(); l != first || s != second {
		t.Errorf("the handler ran %d times on the server that is stopped and %d times on the other one, want %d and %d", l, s, first, second)
	}
}

// Row 25: GracefulStop wakes neither a SendMsg nor a RecvMsg that blocks, and a
// context of our own around the stream's wakes neither. Stop wakes both, and so does
// a context from a tap, but then grpc itself answers Canceled. A status that is
// written on the RPC's transport stream wakes both, and the client sees that status.
func TestHazard25_BlockedSendAndRecv(t *testing.T) {
	for name, tt := range map[string]struct {
		wake   func(*blocked, *grpc.Server)
		wakes  bool
		client codes.Code // what it sees of the RPC whose handler was in RecvMsg
		text   string
	}{
		"GracefulStop":    {wake: func(_ *blocked, srv *grpc.Server) { go srv.GracefulStop() }},
		"wrapped context": {wake: func(b *blocked, _ *grpc.Server) { b.cancelWrapped() }},
		"Stop":            {wake: func(_ *blocked, srv *grpc.Server) { go srv.Stop() }, wakes: true, client: codes.Unavailable},
		"context of a tap": {
			wake: func(b *blocked, _ *grpc.Server) { b.cancelTapped() }, wakes: true,
			client: codes.Canceled, text: context.Canceled.Error(),
		},
		"status": {
			wake: func(b *blocked, _ *grpc.Server) { b.writeStatus() }, wakes: true,
			client: codes.Unavailable, text: "from the test",
		},
	} {
		inVirtualTime(t, "grpc/"+name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			b := newBlocked(t)
			srv := bare(t, n, b, grpc.InTapHandle(b.tap), grpc.StreamInterceptor(b.wrap))
			b.block(t, n)
			tt.wake(b, srv)
			time.Sleep(time.Minute)
			synctest.Wait()
			if b.send.isDone() != tt.wakes || b.recv.isDone() != tt.wakes {
				t.Fatalf("SendMsg has woken: %v, RecvMsg: %v; want %v", b.send.isDone(), b.recv.isDone(), tt.wakes)
			}
			if !tt.wakes {
				return
			}
			_, err := b.receiver.Recv()
			if status.Code(err) != tt.client || tt.text != "" && status.Convert(err).Message() != tt.text {
				t.Errorf("the client of RecvMsg got %v, want %v %q", err, tt.client, tt.text)
			}
		})
	}
	inVirtualTime(t, "lastcall/both", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		b := newBlocked(t)
		l := begin(t, n, setup{service: b})
		b.block(t, n)
		r := l.shutdown(t)
		for what, p := range map[string]*pending{"SendMsg": b.send, "RecvMsg": b.recv} {
			if p.result() == nil || p.at.Sub(r.Triggered) != usualTimer {
				t.Errorf("%s returned %v %v after the trigger, want an error with the timer", what, p.err, p.at.Sub(r.Triggered))
			}
		}
		_, err := b.receiver.Recv()
		wantLeaving(t, "RecvMsg", err)
		// Its status waits behind what the client has not read, until Stop.
		wantEnd(t, r, report.OutcomeStopped, usualTimer+fullCancel, late)
		wantWork(t, r, lastcall.Work{Name: duplexMethod, Kind: lastcall.WorkBidiStream, Before: 1, Cancelled: 1})
		wantWork(t, r, lastcall.Work{Name: outputMethod, Kind: lastcall.WorkServerStream, Before: 1, Cancelled: 1})
		wantNoServer(t, r)
	})
	inVirtualTime(t, "lastcall/the client reads at last", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		b := newBlocked(t)
		l := begin(t, n, setup{service: b})
		b.block(t, n)
		received := 0
		time.AfterFunc(usualTimer+time.Second, func() {
			var err error
			for ; err == nil; received++ {
				_, err = b.sender.Recv()
			}
			received--
			wantLeaving(t, "SendMsg", err)
		})
		r := l.shutdown(t)
		if received != b.sent {
			t.Errorf("%d messages have come of %d that were sent", received, b.sent)
		}
		wantEnd(t, r, report.OutcomeCancelled, usualTimer+time.Second, late)
		wantNoServer(t, r)
	})
	for name, adapter := range map[string][]grpcadapter.Option{
		"causes":                 nil,
		"causes, unary contexts": {grpcadapter.WithUnaryContexts()},
	} {
		inVirtualTime(t, "lastcall/"+name, func(t *testing.T, _ <-chan struct{}) {
			type seen struct{ own, derived, deadline error }
			handle := func(ctx context.Context) seen {
				derived, cancel := context.WithCancel(ctx)
				defer cancel()
				deadline, stop := context.WithTimeout(derived, time.Hour)
				defer stop()
				<-deadline.Done()
				if ctx.Err() != context.Canceled {
					t.Errorf("Err is %v, want Canceled", ctx.Err())
				}
				return seen{context.Cause(ctx), context.Cause(derived), context.Cause(deadline)}
			}
			var mu sync.Mutex
			got := map[string]seen{}
			in := make(chan struct{}, 2)
			note := func(kind string, ctx context.Context) {
				in <- struct{}{}
				s := handle(ctx)
				mu.Lock()
				defer mu.Unlock()
				got[kind] = s
			}
			n := memory()
			l := begin(t, n, setup{adapter: adapter, service: fnService{
				unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
					note("unary", ctx)
					return &testgrpc.SimpleResponse{}, nil
				},
				duplex: func(s testgrpc.TestService_FullDuplexCallServer) error {
					note("stream", s.Context())
					return nil
				},
			}})
			conn := n.client(t)
			rpc := start(call(conn))
			stream, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			<-in
			<-in
			r := l.shutdown(t)
			wantEnd(t, r, report.OutcomeCancelled, usualTimer, late)
			wantLeaving(t, "unary", rpc.result())
			_, err = stream.Recv()
			wantLeaving(t, "stream", err)
			all := seen{lastcall.ErrTimer, lastcall.ErrTimer, lastcall.ErrTimer}
			unary := seen{context.Canceled, context.Canceled, context.Canceled}
			if len(adapter) > 0 {
				unary = all
			}
			if got["stream"] != all || got["unary"] != unary {
				t.Errorf("the causes are\n%v, want\n%v", got, map[string]seen{"stream": all, "unary": unary})
			}
		})
	}
}

// blocked is a service with one handler that blocks in SendMsg and one that blocks in
// RecvMsg.
type blocked struct {
	send, recv *pending
	sent       int // messages, before it blocked
	sender     testgrpc.TestService_StreamingOutputCallClient
	receiver   testgrpc.TestService_FullDuplexCallClient

	test                 *testing.T
	sendReady, recvReady chan *pending

	mu              sync.Mutex // guards what is below
	tapped, wrapped []context.CancelFunc
	streams         []grpc.ServerTransportStream
}

func newBlocked(t *testing.T) *blocked {
	t.Helper()
	return &blocked{test: t, sendReady: make(chan *pending, 1), recvReady: make(chan *pending, 1)}
}

func (b *blocked) register(srv grpc.ServiceRegistrar) {
	fnService{
		output: func(s testgrpc.TestService_StreamingOutputCallServer) error {
			b.saw(s.Context())
			p := start(func() error {
				for {
					if err := s.Send(&testgrpc.StreamingOutputCallResponse{Payload: &testgrpc.Payload{Body: make([]byte, 10_000)}}); err != nil {
						return err
					}
					b.sent++
				}
			})
			b.sendReady <- p
			return p.result()
		},
		duplex: func(s testgrpc.TestService_FullDuplexCallServer) error {
			b.saw(s.Context())
			p := start(func() error { _, err := s.Recv(); return err })
			b.recvReady <- p
			return p.result()
		},
	}.register(srv)
}

// block brings the handlers to where they block.
func (b *blocked) block(t *testing.T, n *network) {
	t.Helper()
	client := testgrpc.NewTestServiceClient(n.client(t))
	var err1, err2 error
	b.sender, err1 = client.StreamingOutputCall(context.Background(), &testgrpc.StreamingOutputCallRequest{})
	b.receiver, err2 = client.FullDuplexCall(context.Background())
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	b.send, b.recv = <-b.sendReady, <-b.recvReady
	synctest.Wait()
	if b.send.isDone() || b.recv.isDone() {
		t.Fatal("the handlers do not block")
	}
}

func (b *blocked) saw(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams = append(b.streams, grpc.ServerTransportStreamFromContext(ctx))
}

func (b *blocked) tap(ctx context.Context, _ *tap.Info) (context.Context, error) {
	ctx, cancel := context.WithCancel(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tapped = append(b.tapped, cancel)
	return ctx, nil
}

func (b *blocked) cancelTapped() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cancel := range b.tapped {
		cancel()
	}
}

// wrap gives streams a context of our own.
func (b *blocked) wrap(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	b.mu.Lock()
	b.wrapped = append(b.wrapped, cancel)
	b.mu.Unlock()
	return handler(srv, wrappedStream{ss, ctx})
}

func (b *blocked) cancelWrapped() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cancel := range b.wrapped {
		cancel()
	}
}

// writeStatus does what the adapter does. The type of the streams is internal to
// grpc: if it loses the method, nothing of phase cancel works.
func (b *blocked) writeStatus() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.streams {
		w, ok := s.(interface {
			WriteStatus(*status.Status) error
		})
		if !ok {
			b.test.Errorf("a %T has no WriteStatus", s)
			return
		}
		if err := w.WriteStatus(status.New(codes.Unavailable, "from the test")); err != nil {
			b.test.Errorf("WriteStatus: %v", err)
		}
	}
}

type wrappedStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // this is how a stream is given another context
}

func (s wrappedStream) Context() context.Context { return s.ctx }

// Row 28: a unary request of which only a part has come. Interceptors have not run,
// so nobody counts it, and GracefulStop waits for it.
func TestHazard28_HalfSentRequest(t *testing.T) {
	half := message([]byte("0123456789"))[:9]
	rest := message(nil) // an empty request takes the place of a real one
	inVirtualTime(t, "grpc", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		intercepted := 0
		srv := bare(t, n, fnService{}, grpc.UnaryInterceptor(
			func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
				intercepted++
				return h(ctx, req)
			}))
		p := n.peer(t, peerConfig{})
		p.data(t, p.open(t, unaryMethod, false), half, false)
		synctest.Wait() // until the server has it
		graceful := start(noError(srv.GracefulStop))
		graceful.stays(t, "GracefulStop", time.Hour)
		if intercepted != 0 {
			t.Errorf("the interceptor ran %d times", intercepted)
		}
		srv.Stop()
		_ = graceful.result()
	})
	for name, tt := range map[string]struct {
		method string
		sends  time.Duration // the rest, so long after the trigger; 0: never
		took   time.Duration
		out    report.Outcome
		work   lastcall.Work
		client codes.Code
		failed []string
	}{
		"never complete": {
			method: unaryMethod, took: usualTimer + fullCancel, out: report.OutcomeStopped, failed: []string{late},
		},
		"complete in the drain": {
			method: unaryMethod, sends: 4 * time.Second, took: 4 * time.Second, out: report.OutcomeDrained,
			work:   lastcall.Work{Name: unaryMethod, Kind: lastcall.WorkUnary, Arrived: 1, Late: 1, Completed: 1},
			client: codes.OK,
		},
		"complete in phase cancel": {
			method: unaryMethod, sends: usualTimer + time.Second, took: usualTimer + time.Second, out: report.OutcomeCancelled,
			work:   lastcall.Work{Name: unaryMethod, Kind: lastcall.WorkUnary, Arrived: 1, Late: 1, Cancelled: 1},
			client: codes.Unavailable, failed: []string{late},
		},
		"of a stream": { // whose interceptors have run
			method: duplexMethod, took: usualTimer, out: report.OutcomeCancelled,
			work:   lastcall.Work{Name: duplexMethod, Kind: lastcall.WorkBidiStream, Before: 1, Cancelled: 1},
			client: codes.Unavailable, failed: []string{late},
		},
	} {
		inVirtualTime(t, "lastcall/"+name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			l := begin(t, n, setup{service: fnService{duplex: func(s testgrpc.TestService_FullDuplexCallServer) error {
				_, err := s.Recv()
				return err
			}}})
			p := n.peer(t, peerConfig{})
			id := p.open(t, tt.method, false)
			if tt.sends == 0 {
				p.data(t, id, half, false)
			}
			synctest.Wait()
			l.trigger()
			if tt.sends > 0 {
				time.AfterFunc(tt.sends, func() { p.data(t, id, rest, true) })
			}
			// A peer that keeps its connection would hold GracefulStop for another second.
			gone := start(func() error {
				if tt.out == report.OutcomeStopped {
					return nil
				}
				end := p.status(t, id)
				p.conn.Close()
				if end.reset || end.code != tt.client || tt.client == codes.Unavailable && end.text != ourText {
					return fmt.Errorf("the peer got %v %q, reset: %v, want %v", end.code, end.text, end.reset, tt.client)
				}
				return nil
			})
			r := l.report(t)
			if err := gone.result(); err != nil {
				t.Error(err)
			}
			wantEnd(t, r, tt.out, tt.took, tt.failed...)
			if tt.work.Name != "" {
				wantWork(t, r, tt.work)
			} else if len(r.Work) != 0 {
				t.Errorf("the report has %+v", r.Work)
			}
			wantNoServer(t, r)
		})
	}
}

// Row 29: an RPC that arrives on a connection whose context from TagConn was
// cancelled gets DeadlineExceeded, which clients take for their own deadline.
// lastcall cancels no connection's context, and refuses what comes after Cancel.
func TestHazard29_LateRPC(t *testing.T) {
	inVirtualTime(t, "grpc", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		tags := &tagger{}
		bare(t, n, fnService{}, grpc.StatsHandler(tags))
		rpc := call(n.client(t))
		if err := rpc(); err != nil {
			t.Fatal(err)
		}
		tags.cancel()
		if err := rpc(); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("on a connection whose context was cancelled an RPC gets %v, want DeadlineExceeded", err)
		}
	})
	// The peer does not acknowledge pings, so it may open streams for 5 s after
	// GracefulStop was called, and the timer fires earlier.
	budget := lastcall.Budget{Total: 14 * time.Second, Reserve: 12 * time.Second}
	const timer, cancelShare = 2 * time.Second, 2 * time.Second
	for _, method := range []string{unaryMethod, duplexMethod} {
		inVirtualTime(t, "lastcall"+method, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			h := newHandler(func(context.Context) error { return nil })
			l := begin(t, n, setup{service: h.service(), budget: budget, adapter: []grpcadapter.Option{grpcadapter.WithRetryPushback(time.Second)}})
			p := n.peer(t, peerConfig{noPingAcks: true})
			p.open(t, unaryMethod, false) // half an RPC, for which phase cancel waits
			synctest.Wait()
			triggered := time.Now()
			l.trigger()
			const after = timer + time.Second
			time.Sleep(after)
			end := p.status(t, p.call(t, method))
			if end.code != codes.Unavailable || end.text != ourText || end.at.Sub(triggered) != after || end.fields["grpc-retry-pushback-ms"] != "1000" {
				t.Errorf("the late RPC got %+v, want Unavailable, %q, pushback 1000, at once", end, ourText)
			}
			r := l.report(t)
			if runs := h.runs.Load(); runs != 0 {
				t.Errorf("its handler ran %d times", runs)
			}
			wantEnd(t, r, report.OutcomeStopped, timer+cancelShare, late)
			kind := map[string]lastcall.WorkKind{unaryMethod: lastcall.WorkUnary, duplexMethod: lastcall.WorkBidiStream}[method]
			wantWork(t, r, lastcall.Work{Name: method, Kind: kind, Arrived: 1, Late: 1, Cancelled: 1})
			wantNoServer(t, r)
		})
	}
}

// tagger gives connections a context that can be cancelled.
type tagger struct {
	mu   sync.Mutex
	ends []context.CancelFunc
}

func (s *tagger) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = append(s.ends, cancel)
	return ctx
}

func (s *tagger) cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, end := range s.ends {
		end()
	}
}

func (*tagger) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (*tagger) HandleRPC(context.Context, stats.RPCStats)                       {}
func (*tagger) HandleConn(context.Context, stats.ConnStats)                     {}

// Row 30: the context of an RPC that a tap refuses lives on until the client's
// deadline, with its timer. lastcall has no tap: what it refuses is over at once, and
// a tap of the user works as ever.
func TestHazard30_TapRefuses(t *testing.T) {
	const deadline = time.Hour
	inVirtualTime(t, "grpc", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		refused := make(chan context.Context, 1)
		bare(t, n, fnService{}, grpc.InTapHandle(func(ctx context.Context, _ *tap.Info) (context.Context, error) {
			refused <- ctx
			return ctx, status.Error(codes.ResourceExhausted, "from the tap")
		}))
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		begun := time.Now()
		_, err := testgrpc.NewTestServiceClient(n.client(t)).UnaryCall(ctx, &testgrpc.SimpleRequest{})
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("the client got %v", err)
		}
		<-(<-refused).Done()
		if lived := time.Since(begun); lived != deadline {
			t.Errorf("the context of a refused RPC lived for %v, so it no longer leaks until the deadline of %v", lived, deadline)
		}
	})
	inVirtualTime(t, "lastcall", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		var mu sync.Mutex
		var tapped []context.Context
		userTap := func(ctx context.Context, info *tap.Info) (context.Context, error) {
			mu.Lock()
			defer mu.Unlock()
			tapped = append(tapped, ctx)
			if strings.HasSuffix(info.FullMethodName, "/EmptyCall") {
				return ctx, status.Error(codes.ResourceExhausted, "from the tap")
			}
			return context.WithValue(ctx, tapKey{}, "from the tap"), nil
		}
		h := newHandler(func(ctx context.Context) error {
			if ctx.Value(tapKey{}) != "from the tap" {
				t.Error("the handler does not see the tap's context")
			}
			return nil
		})
		l := begin(t, n, setup{service: h.service(), grpc: []grpc.ServerOption{grpc.InTapHandle(userTap)},
			budget: lastcall.Budget{Total: 14 * time.Second, Reserve: 12 * time.Second}})
		conn := n.client(t)
		_, err := testgrpc.NewTestServiceClient(conn).EmptyCall(t.Context(), &testgrpc.Empty{})
		if status.Code(err) != codes.ResourceExhausted || status.Convert(err).Message() != "from the tap" {
			t.Errorf("the RPC that the tap refuses got %v", err)
		}
		if err := call(conn)(); err != nil {
			t.Errorf("the RPC that the tap lets pass got %v", err)
		}
		p := n.peer(t, peerConfig{noPingAcks: true})
		p.open(t, unaryMethod, false) // half an RPC, for which phase cancel waits
		synctest.Wait()
		l.trigger()
		time.Sleep(3 * time.Second) // in phase cancel
		end := p.status(t, p.call(t, unaryMethod))
		if end.code != codes.Unavailable || end.text != ourText {
			t.Errorf("the RPC that is refused got %v %q", end.code, end.text)
		}
		synctest.Wait()
		mu.Lock()
		if len(tapped) != 4 {
			t.Errorf("the tap has seen %d RPCs, want 4", len(tapped))
		} else if tapped[3].Err() == nil {
			t.Error("the context of the RPC that lastcall has refused is still alive")
		}
		mu.Unlock()
		r := l.report(t)
		wantWork(t, r, lastcall.Work{Name: unaryMethod, Kind: lastcall.WorkUnary, Arrived: 1, Late: 1, Cancelled: 1})
	})
}

type tapKey struct{}

// Row 31: a handler whose context we cancel returns the error of that context, and
// the client sees Canceled, which it does not retry.
func TestHazard31_ReturnsContextError(t *testing.T) {
	inVirtualTime(t, "grpc", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h := newHandler(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		bare(t, n, h.service(), grpc.UnaryInterceptor(
			func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, lastcall.ErrTimer)
				defer cancel()
				ctx, end := context.WithCancel(ctx)
				defer end()
				time.AfterFunc(time.Second, end)
				return handler(ctx, req)
			}))
		if err := call(n.client(t))(); status.Code(err) != codes.Canceled {
			t.Errorf("the client got %v, want Canceled", err)
		}
	})
	for name, result := range map[string]func(context.Context) error{
		"its error":      context.Context.Err,
		"its cause":      context.Cause,
		"a status of it": func(ctx context.Context) error { return status.FromContextError(ctx.Err()).Err() },
		"another status": func(context.Context) error { return status.Error(codes.Internal, "from the handler") },
		"no error":       func(context.Context) error { return nil }, // its answer comes too late
	} {
		inVirtualTime(t, "lastcall/"+name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			h := newHandler(func(ctx context.Context) error { <-ctx.Done(); return result(ctx) })
			l := begin(t, n, setup{service: h.service()})
			conn := n.client(t)
			unary := start(call(conn))
			stream := start(func() error {
				s, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(context.Background())
				if err == nil {
					_, err = s.Recv()
				}
				return err
			})
			<-h.in
			<-h.in
			r := l.shutdown(t)
			wantLeaving(t, "unary", unary.result())
			wantLeaving(t, "stream", stream.result())
			wantEnd(t, r, report.OutcomeCancelled, usualTimer, late)
			wantWork(t, r, lastcall.Work{Name: unaryMethod, Kind: lastcall.WorkUnary, Before: 1, Cancelled: 1})
			wantWork(t, r, lastcall.Work{Name: duplexMethod, Kind: lastcall.WorkBidiStream, Before: 1, Cancelled: 1})
			wantNoServer(t, r)
		})
	}
}
