package hazards_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// G15: where work stands that a force interrupts is known, also if it returns soon after: the
// look is the timer's own.
func TestStacksOfWhatAForceInterrupts(t *testing.T) {
	inVirtualTime(t, "lastcall", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		l := begin(t, n, setup{
			controller: []controller.Option{controller.WithProgress(0)},
			service: fnService{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
				<-ctx.Done()
				time.Sleep(5 * time.Millisecond)
				return nil, ctx.Err()
			}},
		})
		conn := n.client(t)
		go func() { _ = call(conn)() }()
		synctest.Wait()
		l.Force()
		r := l.shutdown(t)
		if !r.Forced || !slices.ContainsFunc(r.Stacks, func(s report.Stack) bool { return s.Of == testgrpc.TestService_UnaryCall_FullMethodName }) {
			t.Errorf("the report has the stacks %+v of\n%v", r.Stacks, r)
		}
	})
}
