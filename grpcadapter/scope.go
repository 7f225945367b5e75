package grpcadapter

import (
	"context"
	"github.com/lastcall-go/lastcall"
	"sync/atomic"
)

// scope is a context that others look into.
type scope struct{ context.Context }

// Attach is called by the controller before Serve.
func (s *Server) Attach(l lastcall.Life) {
	if s.isZero() {
		return
	}
	if s.goAwayFirst > 0 {
		s.http.Store(&scope{lastcall.NewContext(context.Background(), l)})
		l = l.WithDraining(s.told)
	}
	s.life.Store(&l)
	s.scope.Store(&scope{lastcall.NewContext(context.Background(), l)})
}

// scopeOf returns where the scope of an RPC is. Who came over HTTP gets no GOAWAY of
// grpc's, so he hears of the drain when it begins.
func (s *Server) scopeOf(r *rpc) *atomic.Pointer[scope] {
	if r.http {
		return &s.http
	}
	return &s.scope
}
