package grpcadapter

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"
)

// Over net/http grpc's GracefulStop aborts the RPCs in flight, so the adapter calls
// it when there are none. Those that come through Server.ServeHTTP it can count to
// the end; of those that come through the gRPC server's own it knows only when
// their handlers return, and the answers are written after that.

var errOverHTTP = errors.New("grpcadapter: RPCs came through ServeHTTP of the gRPC server, where its GracefulStop would abort them: give the adapter to the http.Server as its handler (or say OverHTTP()), and put this server Behind the http.Server")

// OverHTTP says that an http.Server serves this one, so that [New] needs no
// listener. Give the Server to it as its handler (see [Server.ServeHTTP]), register
// the http.Server with the controller as well, and put this one Behind it, so that
// no RPC comes any more when it stops. If RPCs come through ServeHTTP of the gRPC
// server itself, and nobody has said OverHTTP, the announcement fails, which the
// report and the exit code tell.
func OverHTTP() Option { return func(s *Server) { s.overHTTP = true } }

// ServeHTTP serves an RPC that came to an http.Server, as that of the gRPC server
// does, and blocks until its answer is written. GracefulStop waits for it. It is an
// error 501 if there is no gRPC server, or one that has no ServeHTTP.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler, ok := s.server().(http.Handler)
	if !ok {
		http.Error(w, "no gRPC server that serves over HTTP", http.StatusNotImplemented)
		return
	}
	s.inHTTP.Add(1)
	defer func() {
		s.inHTTP.Add(-1)
		s.tracker.poke()
	}()
	handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), countedKey{}, true)))
}

// countedKey marks what came through Server.ServeHTTP.
type countedKey struct{}

// overHTTP says whether an RPC came through ServeHTTP of the gRPC server itself.
// Package net/http leaves its server in the context.
func overHTTP(ctx context.Context) bool {
	return ctx.Value(http.ServerContextKey) != nil && ctx.Value(countedKey{}) == nil
}

// awaitHTTP blocks until no RPC that came over HTTP is in flight, or until Stop.
func (s *Server) awaitHTTP() {
	if !s.sawHTTP.Load() && s.inHTTP.Load() == 0 {
		return
	}
	for s.inHTTP.Load() > 0 || s.tracker.anyOverHTTP() {
		select {
		case <-s.tracker.changed:
		case <-s.stopping:
			return
		}
	}
	if s.sawHTTP.Load() { // the last handler has returned: net/http is writing the answer
		pause := time.NewTimer(moment)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-s.stopping:
		}
	}
}

// anyOverHTTP says whether an RPC is in flight that came through ServeHTTP of the
// gRPC server itself.
func (t *tracker) anyOverHTTP() bool {
	return slices.ContainsFunc(t.inFlight(), func(r *rpc) bool { return overHTTP(r.Context) })
}
