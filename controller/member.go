package controller

import (
	"context"
	"github.com/lastcall-go/lastcall"
	"slices"
)

// server is a registered server and the calls that were made of it.
type server struct {
	serverConfig
	serving  *call
	graceful *call
	begun    chan struct{} // closed right before GracefulStop is called
	foreign  bool          // somebody else serves it

	inspection *call           // the last call of InFlight
	work       []lastcall.Work // what InFlight returned in phase close
	notes      []string        // what Notes returned
}

// worker is a registered worker and the call that runs it.
type worker struct {
	workerConfig
	call      *call
	endClaim  context.CancelCauseFunc
	endWork   context.CancelCauseFunc
	claimOver bool
}

// hasEnded is G3's definition.
func (s *server) hasEnded() bool {
	return s.graceful.ended() && (s.serving == nil || s.serving.over)
}

// isGone says whether nothing of the server runs any more that the controller
// could wait for: a GracefulStop that panicked will not return.
func (s *server) isGone() bool {
	return s.graceful != nil && s.graceful.over && (s.serving == nil || s.serving.over)
}

// halt calls Stop, which comes after the call of GracefulStop.
func (s *server) halt() {
	<-s.begun // closed on a goroutine that has been started, by its first statement
	yield()   // and lets that goroutine go on into GracefulStop, where nobody can look
	s.server.Stop()
}

func (r *run) allEnded() bool {
	for _, s := range r.servers {
		if !s.hasEnded() {
			return false
		}
	}
	return r.workersGone()
}

func (r *run) allGone() bool { return gone(r.servers) && r.workersGone() }

// gone says whether nothing of these servers runs any more.
func gone(servers []*server) bool {
	return !slices.ContainsFunc(servers, func(s *server) bool { return !s.isGone() })
}

func (r *run) workersGone() bool {
	for _, w := range r.workers {
		if w.call != nil && !w.call.over {
			return false
		}
	}
	return true
}
