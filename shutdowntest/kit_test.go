package shutdowntest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/controller"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// CI's RAPID_CHECKS is for the properties of lastcall itself; here each check is a whole
	// service. More of them: -rapid.checks=10000.
	set := map[string]string{"rapid.nofailfile": "true", "rapid.shrinktime": "1s", "rapid.checks": checks}
	flag.Visit(func(f *flag.Flag) { delete(set, f.Name) })
	for name, value := range set {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// fake is a test that is there to fail: it keeps what it was told.
type fake struct {
	*testing.T
	mu     sync.Mutex
	failed bool
	text   strings.Builder
}

func (f *fake) say(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintln(&f.text, text)
}
func (f *fake) Log(a ...any)              { f.say(fmt.Sprint(a...)) }
func (f *fake) Logf(s string, a ...any)   { f.say(fmt.Sprintf(s, a...)) }
func (f *fake) Error(a ...any)            { f.Log(a...); f.Fail() }
func (f *fake) Errorf(s string, a ...any) { f.Logf(s, a...); f.Fail() }
func (f *fake) Fatal(a ...any)            { f.Log(a...); f.FailNow() }
func (f *fake) Fatalf(s string, a ...any) { f.Logf(s, a...); f.FailNow() }
func (f *fake) Fail()                     { f.failed = true }
func (f *fake) FailNow()                  { f.failed = true; runtime.Goexit() }
func (f *fake) Failed() bool              { return f.failed }

// fails runs a check that should fail, and returns what it said; "" if it did not fail.
func fails(t *testing.T, k *kit) string {
	f := &fake{T: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.check(f, t)
	}()
	<-done
	if !f.failed {
		return ""
	}
	return f.text.String()
}

type build = func(*Env) *controller.Controller

// newController returns a controller with the budget of the Env.
func newController(e *Env, opts ...controller.Option) *controller.Controller {
	ctl, err := controller.New(e.Budget(), opts...)
	if err != nil {
		e.Fatal(err)
	}
	return ctl
}

// rpcs is a gRPC service: unary calls that take a while, streams of a few messages, and
// streams that do not end.
type rpcs struct {
	testgrpc.UnimplementedTestServiceServer
	unary  func(context.Context) error
	stream func(grpc.ServerStream, func() error) error
}

const takes = 300 * time.Millisecond

// work takes its time, unless the context ends.
func work(ctx context.Context) error {
	select {
	case <-time.After(takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *rpcs) UnaryCall(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	f := s.unary
	if f == nil {
		f = work
	}
	return &testgrpc.SimpleResponse{Payload: &testgrpc.Payload{Body: []byte("hello")}}, f(ctx)
}

func (s *rpcs) StreamingOutputCall(_ *testgrpc.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	return s.stream(stream, func() error { return stream.Send(&testgrpc.StreamingOutputCallResponse{}) })
}

func unary(ctx context.Context, cc *grpc.ClientConn) error {
	_, err := testgrpc.NewTestServiceClient(cc).UnaryCall(ctx, &testgrpc.SimpleRequest{})
	return err
}

func stream(ctx context.Context, cc *grpc.ClientConn) error {
	s, err := testgrpc.NewTestServiceClient(cc).StreamingOutputCall(ctx, &testgrpc.StreamingOutputCallRequest{})
	for err == nil {
		_, err = s.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// get reads a page to its end.
func get(ctx context.Context, c *http.Client) error { return getURL(ctx, c, "http://service/") }

func getURL(ctx context.Context, c *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.ReadAll(res.Body)
	return err
}

// echo sends a line and reads it back.
func echo(_ context.Context, conn net.Conn) error {
	if _, err := io.WriteString(conn, "x"); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}
