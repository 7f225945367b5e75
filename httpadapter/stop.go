package httpadapter

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

// errStopped is the cause with which Stop ends contexts that Cancel has not ended.
var errStopped = errors.New("httpadapter: Stop was called")

// The names under which a report lists calls that have not returned.
const (
	callServe    = "http.Server.Serve"
	callShutdown = "http.Server.Shutdown"
	callPattern  = "WithPattern"
	callDeadline = "net.Conn.SetDeadline"
)

// moment is what calls may need to return when what they waited for has come.
const moment = 10 * time.Millisecond

// Announce begins to count the requests, and to close the connections of HTTP/1.x after their
// answers. The controller calls it.
func (s *Server) Announce(context.Context) error {
	s = s.made()
	s.tracker.Enter(inflight.Announced)
	s.conns.Mark()
	if s.endlessPaths != nil {
		go s.awaitDrain()
	}
	return nil
}

// GracefulStop closes the listener and blocks, without a bound, until every handler has
// returned, its answer is written, and the connections are closed. The controller calls it; a
// second call waits for the first.
func (s *Server) GracefulStop() {
	s = s.made()
	if s.drained.Swap(true) {
		<-s.stopped
		return
	}
	ours := !s.others.Load() && len(s.errs) == 0
	s.tracker.Enter(inflight.Draining)
	s.endEndless()
	s.conns.LimitHandshakes(s.tracker.Within(s.handshakeTime))
	_ = s.conns.Close() // always nil
	s.conns.CutHandshakes(s.handshakeTime)
	s.conns.Drain(moment)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for sealed := false; !sealed; {
		if s.conns.IsEmpty() { // which is final
			cancel() // Shutdown polls
			s.tracker.Seal()
		}
		sealed = foreign.IsClosed(s.tracker.Sealed())
		if ours && (sealed || s.conns.Shaken()) { // also if it never served
			// Once, for GOAWAY and RegisterOnShutdown. No connection of HTTP/1.x has its first
			// request before it, and none is idle on which something has come: net/http drops
			// the requests that it reads from now on.
			ours = false
			s.conns.Tell()
			s.calls.Run(callShutdown, func() { _ = s.user.Shutdown(ctx) }) // its only error is that of ctx
		}
		if !sealed {
			<-s.tracker.Changed()
		}
	}
	if !s.leaveHijacked {
		s.end(errStopped) // no request has one; what they hold is let go
	}
	s.calls.Await(moment) // so that the report names only what does not return
	s.lateness.Store(int64(min(time.Since(s.tracker.LastEnd()), time.Since(s.tracker.DrainBegan()))))
	close(s.stopped)
}

// Cancel ends the contexts of the requests in flight with the cause. Reads of their bodies
// return, and so do writes that are stuck; after half of the time of ctx all writes do. The
// documentation of the package says what the clients get. A request that arrives now is
// answered 503. Cancel blocks until GracefulStop has returned, or ctx has ended. The controller
// calls it.
func (s *Server) Cancel(ctx context.Context, cause error) {
	s = s.made()
	requests := slices.DeleteFunc(s.tracker.Cancel(), func(r *request) bool { // before a handler can know
		return !r.State.CompareAndSwap(running, cancelled) && r.State.Load() == answered
	})
	s.end(cause)
	s.conns.RefuseHandshakes()
	if held, idle := s.IdlePeers(); idle && len(held) > 0 {
		return // there is nothing to wait for
	}
	patience := time.Second
	if deadline, ok := ctx.Deadline(); ok {
		patience = time.Until(deadline) / 2
	}
	half := time.AfterFunc(patience, func() {
		for _, r := range requests {
			if !r.isLeft() { // its connection may have been taken over meanwhile
				r.wake(true)
			}
		}
	})
	defer half.Stop()
	for _, r := range requests {
		if r.body {
			r.wake(false)
		}
		if r.http1 && r.conn.Writing() {
			r.wake(true)
		}
	}
	foreign.Until(ctx.Done(), s.stopped, moment)
}

// Stop closes every connection that handlers have not taken over, and ends the contexts of the
// requests. It blocks until that is done, which only a Close that hangs can delay. The
// controller calls it.
func (s *Server) Stop() {
	s = s.made()
	s.tracker.Enter(inflight.Stopped)
	_ = s.conns.Close() // always nil
	s.conns.RefuseHandshakes()
	closing := s.conns.Held(false)
	for _, c := range closing {
		if c.Unfinished() {
			c.Resets(true) // what the client has would look complete
		}
		c.Finish()
	}
	s.end(errStopped) // afterwards: clients must not hear what handlers have not said that return then
	for _, c := range closing {
		<-c.Done()
	}
}

// Cut closes every connection that is left, all at once, blocks until that is done, and returns
// how many there were. The controller calls it.
func (s *Server) Cut() (cut int) {
	s = s.made()
	s.tracker.Enter(inflight.Stopped)
	closing := s.conns.Held(true)
	for _, c := range closing {
		if c.Cut() {
			cut++
		}
	}
	for _, c := range closing {
		<-c.Done()
	}
	return cut
}

var _ lastcall.FullServer = (*Server)(nil)
