package hazards_test

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// Row 26: a handler that panics in the drain ends the process, also with lastcall,
// which does not take panics for its own: a recovery interceptor of the user does
// what it does without a shutdown.
func TestHazard26_PanicInTheDrain(t *testing.T) {
	died := func(t *testing.T) {
		t.Helper()
		code, said := asChild(t)
		if code != 2 || !strings.Contains(said, "panic: from the handler") || strings.Contains(said, survived) {
			t.Errorf("the process ended with exit code %d, having said\n%s", code, said)
		}
	}
	t.Run("grpc", func(t *testing.T) {
		if !isChild() {
			died(t)
			return
		}
		n := tcp(t)
		release := make(chan struct{})
		h := newHandler(func(context.Context) error { <-release; panic("from the handler") })
		srv := bare(t, n, h.service())
		p := n.peer(t, peerConfig{})
		p.call(t, unaryMethod)
		<-h.in
		stopped := start(noError(srv.GracefulStop))
		p.goAway(t, 0)
		close(release)
		_ = stopped.result()
		fmt.Print(survived)
	})
	t.Run("lastcall", func(t *testing.T) {
		if !isChild() {
			died(t)
			return
		}
		n := tcp(t)
		h := newHandler(func(ctx context.Context) error { <-lastcall.Draining(ctx); panic("from the handler") })
		l := begin(t, n, setup{service: h.service()})
		rpc := start(call(n.client(t)))
		<-h.in
		l.trigger()
		_ = rpc.result()
		_ = l.run.result()
		fmt.Print(survived)
	})
	for name, tt := range map[string]struct {
		until   func(context.Context) <-chan struct{}
		outcome report.Outcome
		work    lastcall.Work
		check   func(error) bool
	}{
		"with recovery, in the drain": {
			lastcall.Draining, report.OutcomeDrained, lastcall.Work{Before: 1, Completed: 1},
			func(err error) bool { return status.Code(err) == codes.Internal },
		},
		"with recovery, cancelled": {
			context.Context.Done, report.OutcomeCancelled, lastcall.Work{Before: 1, Cancelled: 1},
			isLeaving,
		},
	} {
		inVirtualTime(t, "lastcall/"+name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			h := newHandler(func(ctx context.Context) error { <-tt.until(ctx); panic("from the handler") })
			l := begin(t, n, setup{service: h.service(), grpc: []grpc.ServerOption{
				grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (_ any, err error) {
					defer func() { err = cmp.Or(recovered(recover()), err) }()
					return handler(ctx, req)
				}),
				grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
					defer func() { err = cmp.Or(recovered(recover()), err) }()
					return handler(srv, ss)
				}),
			}})
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
			for what, rpc := range map[string]*pending{"unary": unary, "stream": stream} {
				if err := rpc.result(); !tt.check(err) {
					t.Errorf("%s: the client got %v", what, err)
				}
			}
			if r.Outcome != tt.outcome {
				t.Error(r)
			}
			tt.work.Name, tt.work.Kind = unaryMethod, lastcall.WorkUnary
			wantWork(t, r, tt.work)
			tt.work.Name, tt.work.Kind = duplexMethod, lastcall.WorkBidiStream
			wantWork(t, r, tt.work)
			wantNoServer(t, r)
		})
	}
}

// recovered is the error of a panic.
func recovered(v any) error {
	if v == nil {
		return nil
	}
	return status.Errorf(codes.Internal, "recovered: %v", v)
}
