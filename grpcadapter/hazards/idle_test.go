package hazards_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/report"
)

// idleBudget lets the timer fire 3 s after the trigger, 2 s after the first GOAWAY.
func idleBudget() lastcall.Budget {
	return lastcall.Budget{Total: 12 * time.Second, Settle: time.Second, Reserve: 9 * time.Second}
}

// big answers with more than a peer's first window.
func big() fnService {
	return fnService{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return &testgrpc.SimpleResponse{Payload: &testgrpc.Payload{Body: make([]byte, 100_000)}}, nil
	}}
}

// waiting is a server whose GracefulStop waits, until Stop at the latest.
type waiting chan struct{}

func (w waiting) GracefulStop() { <-w }
func (w waiting) Stop()         { close(w) }

// A peer that is idle and acknowledges no ping keeps grpc's GracefulStop for 6 s. If the
// timer finds such peers alone nothing was lost, and the exit code says so; in every other
// case something may be.
func TestTimerFindsIdlePeers(t *testing.T) {
	deaf := peerConfig{noPingAcks: true}
	for name, tt := range map[string]struct {
		config   peerConfig
		network  func(*testing.T) *network
		setup    func(*setup)
		before   func(*testing.T, *peer) // the trigger
		settling func(*testing.T, *peer)
		draining func(*testing.T, *instance)
		lost     bool
	}{
		"no stream ever":           {},
		"an RPC before":            {before: func(t *testing.T, p *peer) { p.status(t, p.call(t, unaryMethod)) }},
		"half an RPC, reset":       {before: func(t *testing.T, p *peer) { p.reset(t, p.open(t, unaryMethod, false)) }},
		"TLS, with Credentials":    {network: followed},
		"an RPC in settle":         {settling: func(t *testing.T, p *peer) { p.status(t, p.call(t, unaryMethod)) }, lost: true},
		"half an RPC before (28)":  {before: func(t *testing.T, p *peer) { p.open(t, unaryMethod, false) }, lost: true},
		"half an RPC in settle":    {settling: func(t *testing.T, p *peer) { p.open(t, unaryMethod, false) }, lost: true},
		"half a message":           {before: func(t *testing.T, p *peer) { p.data(t, p.open(t, unaryMethod, false), []byte{0, 0, 0, 0, 9, 1}, false) }, lost: true},
		"an unread answer (11,22)": {setup: func(s *setup) { s.service = big() }, before: func(t *testing.T, p *peer) { p.call(t, unaryMethod) }, lost: true},
		"an unknown method":        {settling: func(t *testing.T, p *peer) { p.status(t, p.call(t, "/none/None")) }, lost: true},
		"TLS":                      {network: secureMemory, lost: true},
		"a handler without its stream": {lost: true, setup: func(s *setup) {
			s.service = fnService{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
				time.Sleep(4 * time.Second)
				return nil, context.Canceled
			}}
		}, before: func(t *testing.T, p *peer) { id := p.call(t, unaryMethod); synctest.Wait(); p.reset(t, id) }},
		"a force": {draining: func(_ *testing.T, l *instance) { l.Force() }, lost: true},
		"a worker": {lost: true, setup: func(s *setup) {
			s.controller = append(s.controller, controller.WithWorker("w", func(_, work context.Context) error { <-work.Done(); return nil }))
		}},
		"a server that does not count": {lost: true, setup: func(s *setup) {
			up := make(chan struct{})
			s.controller = append(s.controller, controller.WithServer("other", waiting(up), controller.ServedElsewhere(serving())))
		}},
		"a server that has drained": {setup: func(s *setup) {
			up := make(chan struct{})
			close(up)
			s.controller = append(s.controller, controller.WithServer("other", waiting(up), controller.ServedElsewhere(serving())))
		}},
		"a step that fails": {setup: func(s *setup) {
			s.controller = append(s.controller, controller.WithCloser("db", func() error { return context.Canceled }))
		}},
	} {
		inVirtualTime(t, name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			if tt.network != nil {
				n = tt.network(t)
			}
			var log bytes.Buffer
			s := setup{budget: idleBudget(), controller: []controller.Option{controller.WithLogger(zerolog.New(&log))}}
			if tt.setup != nil {
				tt.setup(&s)
			}
			l := begin(t, n, s)
			p := n.peer(t, deaf)
			synctest.Wait()
			if tt.before != nil {
				tt.before(t, p)
			}
			synctest.Wait()
			l.trigger()
			time.Sleep(500 * time.Millisecond)
			if tt.settling != nil {
				tt.settling(t, p)
			}
			time.Sleep(time.Second)
			if tt.draining != nil {
				tt.draining(t, l)
			}
			r := l.report(t)
			if !slices.Contains(r.Path, fsm.TimerExpired) {
				t.Fatalf("the timer was not reached\n%v", r)
			}
			code := report.ExitOK
			switch {
			case tt.lost:
				code = report.ExitInterrupted
			case len(r.Failures()) > 0:
				code = report.ExitStep
			}
			said := `server \"grpc\": only idle peers hold it, and nothing is lost: ` + n.Addr().String() + " -> " + n.Addr().String()
			switch {
			case r.ExitCode() != code || (r.Outcome == report.OutcomeIdle) == tt.lost:
				t.Errorf("exit code %d, want %d\n%v", r.ExitCode(), code, r)
			case !tt.lost && (len(r.Idle) != 1 || r.Idle[0].Server != "grpc" || !strings.Contains(r.String(), `idle      "grpc": `)):
				t.Errorf("idle %v\n%v", r.Idle, r)
			case (name == "TLS" || name == "half a message") && !strings.Contains(log.String(), "connections hold it, on which something may be open: memory -> memory"):
				t.Errorf("the log does not say what holds it:\n%s", log.String())
			case !tt.lost && !strings.Contains(log.String(), said):
				t.Errorf("the log does not say %q:\n%s", said, log.String())
			}
		})
	}
}

// followed is a network with TLS through Credentials.
func followed(t *testing.T) *network {
	t.Helper()
	n := memory()
	n.secure(t)
	n.options = []grpc.ServerOption{grpc.Creds(grpcadapter.Credentials(n.creds))}
	return n
}
