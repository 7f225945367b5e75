package grpcadapter_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/report"
)

// deaf has handlers that stand somewhere for ever, and notes in which line.
type deaf struct {
	testgrpc.UnimplementedTestServiceServer
	in     sync.WaitGroup
	mu     sync.Mutex // held by the test
	never  chan struct{}
	first  atomic.Bool // of the streams one is deaf
	stream atomic.Int64
	unary  atomic.Int64
	empty  atomic.Int64
	ended  atomic.Int64 // when a stream ended last that is not deaf
	gone   atomic.Int64 // how many of these have ended
	left   func(gone int64)
}

func newDeaf() *deaf {
	d := &deaf{never: make(chan struct{})}
	d.mu.Lock()
	return d
}

func (d *deaf) end() { d.mu.Unlock(); close(d.never) }

// next notes the line after the one of the caller.
func next(at *atomic.Int64) {
	_, _, line, _ := runtime.Caller(1)
	at.Store(int64(line) + 1)
}

func (d *deaf) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	d.in.Done()
	if d.first.CompareAndSwap(false, true) {
		next(&d.stream)
		<-d.never
		return nil
	}
	<-stream.Context().Done()
	d.ended.Store(time.Now().UnixNano())
	if n := d.gone.Add(1); d.left != nil {
		d.left(n)
	}
	return stream.Context().Err()
}

func (d *deaf) UnaryCall(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	d.in.Done()
	next(&d.unary)
	d.mu.Lock()
	defer d.mu.Unlock()
	return &testgrpc.SimpleResponse{}, nil
}

func (d *deaf) EmptyCall(ctx context.Context, _ *testgrpc.Empty) (*testgrpc.Empty, error) {
	d.in.Done()
	var err error
	pprof.Do(ctx, pprof.Labels("mine", "yes"), func(context.Context) { // a label of the user's hides none of ours
		next(&d.empty)
		select {
		case <-d.never:
		case <-(chan int)(nil):
		}
	})
	return &testgrpc.Empty{}, err
}

// G15: an RPC that hangs is named with the line of code where it stands, in the log and in the
// report: one deaf stream among many, one that waits for a mutex, one in a select with
// no way out. Right before the timer all streams are there, and the one that stands elsewhere is
// named, too: for that the machine needs time for the look before the timer, so there are several
// tries.
func TestG15_DeafHandlers(t *testing.T) {
	early := ""
	for range 5 {
		var named bool
		if early, named = deafHandlers(t); named || t.Failed() {
			return
		}
	}
	t.Errorf("the first progress is\n%s", early)
}

// deafHandlers reports whether the first progress names the stream that is deaf, and returns the
// log until then.
func deafHandlers(t *testing.T) (early string, named bool) {
	t.Helper()
	const streams = 200
	d := newDeaf()
	defer d.end()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpcadapter.New(lis)
	testgrpc.RegisterTestServiceServer(g.NewServer(), d)
	var log bytes.Buffer
	c, err := controller.New(lastcall.Budget{Total: 4 * time.Second, Reserve: 2 * time.Second}, controller.WithSignals(),
		controller.WithServer("grpc", g), controller.WithLogger(zerolog.New(&log)))
	if err != nil {
		t.Fatal(err)
	}
	reports := make(chan report.Report, 1)
	go func() { reports <- c.Run(context.Background()) }()
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := testgrpc.NewTestServiceClient(conn)
	d.in.Add(streams + 2)
	for range streams {
		if _, err := client.FullDuplexCall(t.Context(), grpc.WaitForReady(true)); err != nil {
			t.Fatal(err)
		}
	}
	go func() { _, _ = client.UnaryCall(t.Context(), &testgrpc.SimpleRequest{}) }()
	go func() { _, _ = client.EmptyCall(t.Context(), &testgrpc.Empty{}) }()
	d.in.Wait()
	c.Shutdown(nil)
	r := <-reports
	if r.Outcome != report.OutcomeAbandoned {
		t.Errorf("outcome %v", r.Outcome)
	}
	for name, want := range map[string]struct {
		line *atomic.Int64
		in   string
	}{
		"FullDuplexCall": {&d.stream, "channel receive"},
		"UnaryCall":      {&d.unary, "sync.(*Mutex).Lock"},
		"EmptyCall":      {&d.empty, "select"},
	} {
		full := "/grpc.testing.TestService/" + name
		place := fmt.Sprintf("stacks_test.go:%d (grpcadapter_test.(*deaf).%s", want.line.Load(), name)
		of := slices.DeleteFunc(slices.Clone(r.Stacks), func(s report.Stack) bool { return s.Of != full })
		if len(of) != 1 || of[0].Count != 1 || !strings.Contains(of[0].Place(), place) || !strings.Contains(of[0].Place(), "in "+want.in) {
			t.Errorf("%s: the report has %+v, want one at %s", name, of, place)
		}
		if !strings.Contains(r.String(), full+" x1, oldest ") || !strings.Contains(r.String(), place) {
			t.Errorf("%s: the summary does not say %s:\n%v", name, place, r)
		}
		line := ""
		for l := range strings.Lines(log.String()) {
			if strings.Contains(l, `"phase":"wait"`) && strings.Contains(l, `"message":"progress"`) {
				line = l
			}
		}
		if !strings.Contains(line, place) || !strings.Contains(line, `"name":"`+full+`","kind":"`) {
			t.Errorf("%s: the log does not say %s in %q:\n%s", name, place, line, &log)
		}
	}
	early = log.String()[:max(strings.Index(log.String(), `"message":"progress"`), 0)]
	return early, strings.Contains(early, fmt.Sprintf("x%d; ", streams-1)) && strings.Contains(early, fmt.Sprintf("stacks_test.go:%d ", d.stream.Load()))
}
