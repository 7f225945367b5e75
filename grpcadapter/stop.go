package grpcadapter

import (
	"context"
	"errors"
	"time"

	"github.com/lastcall-go/lastcall"
)

// errEndless is the cause with which the context of an endless stream ends in the
// drain.
var errEndless = errors.New("grpcadapter: the server drains, and streams of this method do not end by themselves")

// moment is what calls may need to return when what they waited for has come: an
// Accept whose listener was closed, a status for a stream that is over.
const moment = 10 * time.Millisecond

// callStatus names the goroutines that give RPCs a status: it passes the user's
// stats handlers.
const callStatus = "WriteStatus"

// Announce sets every service of the health service to NOT_SERVING, for good. It
// is called by the controller.
func (s *Server) Announce(context.Context) error {
	if s.isZero() {
		return errZero
	}
	s.tracker.enter(announced)
	h := s.healthNow()
	err := h.down(s.server())
	if s.usedHTTP() && !s.overHTTP {
		s.mu.Lock()
		s.complained = true
		s.mu.Unlock()
		err = errors.Join(err, errOverHTTP)
	}
	return err
}

// GracefulStop blocks until the connections are closed and the handlers have
// returned, which grpc does not bound. Connections in their handshake hold it for
// [HandshakeTime] at most, and endless streams are ended. While RPCs are in flight
// over HTTP, grpc's is not called yet: the listener, if there is one as well, is
// closed, but its clients are not told to go, and new RPCs on their connections are
// served; so a Server should have one or the other. It is called by the controller,
// once; a second call does what grpc's does.
func (s *Server) GracefulStop() {
	if s.isZero() {
		return
	}
	srv := s.server()
	first := s.beginDrain()
	if srv == nil {
		if first {
			close(s.begun)
		}
		s.closeListener()
	} else {
		if at, ok := s.timerAt(); ok && s.listener != nil {
			s.listener.limitHandshakes(time.Until(at) / 2)
		}
		s.tracker.enter(draining)
		s.endEndless()
		if first && s.goAwayFirst > 0 {
			s.tellAfterGoAways() // who waits for that may be what awaitHTTP waits for
		}
		s.awaitHTTP()
		if first {
			close(s.begun)
		}
		s.skipGoAways()
		srv.GracefulStop()
		s.closeListener()
	}
	over := time.Now().Add(moment) // for all together: the report is to name only what does not return
	s.foreign.Await(moment)
	if s.listener != nil {
		s.listener.awaitCloses() // a Close may send what was written
		s.listener.foreign.Await(time.Until(over))
	}
	if first {
		s.noteLateness()
		close(s.stopped)
	}
}

// skipGoAways closes the connections if the timer has fired already, as with a force, and
// nothing would be lost by that. Otherwise GracefulStop would begin to write two GOAWAYs
// to each of them, and Stop would have to wait its turn.
func (s *Server) skipGoAways() {
	at, known := s.timerAt()
	if !known || time.Now().Before(at) || !s.isTracked() || !s.isQuiet() {
		return
	}
	s.closeListener()
	s.listener.closeAll()
}

// beginDrain says whether this is the first GracefulStop.
func (s *Server) beginDrain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.draining
	s.draining = true
	return first
}

// tellAfterGoAways tells the handlers when the GOAWAYs are out, and returns at
// once.
func (s *Server) tellAfterGoAways() {
	out := closedChannel()
	if s.listener != nil {
		out = s.listener.watchGoAways()
	}
	s.foreign.Run("waiting for GOAWAYs", func() {
		limit := time.NewTimer(s.goAwayFirst)
		defer limit.Stop()
		select {
		case <-out:
		case <-limit.C:
		case <-s.forced:
		}
		close(s.told)
	})
}

func closedChannel() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// Cancel gives every RPC in flight the status Unavailable and ends its context with
// the cause, and blocks until GracefulStop has returned, or ctx has ended. RPCs that
// come later are refused. Answers that handlers have given before still go out until
// then; what a client has not read when ctx ends is lost with the Stop that comes
// next, however steadily it reads. Where no RPC is in flight and no answer on its way it
// returns after 50 ms at most, and NeedsStop says so; on a server from [Use] it returns
// at once. The controller calls Cancel, with a ctx that ends with the share of phase
// cancel: a sixth of the time from the timer to the deadline.
func (s *Server) Cancel(ctx context.Context, cause error) {
	if s.isZero() {
		return
	}
	s.hurry()
	if !s.isTracked() {
		return
	}
	s.tracker.enter(refusing)
	rpcs := s.tracker.inFlight()
	overHTTP := false
	for _, r := range rpcs {
		overHTTP = overHTTP || cameOverHTTP(r.Context)
		s.foreign.Run(callStatus, func() { r.conclude(cancelled, leaving(), cause) })
	}
	if len(rpcs) == 0 && s.awaitQuiet(ctx) {
		return
	}
	select {
	case <-s.stopped:
	case <-ctx.Done():
	}
	if overHTTP { // the handlers have returned: net/http is writing their answers
		pauseFor(ctx, moment)
	}
}

// pauseFor blocks for a while, or until ctx has ended.
func pauseFor(ctx context.Context, d time.Duration) {
	pause := time.NewTimer(d)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
}

// hurry ends what waits on purpose: handshakes, endless streams for their last
// message, handlers for the GOAWAY.
func (s *Server) hurry() {
	s.force.Do(func() { close(s.forced) })
	if s.listener != nil {
		s.listener.closeHandshakes()
	}
}

// Stop closes the connections and ends the contexts of the handlers. grpc does
// not bound it. It is called by the controller.
func (s *Server) Stop() {
	if s.isZero() {
		return
	}
	s.door.shutAtOnce()
	s.halt.Do(func() { close(s.stopping) })
	s.hurry()
	if s.isDraining() && s.server() != nil {
		<-s.begun // after hurry nothing of ours is in its way
	}
	s.tracker.enter(stopped)
	if s.listener != nil {
		s.listener.closeAll() // side by side, where grpc closes one after the other
	}
	if srv := s.server(); srv != nil {
		srv.Stop()
	}
	s.closeListener()
}

// Cut closes every connection that is left, all at once, blocks until that is
// done, and returns how many there were. It is called by the controller.
func (s *Server) Cut() int {
	if s.isZero() {
		return 0
	}
	s.tracker.enter(stopped)
	if s.listener == nil {
		return 0
	}
	return s.listener.Cut()
}

// closeListener closes a listener that grpc may never have been given, and that
// xds.GRPCServer leaves open.
func (s *Server) closeListener() {
	if s.listener != nil {
		_ = s.listener.Close() // grpc, too, drops this error: nothing depends on it any more
	}
}

// noteLateness notes for how long GracefulStop waited when no RPC was left.
func (s *Server) noteLateness() {
	last := s.tracker.lastEnd()
	if began := s.tracker.drainBegan(); began.After(last) {
		last = began
	}
	if s.listener != nil {
		if held := s.listener.heldUntil(); held.After(last) {
			last = held
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tracked {
		s.lateness = time.Since(last)
	}
}

func (s *Server) isTracked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tracked
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// timerAt returns when the timer fires, if that is known.
func (s *Server) timerAt() (time.Time, bool) {
	if l := s.life.Load(); l != nil {
		return l.TimerAt()
	}
	return time.Time{}, false
}

var _ lastcall.FullServer = (*Server)(nil)
