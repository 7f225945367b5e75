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
	adapter *grpcadapter.Server
}

func (c *callsBack) RegisterService(desc *grpc.ServiceDesc, impl any) {
	_ = c.adapter.Check()
	_ = c.adapter.Health()
	c.Server.RegisterService(desc, impl)
}

// User code is never called under a lock of the adapter: an option and a gRPC server may
// call its methods.
func TestUserCodeCallsBack(t *testing.T) {
	called := false
	var g *grpcadapter.Server
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
		g.Adopt(&callsBack{grpc.NewServer(g.ServerOptions()...), g})
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("deadlock")
	}
	if err := g.Check(); err != nil || !called || g.Health() == nil {
		t.Errorf("%v, the option was called: %v, health: %v", err, called, g.Health())
	}
	g.Stop()
}
