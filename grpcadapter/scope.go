package grpcadapter

import (
	"context"
	"sync/atomic"

	"github.com/lastcall-go/lastcall"
)

// scope is a context that others look into.
type scope struct{ context.Context }

// Attach is called by the controller before Serve.
func (s *Server) Attach(h lastcall.Host) {
	if s.isZero() {
		return
	}
	l := h.Life()
	if s.goAwayFirst > 0 {
		s.http.Store(&scope{lastcall.NewContext(context.Background(), l)})
		l = lastcall.NewLife(s.told, l.TimerAt)
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
