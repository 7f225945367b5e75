// Package numbers keeps the numbers that promadapter and oteladapter export: those of a process
// in service, and those of its shutdown.
package numbers

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

// Host is the controller as Numbers sees it. A *controller.Controller is one.
type Host interface {
	lastcall.Host
	State() fsm.State
	InFlight() []lastcall.Work
}

// Numbers has the numbers of one controller. The zero value is ready. Its methods may be
// called by any number of goroutines.
type Numbers struct {
	mu      sync.Mutex // never held while the host is asked
	host    Host
	phases  []Phase
	calls   map[Call]int
	stops   int
	closing []lastcall.Work // of phase close: what it ends does not count any more
	final   *report.Report
}

// Call is what calls into user code are counted by.
type Call struct {
	Op     report.Op
	Result report.Result
}

// Phase is a phase that has begun.
type Phase struct {
	Phase    lastcall.Phase
	Start    time.Time
	Duration time.Duration // until the next one, or until now
}

// Reading is all numbers, as they are at one instant.
type Reading struct {
	At    time.Time
	Ready bool
	State fsm.State
	Phase lastcall.Phase

	Triggered   time.Time // zero before the trigger
	Timer       time.Time // when the timer fires; zero before the trigger
	Deadline    time.Time // zero before the trigger
	Phases      []Phase
	Calls       map[Call]int
	ForcedStops int
	Summary     *report.Report // nil before it

	Begun map[string]int // how much work has begun, by server
	Work  []Work         // the numbers of each server, kind and name add up
	Held  []lastcall.Work
}

// Work is the work of one server, kind and name. Running is what the shutdown may wait
// for: what it does not wait for any more is Abandoned.
type Work struct { //nolint:recvcheck // embeds a value
	lastcall.Work
	Abandoned int
}

// Ended returns how many have ended by themselves in all.
func (w Work) Ended() int { return w.Served + w.Completed }

// Attach takes in the controller. A second one is an error.
func (n *Numbers) Attach(whose string, h Host) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.host != nil && n.host != h {
		return fmt.Errorf("%s: these metrics belong to another controller: make some for each", whose)
	}
	n.host = h
	return nil
}

// Observe takes in a step. In phase close it blocks for as long as InFlight of the host.
func (n *Numbers) Observe(s report.Step) {
	var closing []lastcall.Work
	if s.Kind == report.KindPhase && s.Phase == lastcall.PhaseClose {
		n.mu.Lock()
		host := n.host
		n.mu.Unlock()
		if host != nil {
			closing = append([]lastcall.Work{}, host.InFlight()...)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch s.Kind {
	case report.KindPhase:
		if last := len(n.phases) - 1; last >= 0 {
			n.phases[last].Duration = s.Start.Sub(n.phases[last].Start)
		}
		n.phases = append(n.phases, Phase{Phase: s.Phase, Start: s.Start})
		if s.Phase == lastcall.PhaseClose {
			n.closing = closing
		}
	case report.KindBegin:
		if s.Op == report.OpStop {
			n.stops++
		}
	case report.KindCall:
		if n.calls == nil {
			n.calls = map[Call]int{}
		}
		n.calls[Call{s.Op, s.Result}]++
	case report.KindSummary:
		n.final = s.Report
	default:
	}
}

// Read returns the numbers, and false before there is a controller. It blocks for as long
// as InFlight of the host. From the summary on the work is that of the report.
func (n *Numbers) Read() (Reading, bool) {
	n.mu.Lock()
	host := n.host
	n.mu.Unlock()
	if host == nil {
		return Reading{}, false
	}
	live := host.InFlight()
	r := Reading{At: time.Now(), Ready: host.Ready(), State: host.State(), Phase: host.Phase(), Calls: map[Call]int{}}
	if times, known := host.Life().Times(); known {
		r.Triggered, r.Timer, r.Deadline = times.Trigger, times.Timer, times.Deadline
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	r.ForcedStops, r.Summary = n.stops, n.final
	r.Phases = append(r.Phases, n.phases...)
	if last := len(r.Phases) - 1; last >= 0 {
		r.Phases[last].Duration = max(0, r.At.Sub(r.Phases[last].Start))
	}
	maps.Copy(r.Calls, n.calls)
	switch {
	case n.final != nil:
		r.take(live, n.final.Work, true)
	case n.closing != nil:
		r.take(live, n.closing, false)
	default:
		r.take(live, nil, false)
	}
	return r, true
}
