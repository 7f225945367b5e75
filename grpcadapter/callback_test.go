package grpcadapter_test

import (
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// callsBack is a gRPC server that looks at its adapter when a service is registered.
type callsBack struct {
	*grpc.Server
	adapter    *grpcadapter.Server
	registered int
}

func (c *callsBack) RegisterService(desc *grpc.ServiceDesc, impl any) {
	_ = c.adapter.Check()
	_ = c.adapter.Health()
	c.registered++
	c.Server.RegisterService(desc, impl)
}

// User code is never called under a lock of the adapter: an option and a gRPC server may
// call its methods.
func TestUserCodeCallsBack(t *testing.T) {
	called := false
	var g *grpcadapter.Server
	var srv *callsBack
	done := make(chan struct{})
	go func() {
		defer close(done)
		g = grpcadapter.New(mempipe.Listen(1), func(s *grpcadapter.Server) {
			called = true
			_ = s.Check()
			_ = s.Health()
			_ = s.InFlight()
			_ = s.Notes()
		})
		srv = &callsBack{Server: grpc.NewServer(g.ServerOptions()...), adapter: g}
		g.Adopt(srv)
		go func() {
			<-g.Accepting()
			g.Stop()
		}()
		if err := g.Serve(); err != nil {
			t.Errorf("Serve returned %v", err)
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("deadlock")
	}
	if err := g.Check(); err != nil || !called || srv.registered != 1 {
		t.Errorf("%v, the option was called: %v, services were registered: %d", err, called, srv.registered)
	}
}
