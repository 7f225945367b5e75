package grpcadapter_test

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// ordered notes in which order the calls of grpc's server begin and return.
type ordered struct {
	*grpc.Server
	mu    sync.Mutex
	calls []string
}

func (o *ordered) note(call string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, call)
}

func (o *ordered) GracefulStop() {
	o.note("GracefulStop")
	o.Server.GracefulStop()
}

func (o *ordered) Stop() {
	o.note("Stop")
	o.Server.Stop()
	o.note("Stop has returned")
}

// slowClosing is a listener whose connections take closeTime to close, and count what is written
// to them from then on, when that is armed.
type slowClosing struct {
	*mempipe.Listener
	armed   atomic.Bool
	written atomic.Int32
}

const closeTime = time.Millisecond

func (l *slowClosing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &slowToClose{c, l}, nil
}

type slowToClose struct {
	net.Conn
	lis *slowClosing
}

func (c *slowToClose) Close() error {
	time.Sleep(closeTime)
	return c.Conn.Close()
}

func (c *slowToClose) Write(b []byte) (int, error) {
	if c.lis.armed.Load() {
		c.lis.written.Add(1)
	}
	return c.Conn.Write(b)
}

// expired is a controller whose timer has fired.
type expired struct{ lastcall.Host }

func (expired) Life() lastcall.Life {
	now := time.Now()
	return lastcall.NewLife(nil, func() (lastcall.Times, bool) {
		return lastcall.Times{Trigger: now, Timer: now, Deadline: now.Add(time.Hour)}, true
	})
}

// A forced end of idle connections is grpc's Stop and nothing that it has to wait for (ADR 50):
// GracefulStop begins when Stop has returned, no GOAWAY is written, and Cancel does not wait for
// connections that are being closed. The adapter is called as the controller does.
func TestForcedEndOfIdleConnections(t *testing.T) {
	for name, build := range map[string]func(net.Listener) (*grpcadapter.Server, *ordered){
		"New": func(lis net.Listener) (*grpcadapter.Server, *ordered) {
			g := grpcadapter.New(lis)
			srv := &ordered{Server: grpc.NewServer(g.ServerOptions()...)}
			g.Adopt(srv)
			return g, srv
		},
		"Use": func(lis net.Listener) (*grpcadapter.Server, *ordered) {
			srv := &ordered{Server: grpc.NewServer()}
			return grpcadapter.Use(srv, grpcadapter.WithListener(lis)), srv
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, inner *mempipe.Listener, _ <-chan struct{}) {
				lis := &slowClosing{Listener: inner}
				g, srv := build(lis)
				testgrpc.RegisterTestServiceServer(srv, echo{})
				g.Attach(expired{})
				go func() { _ = g.Serve() }()
				for range 10 {
					if _, err := testgrpc.NewTestServiceClient(dial(t, inner)).UnaryCall(t.Context(), &testgrpc.SimpleRequest{}); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(time.Minute)
				lis.armed.Store(true)
				began, drained := time.Now(), make(chan struct{})
				go func() {
					defer close(drained)
					g.GracefulStop()
				}()
				synctest.Wait() // it has come as far as it comes
				g.Cancel(t.Context(), lastcall.ErrTimer)
				if took := time.Since(began); took != 0 {
					t.Errorf("Cancel took %v", took)
				}
				g.Stop()
				<-drained
				if took := time.Since(began); took != closeTime {
					t.Errorf("all took %v", took)
				}
				if want := []string{"Stop", "Stop has returned", "GracefulStop"}; !slices.Equal(srv.calls, want) {
					t.Errorf("called were %v, want %v", srv.calls, want)
				}
				if n := lis.written.Load(); n > 0 {
					t.Errorf("%d writes to connections that are closed", n)
				}
			})
		})
	}
}
