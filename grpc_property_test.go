package lastcall_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// TestPropertyGRPC: a real grpc server and real clients over bufconn, with RPCs
// of every length, begun at any time before, during and after the shutdown.
func TestPropertyGRPC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawCalls(t)
		rapid.SyncTest(t, func(t *rapid.T) { s.run(t) })
	})
}

// rpcPlan is one RPC that a client makes.
type rpcPlan struct {
	client int
	at     time.Duration
	kind   string
	takes  time.Duration
}

const (
	obeying = "obeying" // a unary handler that ends with its context
	stuck   = "stuck"   // a unary handler that ignores it
	drained = "drained" // a stream that runs until the drain begins, and then for its time
	endless = "endless" // a stream that ends with its context only
)

// peerPlan is a client that connects and then says nothing, or one that watches the
// server's health. Both stay until the server sends them away.
type peerPlan struct {
	at      time.Duration
	watches bool
}

type calls struct {
	budget  lastcall.Budget
	rpcs    []rpcPlan
	peers   []peerPlan
	shaking time.Duration // how long a handshake may take once the drain has begun
	spread  time.Duration
	waits   bool // grpc.WaitForHandlers
	signals []time.Duration
	closer  time.Duration
}

func drawCalls(t *rapid.T) calls {
	c := calls{budget: drawBudget(t)}
	total := c.budget.Total
	if c.budget.Settle > 0 && rapid.Bool().Draw(t, "quiet") {
		c.budget.Quiet = max(1, drawTime(t, "quiet time", c.budget.Settle))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "peers") {
		label := fmt.Sprintf("peer %d ", i)
		c.peers = append(c.peers, peerPlan{at: drawTime(t, label+"at", 2*total), watches: rapid.Bool().Draw(t, label+"watches")})
	}
	c.shaking = unit * time.Duration(rapid.IntRange(1, 10).Draw(t, "handshake time"))
	if rapid.IntRange(0, 2).Draw(t, "spreads") == 0 {
		c.spread = drawTime(t, "spread", total)
	}
	c.waits = rapid.Bool().Draw(t, "waits for handlers")
	for i := range rapid.IntRange(0, 6).Draw(t, "rpcs") {
		label := fmt.Sprintf("rpc %d ", i)
		p := rpcPlan{
			client: rapid.IntRange(0, 2).Draw(t, label+"client"),
			at:     drawTime(t, label+"at", 2*total),
			kind:   rapid.SampledFrom([]string{obeying, obeying, stuck, drained, endless}).Draw(t, label+"kind"),
			takes:  drawTime(t, label+"takes", total),
		}
		c.rpcs = append(c.rpcs, p)
	}
	c.signals = []time.Duration{drawTime(t, "signal at", 2*total)}
	if rapid.IntRange(0, 3).Draw(t, "forces") == 0 {
		c.signals = append(c.signals, c.signals[0]+drawTime(t, "second signal after", total))
	}
	c.closer = drawTime(t, "closer takes", total)
	return c
}

// callResult is what a client saw of one RPC, and what its handler noted.
type callResult struct {
	rpcPlan
	code        codes.Code
	message     string
	done        bool
	doneAt      time.Time
	begun, back time.Time // of the handler; zero: not yet
}

func (r callResult) String(begun time.Time) string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return t.Sub(begun).String()
	}
	return fmt.Sprintf("%+v: handler %s to %s, client done %s: %v %s", r.rpcPlan, at(r.begun), at(r.back), at(r.doneAt), r.code, r.message)
}

// rpcServer is the service. The handler of an RPC finds its plan by number.
type rpcServer struct {
	testgrpc.UnimplementedTestServiceServer
	release chan struct{}
	mu      sync.Mutex
	results []callResult
}

func (s *rpcServer) note(i int32, f func(*callResult)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.results[i])
}

// all returns what is known of all RPCs.
func (s *rpcServer) all() []callResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.results)
}

func (s *rpcServer) handle(ctx context.Context, i int32) error {
	s.note(i, func(r *callResult) { r.begun = time.Now() })
	plan := s.results[i].rpcPlan
	timer := time.NewTimer(plan.takes)
	defer timer.Stop()
	ended := ctx.Done()
	err := errors.New("the handler's context ended")
	switch plan.kind {
	case stuck:
		ended, err = s.release, nil
	case drained, endless:
		timer.Stop()
		if plan.kind == drained {
			select {
			case <-lastcall.Draining(ctx):
				timer.Reset(plan.takes)
			case <-ended:
			}
		}
	}
	select {
	case <-timer.C:
		err = nil
	case <-ended:
	}
	s.note(i, func(r *callResult) { r.back = time.Now() })
	return err
}

func (s *rpcServer) UnaryCall(ctx context.Context, req *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{}, s.handle(ctx, req.ResponseSize)
}

func (s *rpcServer) StreamingOutputCall(req *testgrpc.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	return s.handle(stream.Context(), req.ResponseParameters[0].Size)
}

