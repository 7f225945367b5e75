package grpcadapter

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Over net/http grpc's GracefulStop aborts the RPCs in flight, so the adapter calls
// it when there are none, and lets none in afterwards. Those that come through
// Server.ServeHTTP it can count to the end; of those that come through the gRPC
// server's own it knows only when their handlers return, and the answers are written
// after that.

var errOverHTTP = errors.New("grpcadapter: RPCs came over HTTP, where grpc's GracefulStop aborts what is in flight: give the adapter to the http.Server as its handler, register the http.Server with the controller, put this server After it, and say OverHTTP()")

// OverHTTP says that an http.Server serves this one, so that [New] needs no listener. Give
// the Server to it as its handler (see [Server.ServeHTTP]), register the http.Server with
// the controller as well, and put this one After it, so that no RPC comes any more when it
// stops. If RPCs came over HTTP without OverHTTP, the announcement fails, which the report
// and the exit code tell. If this server is not After the http.Server, RPCs that come when
// it has drained get Unavailable, and the report has a note if there were such RPCs, or
// some in flight when the drain began; the exit code does not tell.
func OverHTTP() Option { return func(s *Server) { s.overHTTP = true } }

// ServeHTTP serves an RPC that came to an http.Server, as that of the gRPC server
// does, and blocks until its answer is written. GracefulStop waits for it. RPCs that
// come when GracefulStop has waited, or after Stop, get Unavailable; other requests
// get 503 then. The answer is 501 if there is no gRPC server, or one that has no
// ServeHTTP.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler, ok := s.server().(http.Handler)
	if !ok {
		http.Error(w, "no gRPC server that serves over HTTP", http.StatusNotImplemented)
		return
	}
	if !s.door.enter() {
		s.refuseHTTP(w, r)
		return
	}
	defer s.door.leave()
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
	if !isClosed(s.forced) {
		s.door.countRefused()
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

// door is where RPCs come in over HTTP.
type door struct {
	mu      sync.Mutex
	in      int           // RPCs in ServeHTTP
	empty   chan struct{} // nil: not asked for; closed when none is in
	used    bool          // there was one
	shut    bool
	found   int // of those in, how many there were when the drain began
	refused int // RPCs that came to a shut door in the drain
}

// enter takes in an RPC unless the door is shut.
func (d *door) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used = true
	if d.shut {
		return false
	}
	d.in++
	return true
}

func (d *door) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.in--; d.in == 0 && d.empty != nil {
		close(d.empty)
		d.empty = nil
	}
}

// shutIfEmpty shuts the door and returns nil if no RPC is in. Otherwise it returns a
// channel that is closed when there is none.
func (d *door) shutIfEmpty() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut = d.shut || d.in == 0; d.shut {
		return nil
	}
	if d.empty == nil {
		d.empty = make(chan struct{})
	}
	return d.empty
}

// shutAtOnce shuts the door; what is in stays.
func (d *door) shutAtOnce() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = true
}

// countFound is called when the drain begins. After an http.Server that was drained first
// nothing is in.
func (d *door) countFound() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found = d.in
}

func (d *door) countRefused() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused++
}

// tooLate returns how many RPCs show that the server is not After its http.Server.
func (d *door) tooLate() (found, refused int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.found, d.refused
}

func (d *door) wasUsed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used
}

// usedHTTP reports whether RPCs came over HTTP.
func (s *Server) usedHTTP() bool { return s.door.wasUsed() || s.sawHTTP.Load() }

// countedKey marks what came through Server.ServeHTTP.
type countedKey struct{}

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
	if !s.sawHTTP.Load() && s.door.shutIfEmpty() == nil {
		return
	}
	if at, ok := s.timerAt(); !ok || time.Now().Before(at) { // after another server this comes at the timer at the latest
		s.door.countFound()
	}
	s.closeListener()
	for {
		in, past := s.door.shutIfEmpty(), s.anyPastUs()
		if in == nil && !past {
			break
		}
		select {
		case <-in: // never, if it is nil
		case <-s.tracker.Changed():
		case <-s.stopping:
			return
		}
	}

	// If the last handler has just returned, net/http is writing the answer.
	if left := time.Until(s.tracker.LastEnd().Add(moment)); s.sawHTTP.Load() && left > 0 {
		pause(left, s.stopping)
	}
}

// anyPastUs reports whether an RPC is in flight that came through ServeHTTP of the gRPC
// server itself.
func (s *Server) anyPastUs() bool {
	return slices.ContainsFunc(s.tracker.InFlight(), func(r *rpc) bool { return pastUs(r.Context) })
}

// isClosed reports whether a channel on which nothing is sent was closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
