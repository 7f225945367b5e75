package lastcall_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/grpcadapter"
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

type calls struct {
	budget  controller.Budget
	rpcs    []rpcPlan
	signals []time.Duration
	closer  time.Duration
}

func drawCalls(t *rapid.T) calls {
	c := calls{budget: drawBudget(t)}
	total := c.budget.Total
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
			case <-controller.Draining(ctx):
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

func (c calls) run(t *rapid.T) {
	service := &rpcServer{release: make(chan struct{})}
	for _, p := range c.rpcs {
		service.results = append(service.results, callResult{rpcPlan: p})
	}
	lis := bufconn.Listen(1 << 16)
	g := grpcadapter.New(lis)
	testgrpc.RegisterTestServiceServer(g.NewServer(), service)
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
		conn, err := grpc.NewClient("passthrough:///bufconn",
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
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
	for _, at := range c.signals {
		time.AfterFunc(at, func() { signals <- syscall.SIGTERM })
	}
	defer func() {
		cancel()
		close(service.release)
		time.Sleep(4 * c.budget.Total) // the bubble ends when every handler and closer has
	}()

	report := ctl.Run(context.Background())
	end := time.Now()
	synctest.Wait()
	alive := aliveIn("github.com/lastcall-go/lastcall/controller.")
	var lines []string
	for _, r := range service.results {
		lines = append(lines, r.String(begun))
	}
	t.Logf("%+v\n%s\n%v", c.budget, strings.Join(lines, "\n"), report)

	trigger := begun.Add(c.signals[0])
	deadline := trigger.Add(c.budget.Total)
	timer := deadline.Add(-c.budget.Reserve)
	var force time.Time
	if len(c.signals) > 1 {
		force = begun.Add(c.signals[1])
		if !force.After(end) {
			timer = earlier(timer, force)
		}
		if force.Before(end) { // in the instant of the end it may have come too late
			deadline = earlier(deadline, force.Add(c.budget.Reserve))
		}
	}
	if end.After(deadline) {
		t.Fatalf("G1: Run returned %v after the deadline", end.Sub(deadline))
	}
	graceful := earlier(trigger.Add(c.budget.Settle), timer)
	if !slices.ContainsFunc(report.Steps, func(s controller.Step) bool { return s.Phase == controller.PhaseServe }) {
		graceful = trigger // it was never ready: there is nothing to settle
	}
	expired := slices.Contains(report.Path, fsm.TimerExpired)
	last := graceful
	for _, r := range service.results {
		at := begun.Add(r.at)
		if at.Before(graceful) && r.begun.IsZero() {
			t.Fatalf("G3: an RPC was refused %v before the drain: %s", graceful.Sub(at), r.String(begun))
		}
		if at.After(graceful) && !r.begun.IsZero() {
			t.Fatalf("G2: an RPC was accepted %v after the drain began: %s", at.Sub(graceful), r.String(begun))
		}
		if r.begun.IsZero() {
			if r.done && r.code != codes.Unavailable {
				t.Fatalf("a refused RPC got %v: %s", r.code, r.String(begun))
			}
			continue
		}
		back := r.back
		if back.IsZero() {
			back = end.Add(1 << 40)
		}
		last = later(last, back)
		if back.Before(timer) && (!r.done || r.code != codes.OK) {
			t.Fatalf("G3: an RPC whose handler ended before the timer got %v, done: %v: %s", r.code, r.done, r.String(begun))
		}
		if back.After(timer) && r.done && r.code != codes.Unavailable {
			t.Fatalf("G5: an RPC that was stopped got %v: %s", r.code, r.String(begun))
		}
	}
	switch {
	case last.Before(timer) && expired:
		t.Fatalf("G3: the last handler ended %v before the timer, and the timer fired", timer.Sub(last))
	case last.After(timer) && !expired:
		t.Fatalf("G3: a handler ended %v after the timer, and the path is %v", last.Sub(timer), report.Path)
	}
	if !expired {
		half := func(deadline time.Time) time.Time { return last.Add(deadline.Sub(last) / 2) }
		want := earlier(last.Add(c.closer), half(trigger.Add(c.budget.Total)))
		if !force.IsZero() && force.Before(want) {
			want = earlier(want, later(force, half(earlier(trigger.Add(c.budget.Total), force.Add(c.budget.Reserve)))))
		}
		if !end.Equal(want) {
			t.Fatalf("G4: Run returned %v after the trigger, want %v\n%+v\n%v", end.Sub(trigger), want.Sub(trigger), c, report)
		}
	}
	if named := len(report.Abandoned()); alive > named {
		t.Fatalf("G10: %d goroutines are alive, the report names %d", alive, named)
	}
}
