package hazards_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
)

// ourText is what clients are told of RPCs that the shutdown ends or refuses.
const ourText = "the server is shutting down"

// fnService is the test service with functions for methods; one that is nil
// answers at once.
type fnService struct {
	testgrpc.UnimplementedTestServiceServer
	unary  func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error)
	output func(testgrpc.TestService_StreamingOutputCallServer) error
	duplex func(testgrpc.TestService_FullDuplexCallServer) error
}

func (s fnService) UnaryCall(ctx context.Context, req *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	if s.unary == nil {
		return &testgrpc.SimpleResponse{}, nil
	}
	return s.unary(ctx, req)
}

func (s fnService) StreamingOutputCall(_ *testgrpc.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	if s.output == nil {
		return nil
	}
	return s.output(stream)
}

func (s fnService) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	if s.duplex == nil {
		return nil
	}
	return s.duplex(stream)
}

const (
	unaryMethod  = testgrpc.TestService_UnaryCall_FullMethodName
	outputMethod = testgrpc.TestService_StreamingOutputCall_FullMethodName
	duplexMethod = testgrpc.TestService_FullDuplexCall_FullMethodName
)

// inVirtualTime runs a test in a bubble. Handlers that hang wait for over, which
// is closed when the test is done; then everything has an hour to end.
func inVirtualTime(t *testing.T, name string, f func(t *testing.T, over <-chan struct{})) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			over := make(chan struct{})
			t.Cleanup(func() {
				close(over)
				time.Sleep(time.Hour)
			})
			f(t, over)
		})
	})
}

