package grpcadapter

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

// Over net/http grpc's GracefulStop aborts the RPCs in flight, so the adapter calls
// it when there are none, and lets none in afterwards. Those that come through
// Server.ServeHTTP it can count to the end; of those that come through the gRPC
// server's own it knows only when their handlers return, and the answers are written
// after that.

var errOverHTTP = errors.New("grpcadapter: RPCs came over HTTP, where grpc's GracefulStop aborts what is in flight: give the adapter to the http.Server as its handler, register the http.Server with the controller, put this server After it, and say OverHTTP()")

// OverHTTP tells that an http.Server serves this one, so that [New] needs no listener. Give the
// Server to the http.Server as its handler (see [Server.ServeHTTP]), register the http.Server
// with the controller as well, and put this Server After it, so that no RPC arrives any more
// when it stops.
//
// If RPCs came over HTTP without OverHTTP, the announcement fails, which the report and the
// exit code show. If this Server is not After the http.Server, RPCs that arrive once it has
// drained get Unavailable. Then, and if RPCs were in flight over HTTP when the drain began, the
// report has a note; the exit code does not change.
func OverHTTP() Option { return func(s *Server) { s.overHTTP = true } }

// door is where RPCs come in over HTTP.
type door struct {
	*inflight.Tracker[*visit]
	used    atomic.Bool  // there was an RPC
	found   atomic.Int64 // how many RPCs were in when the drain began
	refused atomic.Int64 // how many RPCs came in the drain when it was shut
}

// visit is an RPC in ServeHTTP.
type visit struct{ inflight.Item[*visit] }

// ServeHTTP serves an RPC that came to an http.Server, as ServeHTTP of the gRPC server does,
// and blocks until its answer is written. GracefulStop waits for it. Once GracefulStop has
// waited, or after Stop, RPCs get Unavailable, and other requests get 503. The answer is 501 if
// there is no gRPC server, or if it has no ServeHTTP.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler, ok := s.server().(http.Handler)
	if !ok {
		http.Error(w, "no gRPC server that serves over HTTP", http.StatusNotImplemented)
		return
	}
	s.built.Load().prepare()
	s.door.used.Store(true)
	v := &visit{}
	if !s.door.Begin(v, inflight.Sealed, false) {
		s.refuseHTTP(w, r)
		return
	}
	defer s.door.End(v, inflight.Completed)
	handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), countedKey{}, true)))
}

// refuseHTTP answers in the place of a gRPC server that has stopped, which would
// answer 200 and nothing else.
func (s *Server) refuseHTTP(w http.ResponseWriter, r *http.Request) {
	kind := r.Header.Get("Content-Type")
	if !strings.HasPrefix(kind, "application/grpc") {
		http.Error(w, leaving().Message(), http.StatusServiceUnavailable)
		return
	}
	if !foreign.IsClosed(s.forced) {
		s.door.refused.Add(1)
	}
	h := w.Header() // an answer without a message: what is in the trailer otherwise comes in the header
	h.Set("Content-Type", kind)
	h.Set("Grpc-Status", strconv.Itoa(int(leaving().Code())))
	h.Set("Grpc-Message", leaving().Message()) // which needs no encoding
	for key, values := range s.trailer() {
		h[http.CanonicalHeaderKey(key)] = values
	}
	w.WriteHeader(http.StatusOK)
}

// usedHTTP reports whether RPCs came over HTTP.
func (s *Server) usedHTTP() bool { return s.door.used.Load() || s.sawHTTP.Load() }

// countedKey marks what came through Server.ServeHTTP.
type countedKey struct{}

// followFront ends the health Watches when the http.Server shuts down through which one has
// come: that waits for them, and this server stops after it. Its GOAWAY goes first (ADR 70).
func (s *Server) followFront(ctx context.Context) {
	front, ok := ctx.Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return
	}
	if _, known := s.fronts.LoadOrStore(front, true); known {
		return
	}
	front.RegisterOnShutdown(func() {
		foreign.Within(s.forced, moment)
		s.endWatches()
	})
}

// comesLate reports whether an endless stream has come when those in flight were told to end.
// A Watch that does not come over HTTP is refused once GracefulStop was called.
func (s *Server) comesLate(r *rpc) bool {
	return foreign.IsClosed(s.tracker.Life().Draining()) && (!r.method.watch || cameOverHTTP(r.Context))
}

// cameOverHTTP reports whether an RPC came through a ServeHTTP, ours or that of the gRPC
// server. Package net/http leaves its server in the context.
func cameOverHTTP(ctx context.Context) bool {
	return ctx.Value(http.ServerContextKey) != nil || ctx.Value(countedKey{}) != nil
}

// pastUs reports whether an RPC came through ServeHTTP of the gRPC server itself.
func pastUs(ctx context.Context) bool {
	return ctx.Value(http.ServerContextKey) != nil && ctx.Value(countedKey{}) == nil
}

// awaitHTTP blocks until no RPC that came over HTTP is in flight, or until Stop, and
// lets none in any more. If it has to wait, the listener is closed first: connections
// over TCP get no GOAWAY until it has waited.
func (s *Server) awaitHTTP() {
	in := len(s.door.InFlight())
	s.door.Enter(inflight.Draining)
	s.door.Seal()
	if !s.sawHTTP.Load() && foreign.IsClosed(s.door.Sealed()) {
		return
	}
	if !s.tracker.TimeIsUp() { // after another server this comes at the timer at the latest
		s.door.found.Store(int64(in))
	}
	s.closeListener()
	select {
	case <-s.door.Sealed():
	case <-s.stopping:
		return
	}
	for s.anyPastUs() {
		select {
		case <-s.tracker.Changed():
		case <-s.stopping:
			return
		}
	}

	// If the last handler has just returned, net/http is writing the answer.
	if left := time.Until(s.tracker.LastEnd().Add(moment)); s.sawHTTP.Load() && left > 0 {
		foreign.Within(s.stopping, left)
	}
}

// anyPastUs reports whether an RPC is in flight that came through ServeHTTP of the gRPC
// server itself.
func (s *Server) anyPastUs() bool {
	return slices.ContainsFunc(s.tracker.InFlight(), func(r *rpc) bool { return pastUs(r.Context) })
}
