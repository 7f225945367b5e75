package controller

import "github.com/lastcall-go/lastcall/report"
import "github.com/lastcall-go/lastcall"
import "github.com/lastcall-go/lastcall/fsm"

// enter begins a phase.
func (r *run) enter(p lastcall.Phase) {
	r.progress.set(r.machine.State(), p)
	s := r.newStep(report.KindPhase, p.String())
	r.record.endPhase(s.Start)
	r.record.phase = s
	r.record.add(s)
	r.tell(*s)
}

// fire takes a transition. The table allows every one that the phases ask for;
// if the engine refuses all the same, the report says so and the shutdown goes on.
func (r *run) fire(e fsm.Event) {
	if _, err := r.machine.Fire(e); err != nil {
		r.broken = err
	}
}

// entered is the machine's hook. It only starts things: what the state calls.
func (r *run) entered(t fsm.Transition) {
	r.progress.set(t.To, r.firstPhase(t.To))
	s := r.newStep(report.KindTransition, t.Event.String())
	s.Transition = t
	if t.Call == fsm.CallGracefulStop {
		s.settle = r.settled
	}
	r.record.endPhase(s.Start)
	r.record.path = append(r.record.path, t.To)
	r.record.add(s)
	r.tell(*s)
	switch t.Call {
	case fsm.NoCall:
		if t.To.Terminal() {
			r.inspectAtEnd(r.servers)
		}
	case fsm.CallGracefulStop:
		r.enter(lastcall.PhaseDrain)
		r.beginDrain()
	case fsm.CallStop:
		r.beginForce()
	}
}

// firstPhase returns the phase with which a state begins.
func (r *run) firstPhase(s fsm.State) lastcall.Phase {
	switch s {
	case fsm.GracefulShutdown:
		return lastcall.PhaseDrain
	case fsm.TimerExpired:
		return r.firstForce()
	case fsm.Terminated:
		return lastcall.PhaseClose
	default:
		return lastcall.PhaseStart
	}
}