// dialWith returns a connection over what dial returns.
func dialWith(t *testing.T, dial func(context.Context, string) (net.Conn, error), opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///server", append([]grpc.DialOption{
		grpc.WithContextDialer(dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// controllerOf returns a controller that no signal reaches.
func controllerOf(t *testing.T, budget lastcall.Budget, opts ...controller.Option) *controller.Controller {
	t.Helper()
	c, err := controller.New(budget, append(opts, controller.WithSignals())...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serving is closed: another goroutine serves the server.
func serving() <-chan struct{} {
	ready := make(chan struct{})
	close(ready)
	return ready
}

// checkReport checks what holds for every report.
func checkReport(t *testing.T, r report.Report) { t.Helper(); checkReportOf(t, r, 0) }

// checkReportOf is checkReport where the machine stopped for a while.
func checkReportOf(t *testing.T, r report.Report, stopped time.Duration) {
	t.Helper()
	deadline := r.Deadline
	if at := r.Triggered.Add(r.Budget.Total); r.Suspended == 0 && at.Before(deadline) {
		deadline = at
	}
	if late := r.Ended.Sub(deadline); late > stopped {
		t.Errorf("Run returned %v after the deadline, and the machine stopped for %v\n%v", late, stopped, r)
	}
	for _, w := range r.Work {
		if w.Kind != lastcall.WorkCall && w.Before+w.Arrived != w.Completed+w.Cancelled+w.Cut+w.Running {
			t.Errorf("the numbers do not add up: %+v", w)
		}
	}
	want := []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.Terminated}
	if r.Outcome != report.OutcomeDrained {
		want = []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.TimerExpired, fsm.Terminated}
	}
	if !slices.Equal(r.Path, want) {
		t.Errorf("the path to %v is %v, want %v", r.Outcome, r.Path, want)
	}
}

// wantEnd checks how and when a shutdown ended, and that no step has failed but
// those named. A GracefulStop that is late has failed only if it never came back.
func wantEnd(t *testing.T, r report.Report, outcome report.Outcome, took time.Duration, failed ...string) {
	t.Helper()
	if outcome != report.OutcomeAbandoned {
		failed = slices.DeleteFunc(slices.Clone(failed), func(f string) bool { return f == late })
	}
	var got []string
	for _, s := range r.Failures() {
		got = append(got, s.String())
	}
	if r.Outcome != outcome || r.Took() != took || !slices.Equal(got, failed) {
		t.Errorf("%v after %v, failed %q; want %v after %v, failed %q\n%v", r.Outcome, r.Took(), got, outcome, took, failed, r)
	}
}

// wantWork checks what a report says of one method or call: all but who and when.
func wantWork(t *testing.T, r report.Report, want lastcall.Work) {
	t.Helper()
	late := func(s report.Step) bool { return s.Op == report.OpInFlight }
	if !inBubble() && slices.ContainsFunc(r.Failures(), late) {
		t.Logf("a busy machine: nothing is known of %s", want.Name)
		return
	}
	var got lastcall.Work
	for _, w := range r.Work {
		if w.Name == want.Name && (want.Server == "" || w.Server == want.Server) {
			got = w
		}
	}
	got.Server, got.Oldest, got.Peer, got.Served, got.Slowest = want.Server, want.Oldest, want.Peer, want.Served, want.Slowest
	if got != want {
		t.Errorf("the report has\n%+v, want\n%+v\n%v", got, want, r)
	}
}

// isLeaving reports whether an RPC has been given our status.
func isLeaving(err error) bool {
	return status.Code(err) == codes.Unavailable && status.Convert(err).Message() == ourText
}

// tally returns the errors that are not good, and how often each has come.
func tally(errs []error, good func(error) bool) map[string]int {
	bad := map[string]int{}
	for _, err := range errs {
		if !good(err) {
			bad[fmt.Sprint(err)]++
		}
	}
	return bad
}

// wantLeaving checks that an RPC has been given our status.
func wantLeaving(t *testing.T, what string, err error) {
	t.Helper()
	if !isLeaving(err) {
		t.Errorf("%s: the client got %v, want Unavailable, %q", what, err, ourText)
	}
}

// cancelTook returns how long phase cancel lasted; 0 if there was none.
func cancelTook(r report.Report) time.Duration {
	for _, s := range r.Steps {
		if s.Kind == report.KindPhase && s.Phase == lastcall.PhaseCancel {
			return s.Duration
		}
	}
	return 0
}

// pending is something that runs on a goroutine of its own.
type pending struct {
	done chan struct{}
	err  error     // once done is closed
	at   time.Time // when it was
}

func start(f func() error) *pending {
	p := &pending{done: make(chan struct{})}
	go func() {
		p.err = f()
		p.at = time.Now()
		close(p.done)
	}()
	return p
}

// isDone reports whether it is over.
func (p *pending) isDone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// result waits for its end.
func (p *pending) result() error {
	<-p.done
	return p.err
}

// noError is a function that returns no error.
func noError(f func()) func() error { return func() error { f(); return nil } }

// aliveHere returns the stacks of the goroutines of the caller's bubble that
// functions with this prefix created, but for those that tests have created. All
// others must be blocked when it is called.
func aliveHere(prefix string) [][]byte {
	buf := make([]byte, 1<<20)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	stacks := bytes.Split(buf[:n], []byte("\n\n"))
	bubble := regexp.MustCompile(`synctest bubble \d+`).Find(stacks[0]) // the caller's stack comes first
	if bubble == nil {
		return nil
	}
	own := append(bubble, "]:\n"...)
	var alive [][]byte
	for _, stack := range stacks {
		_, creator, _ := bytes.Cut(stack, []byte("created by "))
		if bytes.Contains(stack, own) && bytes.HasPrefix(creator, []byte(prefix)) && !bytes.Contains(creator, []byte("/hazards_test.")) {
			alive = append(alive, stack)
		}
	}
	return alive
}

// A test whose subject ends the process runs itself again, as a child.

const (
	childVariable = "LASTCALL_HAZARD_CHILD"
	survived      = "the process has survived\n"
)

// isChild reports whether this process is such a child.
func isChild() bool { return os.Getenv(childVariable) != "" }

// asChild runs the calling test, and no other, in a process of its own, and returns
// its exit code and all that it said.
func asChild(t *testing.T) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // only a child that does not end is killed
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
	cmd.Env = append(os.Environ(), childVariable+"=yes")
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}
