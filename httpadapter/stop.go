package httpadapter

import (
	"context"
	"errors"
	"github.com/lastcall-go/lastcall"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/controller"
)

// errStopped is the cause with which the contexts of requests end that Stop ends
// without a Cancel before.
var errStopped = errors.New("httpadapter: Stop was called")

// The names under which a report has calls that do not return.
const (
	callServe    = "http.Server.Serve"
	callShutdown = "http.Server.Shutdown"
)

// moment is what calls may need to return when what they waited for has come.
const moment = 10 * time.Millisecond

// Announce begins to count the requests. It is called by the controller.
func (s *Server) Announce(context.Context) error {
	if s.isZero() {
		return errNotMade
	}
	s.tracker.enter(announced)
	return nil
}

// GracefulStop closes the listener and blocks until every handler has returned, its
// answer is written, and the connections are closed; nothing bounds that. It is
// called by the controller, once; a second call waits for the first.
func (s *Server) GracefulStop() {
	if s.isZero() {
		return
	}
	if !s.beginDrain() {
		<-s.stopped
		return
	}
	s.tracker.enter(draining)
	_ = s.listener.Close() // nothing depends on it any more
	if front, back := s.servers(); front != nil {
		s.endKeepAlives(front)
		for _, c := range s.conns.all() {
			c.mayBeLast()
		}
		s.foreign.Run(callShutdown, func() {
			shutdown(back)
			s.told.Store(true)
			for _, c := range s.conns.all() {
				c.isTold()
			}
		})
		s.foreign.Run(callShutdown, func() { shutdown(s.user) })
		defer s.endHandshakes().Stop()
	}
	s.draining.Store(true)
	for !s.conns.seal() || !s.tracker.seal() {
		<-s.changed
	}
	if !s.leaveHijacked {
		s.endContexts(errStopped) // nobody has one; what they hold is let go
	}
	s.foreign.Await(moment) // so that the report names only what does not return
	s.noteLateness()
	close(s.stopped)
}

// noteLateness notes for how long GracefulStop waited when no request was left.
func (s *Server) noteLateness() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lateness = time.Since(s.tracker.lastEnd())
}

// endKeepAlives has net/http close idle connections of HTTP/1.1, and every other after
// its answer.
func (s *Server) endKeepAlives(front *http.Server) {
	s.sparing.Store(true)
	s.conns.shunIdle(s.handshakeLimit())
	s.foreign.Run("http.Server.SetKeepAlivesEnabled", func() {
		defer close(s.spared)
		front.SetKeepAlivesEnabled(false)
	})
	select {
	case <-s.spared: // a Close of package tls may take its time
	case <-s.stopping:
	}
	s.draining.Store(true)
	s.sparing.Store(false)
}

// handshakeLimit is the time that connections have on which no request has come.
func (s *Server) handshakeLimit() time.Duration {
	if at, ok := s.timerAt(); ok {
		return min(s.handshakeTime, max(time.Until(at)/2, 0))
	}
	return s.handshakeTime
}

// lingerLimit is for how long a peer is lingered for that goes on talking.
func (s *Server) lingerLimit() time.Duration {
	if at, ok := s.timerAt(); ok {
		return min(maxLinger, max(time.Until(at)/2, 0))
	}
	return maxLinger
}

// beginDrain says whether this is the first GracefulStop.
func (s *Server) beginDrain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.drained
	s.drained = true
	return first
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drained
}

// endHandshakes closes the connections on which no request has come: at once those
// that have had their time before, and the others when the timer fires that it
// returns.
func (s *Server) endHandshakes() *time.Timer {
	s.noteSilent(s.conns.closeSilent(s.handshakeTime))
	return time.AfterFunc(s.handshakeLimit(), func() { s.noteSilent(s.conns.closeSilent(0)) })
}

func (s *Server) noteSilent(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent += n
}

// Cancel ends the contexts of the requests in flight with the cause, has reads of
// their bodies return, and writes that are stuck; after half of its time it has all
// writes return, of whoever then still runs. A request whose handler then returns
// without a word is answered 503, and so is one that comes. It blocks until
// GracefulStop has returned, or ctx has ended. It is called by the controller.
func (s *Server) Cancel(ctx context.Context, cause error) {
	if s.isZero() {
		return
	}
	requests := s.tracker.cancel()
	s.endContexts(cause)
	s.noteSilent(s.conns.closeSilent(0))
	for _, r := range requests {
		if r.body {
			s.foreign.Run("http.ResponseController.SetReadDeadline", r.wake)
		}
		if r.conn != nil && r.conn.writing.Load() > 0 {
			s.foreign.Run("http.ResponseController.SetWriteDeadline", r.wakeWrites)
		}
	}
	patience := time.Second
	if deadline, ok := ctx.Deadline(); ok {
		patience = time.Until(deadline) / 2
	}
	half := time.NewTimer(patience)
	defer half.Stop()
	select {
	case <-s.stopped:
		return
	case <-ctx.Done():
		return
	case <-half.C:
	}
	for _, r := range requests {
		if !s.tracker.leaves(r) { // its connection may have been taken over meanwhile
			s.foreign.Run("http.ResponseController.SetWriteDeadline", r.wakeWrites)
		}
	}
	select {
	case <-s.stopped:
	case <-ctx.Done():
	}
}

// Stop closes every connection but those that handlers have taken over, and ends the
// contexts of the requests. It blocks until that is done, which only a Close of a
// connection that hangs can delay. It is called by the controller.
func (s *Server) Stop() {
	if s.isZero() {
		return
	}
	s.halt.Do(func() { close(s.stopping) })
	s.tracker.enter(stopped)
	_ = s.listener.Close() // nothing depends on it any more
	s.conns.close()
	var closing []*conn
	for _, c := range s.conns.all() {
		if !c.isHijacked() {
			closing = append(closing, c)
			c.sever()
		}
	}
	s.endContexts(errStopped) // afterwards: nobody hears what handlers that return then have not said
	for _, c := range closing {
		<-c.done
	}
}

// Cut closes every connection that is left, all at once, blocks until that is done,
// and returns how many there were. It is called by the controller.
func (s *Server) Cut() int {
	if s.isZero() {
		return 0
	}
	s.tracker.enter(stopped)
	var closing []*conn
	cut := 0
	for _, c := range s.conns.all() {
		if s.leaveHijacked && c.isHijacked() {
			continue
		}
		closing = append(closing, c)
		if c.sever() {
			cut++
		}
	}
	for _, c := range closing {
		<-c.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut += cut
	return cut
}

var (
	_ lastcall.Server      = (*Server)(nil)
	_ controller.Acceptor  = (*Server)(nil)
	_ controller.Attacher  = (*Server)(nil)
	_ controller.Announcer = (*Server)(nil)
	_ controller.Canceler  = (*Server)(nil)
	_ controller.Cutter    = (*Server)(nil)
	_ controller.Checker   = (*Server)(nil)
	_ controller.Inspector = (*Server)(nil)
	_ controller.Noter     = (*Server)(nil)
	_ controller.Arrivals  = (*Server)(nil)
)
