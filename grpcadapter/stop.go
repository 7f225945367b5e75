package grpcadapter

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

// moment is what calls may need to return when what they waited for has come: an
// Accept whose listener was closed, a status for a stream that is over.
const moment = 10 * time.Millisecond

// stopTime bounds each wait of letStop: for what needs only the processor, also with thousands of
// connections.
const stopTime = 100 * time.Millisecond

// callStatus names in a report what may hang while RPCs are given a status: nothing but
// the user's stats handlers, which a status passes.
const callStatus = "stats.Handler"

// Announce takes readiness down and keeps serving: from now on Check and List of the health
// service say NOT_SERVING. For a server from [Use] it shuts the health service of [WithHealth]
// down. It returns an error if RPCs came over HTTP and [OverHTTP] was not given. The controller
// calls it; it blocks only for as long as methods of the user's gRPC server and health service
// do.
func (s *Server) Announce(context.Context) error {
	if s.isZero() {
		return errZero
	}
	s.tracker.Enter(inflight.Announced)
	if s.listener != nil {
		for _, c := range s.listener.conns() {
			c.streams.mark()
		}
	}
	s.awaitDrain()
	if s.used && s.health != nil && !s.probesReady() {
		s.shut.Do(s.health.Shutdown)
	}
	if s.listener == nil {
		s.findHealth() // Serve has not
	}
	if s.usedHTTP() && !s.overHTTP {
		s.complained.Store(true)
		return errOverHTTP
	}
	return nil
}

// GracefulStop refuses new connections and new endless streams, ends the endless streams in
// flight, and blocks until the connections are closed and the handlers have returned, which
// grpc does not bound. Connections in their handshake delay it by at most [HandshakeTime].
// Clients that watch the health service are told right after their GOAWAY was written, or after
// 10 ms where that cannot be known. The controller calls it, once; a second call blocks as the
// first one does.
//
// While RPCs are in flight over HTTP, grpc's GracefulStop is not called yet. If there is a
// listener as well, it is closed, but its clients get no GOAWAY, and new RPCs on their
// connections are served. So a Server should have a listener or serve over HTTP, not both.
func (s *Server) GracefulStop() {
	if s.isZero() {
		return
	}
	if s.draining.Swap(true) {
		<-s.stopped // Stop ends what the first call waits for
		return
	}
	watched := s.beginDrain()
	close(s.begun)
	if s.skipped.Load() {
		s.letStop()
	}
	gone := make(chan struct{})
	var told sync.WaitGroup
	if watched {
		told.Go(func() {
			s.awaitGoAways(gone)
			s.endWatches()
		})
	}
	s.gracefulStop()
	close(gone)
	told.Wait()
	s.noteLateness()
	close(s.stopped)
}

// beginDrain does what comes before GracefulStop of grpc. It reports whether there are
// health Watches that are to be told beside it.
func (s *Server) beginDrain() (watched bool) {
	s.tracker.Enter(inflight.Draining)
	if s.server() == nil {
		return false
	}
	if s.listener != nil {
		s.listener.set.LimitHandshakes(s.tracker.Within(s.listener.handshakeTime))
	}
	s.endEndless(false)
	watched = s.isWatched()
	if !watched {
		s.endWatches()
	}
	s.awaitHTTP()
	s.skipGoAways()
	if s.listener != nil { // grpc closes the connections that it gets to when its GracefulStop was called
		s.closeListener()
		s.listener.waiting.Await(false)
	}
	return watched
}

// gracefulStop calls that of grpc, and awaits what may still be on its way then.
func (s *Server) gracefulStop() {
	if srv := s.server(); srv != nil {
		srv.GracefulStop()
	}
	s.closeListener()
	s.leaveRoom()
	if s.listener != nil {
		s.listener.set.Await() // a Close may send what was written
	}
	s.foreign.Await(moment) // the report is to name only what does not return
}

