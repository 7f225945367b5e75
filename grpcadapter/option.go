package grpcadapter

import (
	"net"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// WithListener makes a Server from [Use] serve on the listener, through
// [WrapListener].
func WithListener(lis net.Listener) Option {
	return func(s *Server) {
		if foreign.IsNil(lis) {
			s.fail("the listener is nil")
			return
		}
		if s.listener != nil {
			s.fail("there are two listeners; a Server serves on one")
			return
		}
		wrapped, ok := lis.(*Listener)
		if !ok {
			wrapped = WrapListener(lis)
		}
		s.listener = wrapped
	}
}

// WithUnaryContexts gives every unary RPC a context of its own, which ends at the timer
// with the cause lastcall.ErrTimer, as do contexts that a handler derives from it.
// Without it context.Cause returns context.Canceled in unary handlers, as the context is
// grpc's. Streams always have one. The price is in docs/hazards.md.
func WithUnaryContexts() Option { return func(s *Server) { s.ownContexts = true } }

// WithGoAwayFirst makes the Server tell its handlers of the drain
// (lastcall.Draining) only when every client has been sent its GOAWAY, so
// that a client that then opens a stream again goes to another server. It waits at
// most limit, which must be positive, counted from the beginning of the drain; while a
// peer is in its handshake no GOAWAY is sent, so it should be longer than
// [HandshakeTime]. Connections that grpc has told to go before, because of
// keepalive.ServerParameters.MaxConnectionAge, and that are still open, use the whole
// limit, as they get no second GOAWAY. A client whose stream is answered in the instant
// of the GOAWAY may be told some microseconds too early. Handlers whose RPCs came over
// HTTP are told when the drain begins.
func WithGoAwayFirst(limit time.Duration) Option {
	return func(s *Server) {
		if limit <= 0 {
			s.fail("WithGoAwayFirst was given %v; the limit must be positive", limit)
			return
		}
		s.goAwayFirst = limit
	}
}