// call makes one RPC and notes its status.
func (s *rpcServer) call(ctx context.Context, client testgrpc.TestServiceClient, i int32, kind string) {
	var err error
	switch kind {
	case drained, endless:
		var stream testgrpc.TestService_StreamingOutputCallClient
		stream, err = client.StreamingOutputCall(ctx, &testgrpc.StreamingOutputCallRequest{
			ResponseParameters: []*testgrpc.ResponseParameters{{Size: i}},
		})
		if err == nil {
			if _, err = stream.Recv(); errors.Is(err, io.EOF) {
				err = nil
			}
		}
	default:
		_, err = client.UnaryCall(ctx, &testgrpc.SimpleRequest{ResponseSize: i})
	}
	s.note(i, func(r *callResult) {
		r.code, r.message, r.done, r.doneAt = status.Code(err), status.Convert(err).Message(), true, time.Now()
	})
}

// peer is a peerPlan at work.
type peer struct {
	mu sync.Mutex
	peerResult
}

// peerResult is what became of a peerPlan.
type peerResult struct {
	peerPlan
	connected bool
	last      healthpb.HealthCheckResponse_ServingStatus // the last message, of one that watches
	err       error                                      // what ended it
	over      time.Time                                  // zero: not yet
}

func (p peerResult) String(begun time.Time) string {
	return fmt.Sprintf("%+v: connected %v, last message %v, over at %v: %v", p.peerPlan, p.connected, p.last, p.over.Sub(begun), p.err)
}

// visit does what a peer does, until the server sends it away.
func (p *peer) visit(ctx context.Context, lis *mempipe.Listener) {
	connect := p.say
	if p.watches {
		connect = p.watch
	}
	err := connect(ctx, lis)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.over = err, time.Now()
}

// say says nothing.
func (p *peer) say(ctx context.Context, lis *mempipe.Listener) error {
	conn, err := lis.DialContext(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	context.AfterFunc(ctx, func() { conn.Close() })
	p.note(func() { p.connected = true })
	_, err = io.Copy(io.Discard, conn) // grpc's settings
	return err
}

// watch asks for health, and does not leave when it is told NOT_SERVING.
func (p *peer) watch(ctx context.Context, lis *mempipe.Listener) error {
	conn, err := dialMemory(lis)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
	for err == nil {
		var r *healthpb.HealthCheckResponse
		if r, err = stream.Recv(); err == nil {
			p.note(func() { p.connected, p.last = true, r.Status })
		}
	}
	return err
}

func (p *peer) note(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func dialMemory(lis *mempipe.Listener) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///bufconn",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func (c calls) run(t *rapid.T) {
	service := &rpcServer{release: make(chan struct{})}
	for _, p := range c.rpcs {
		service.results = append(service.results, callResult{rpcPlan: p})
	}
	lis := mempipe.Listen(1 << 16)
	g := grpcadapter.New(grpcadapter.WrapListener(lis, grpcadapter.HandshakeTime(c.shaking)), grpcadapter.WithSpread(c.spread))
	testgrpc.RegisterTestServiceServer(g.NewServer(grpc.WaitForHandlers(c.waits)), service)
	signals := make(chan os.Signal, len(c.signals))
	ctl, err := controller.New(c.budget,
		controller.WithServer("grpc", g),
		controller.WithCloser("closer", func() { time.Sleep(c.closer) }),
		controller.WithSignalChannel(signals))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var clients []testgrpc.TestServiceClient
	for range 3 {
		conn, err := dialMemory(lis)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:revive // three of them, closed at the end of the run
		clients = append(clients, testgrpc.NewTestServiceClient(conn))
	}
	begun := time.Now()
	for i, p := range c.rpcs {
		time.AfterFunc(p.at, func() { service.call(ctx, clients[p.client], int32(i), p.kind) })
	}
	var peers []*peer
	for _, plan := range c.peers {
		p := &peer{peerResult: peerResult{peerPlan: plan}}
		peers = append(peers, p)
		time.AfterFunc(p.at, func() { p.visit(ctx, lis) })
	}
	for _, at := range c.signals {
		time.AfterFunc(at, func() { signals <- syscall.SIGTERM })
	}
	defer func() {
		cancel()
		close(service.release)
		time.Sleep(4 * c.budget.Total) // the bubble ends when every handler and closer has
	}()

	report := ctl.Run(context.Background())
	o := &rpcOracle{calls: c, report: report, begun: begun, end: time.Now()}
	synctest.Wait()
	o.results = service.all()
	for _, p := range peers {
		p.note(func() { o.peers = append(o.peers, p.peerResult) })
	}
	alive := aliveIn(module + "/controller.")
	aliveBelow := aliveIn(module + "/grpcadapter.")
	t.Log(o)
	o.check(t)
	if named := len(report.Abandoned()); alive > named {
		t.Fatalf("G10: %d goroutines of the controller are alive, the report names %d", alive, named)
	}
	if named := o.namedCalls(); aliveBelow > named {
		t.Fatalf("G10: %d goroutines of the adapter are alive, the report names %d", aliveBelow, named)
	}
}