// skipGoAways closes the connections if the timer has fired already, as with a force, and
// nothing would be lost by that. Otherwise GracefulStop would begin to write two GOAWAYs
// to each of them, and Stop would have to wait its turn.
func (s *Server) skipGoAways() {
	if !s.tracker.TimeIsUp() || !s.isQuiet() {
		return
	}
	s.closeListener()
	s.skipped.Store(true)             // first: Cancel may look while none is open any more
	s.listener.set.RefuseHandshakes() // otherwise who has not finished one is closed uncounted, if that is done before their time is over
	s.listener.set.FinishAll()
}

// letStop blocks until the connections are closed, and if Stop was called by then, until grpc's
// Stop has returned: its GracefulStop has nothing left to write GOAWAYs to then.
func (s *Server) letStop() {
	foreign.Either(s.listener.set.Finished(), s.halted, stopTime)
	if foreign.IsClosed(s.stopping) {
		foreign.Within(s.halted, stopTime)
	}
}

// Cancel gives every RPC in flight the status Unavailable and ends its context with the cause,
// and blocks until GracefulStop has returned, or ctx has ended. Later RPCs are refused. Until
// Cancel returns, answers that handlers have already given still go out. The Stop that follows
// drops what a client has not read when ctx ends, however steadily it reads. With no RPC in
// flight and no answer on its way, Cancel returns after at most 50 ms; for a server from [Use]
// it returns at once. The controller calls it.
func (s *Server) Cancel(ctx context.Context, cause error) {
	if s.isZero() {
		return
	}
	s.hurry()
	if !s.tracked.Load() {
		return
	}
	rpcs := s.tracker.Cancel()
	overHTTP := false
	for _, r := range rpcs {
		overHTTP = overHTTP || cameOverHTTP(r.Context)
		end := func() {
			if r.leave(cancelled) { // otherwise its handler has returned, and its answer is on the way
				s.foreign.Run(callStatus, func() { r.tell(leaving(), cause) })
			}
		}
		if r.method.watch {
			go func() { s.awaitDown(r); end() }()
		} else {
			end()
		}
	}
	if len(rpcs) == 0 && s.awaitQuiet(ctx) {
		return
	}
	foreign.Until(ctx.Done(), s.stopped, moment)
	if overHTTP { // the handlers have returned: net/http is writing their answers
		writes := moment
		if end, ok := ctx.Deadline(); ok {
			writes = min(writes, time.Until(end))
		}
		time.Sleep(writes)
	}
}

// hurry ends what waits on purpose: handshakes, and endless streams for their last message.
func (s *Server) hurry() {
	s.force.Do(func() { close(s.forced) })
	if s.listener != nil {
		s.listener.set.RefuseHandshakes()
	}
}

// Stop closes the connections and ends the contexts of the handlers. It blocks for as long as
// grpc's Stop does, which has no bound. The controller calls it.
func (s *Server) Stop() {
	if s.isZero() {
		return
	}
	s.door.Enter(inflight.Refusing) // what is in stays
	s.halt.Do(func() { close(s.stopping) })
	s.hurry()
	srv := s.server()
	if s.draining.Load() && srv != nil {
		<-s.begun // after hurry nothing of ours is in its way
	}
	s.tracker.Enter(inflight.Stopped)
	if s.listener != nil {
		s.listener.set.FinishAll() // side by side, where grpc closes one after the other; at once, before a peer answers the GOAWAY
	}
	if srv != nil {
		srv.Stop()
	}
	s.haltedOnce.Do(func() { close(s.halted) })
	s.closeListener()
	s.leaveRoom()
}

// Cut closes every connection that is left, all at once, and returns how many there were. It
// blocks until they are closed: for ever, if a Close hangs. The controller calls it.
func (s *Server) Cut() int {
	if s.isZero() {
		return 0
	}
	s.tracker.Enter(inflight.Stopped)
	if s.listener == nil {
		return 0
	}
	return s.listener.set.Cut()
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
	if !s.tracked.Load() {
		return
	}
	ends := []time.Time{s.tracker.LastEnd(), s.tracker.DrainBegan()}
	if s.listener != nil {
		ends = append(ends, s.listener.set.Counts().LastSilent)
	}
	s.lateness.Store(int64(time.Since(slices.MaxFunc(ends, time.Time.Compare))))
}
