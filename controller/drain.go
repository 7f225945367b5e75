package controller

import (
	"github.com/lastcall-go/lastcall/report"
	"time"

	"github.com/lastcall-go/lastcall/fsm"
)

// drain refuses new work, and says whether all work in flight ended before the
// timer. Entering the state calls GracefulStop; see entered.
func (r *run) drain() bool {
	r.fire(fsm.GracefulShutdownCalled)
	return r.await(r.allEnded, func() time.Time { return r.timerAt })
}

// beginDrain is the effect of entering GRACEFUL_SHUTDOWN.
func (r *run) beginDrain() {
	close(r.draining)
	r.inspectAtDrain()
	r.stopNext()
}

// stopNext calls GracefulStop on every server that stands behind nobody who has
// not ended.
func (r *run) stopNext() {
	if r.machine.State() == fsm.Serving {
		return
	}
	for _, s := range r.servers {
		if s.graceful == nil && !r.held(s) {
			r.stopGracefully(s)
		}
	}
}

// held says whether a server stands behind one that has not ended.
func (r *run) held(s *server) bool {
	for _, name := range s.behind {
		for _, front := range r.servers {
			if front.name == name && !front.hasEnded() {
				return true
			}
		}
	}
	return false
}

func (r *run) stopGracefully(s *server) {
	s.graceful = r.call(report.OpGracefulStop, s.name, func() error {
		close(s.begun)
		s.server.GracefulStop()
		return nil
	}, func(result) { r.stopNext() })
}
