package report

import (
	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
)

// StateOf returns the state of the machine to which a phase belongs. A value that is
// not a phase belongs to SERVING.
func StateOf(p lastcall.Phase) fsm.State {
	switch {
	case p >= lastcall.PhaseClose:
		return fsm.Terminated
	case p >= lastcall.PhaseCancel:
		return fsm.TimerExpired
	case p == lastcall.PhaseDrain:
		return fsm.GracefulShutdown
	default:
		return fsm.Serving
	}
}
