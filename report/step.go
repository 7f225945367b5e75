package report

import (
	"fmt"
	"github.com/lastcall-go/lastcall"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/fsm"
)

// Kind tells the three kinds of Step apart. The zero Kind is none.
type Kind uint8

const (
	_ Kind = iota
	// KindTransition: the machine has entered a state.
	KindTransition
	// KindPhase: a phase has begun.
	KindPhase
	// KindCall: a call into foreign code is over, or has taken longer than it may.
	KindCall
)

// String returns "transition", "phase" or "call", and "Kind(n)" for a value that
// is no kind.
func (k Kind) String() string {
	switch k {
	case KindTransition:
		return "transition"
	case KindPhase:
		return "phase"
	case KindCall:
		return "call"
	default:
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
}

// MarshalText writes the name that String returns.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Op says which foreign code a call goes to.
type Op string

// The calls that the controller makes.
const (
	OpAttach       Op = "Attach"       // a server's Attach
	OpServe        Op = "Serve"        // a server's Serve
	OpWork         Op = "worker"       // a worker's function
	OpAnnounce     Op = "Announce"     // a server's Announce
	OpAnnouncer    Op = "announcer"    // an announcer
	OpGracefulStop Op = "GracefulStop" // a server's GracefulStop
	OpCancel       Op = "Cancel"       // a server's Cancel
	OpStop         Op = "Stop"         // a server's Stop
	OpCut          Op = "Cut"          // a server's Cut
	OpClose        Op = "closer"       // a closer
	OpFlush        Op = "flusher"      // a flusher
	OpObserve      Op = "observer"     // an observer
	OpLog          Op = "logger"       // the logger, with its hooks and writers
	OpText         Op = "Error method" // the cause's Error method
	OpInFlight     Op = "InFlight"     // a server's InFlight; a Step only if it fails or takes too long
	OpNotes        Op = "Notes"        // a server's Notes; the same
	OpLastArrival  Op = "LastArrival"  // a server's LastArrival; the same
)

// Result says how a call ended. The zero Result is none: the Step is not a call.
type Result uint8

const (
	_ Result = iota
	// ResultOK: it returned in time and without an error that counts.
	ResultOK
	// ResultFailed: it returned an error.
	ResultFailed
	// ResultPanicked: it panicked.
	ResultPanicked
	// ResultGoexit: it called runtime.Goexit.
	ResultGoexit
	// ResultTimedOut: it had not returned when its time was over.
	ResultTimedOut
)

// String returns the result in words, for example "timed out"; for a value that
// is no result it returns "Result(n)".
func (r Result) String() string {
	switch r {
	case ResultOK:
		return "ok"
	case ResultFailed:
		return "failed"
	case ResultPanicked:
		return "panicked"
	case ResultGoexit:
		return "called runtime.Goexit"
	case ResultTimedOut:
		return "timed out"
	default:
		return fmt.Sprintf("Result(%d)", uint8(r))
	}
}

// MarshalText writes the name that String returns.
func (r Result) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Step is one thing that happened: the machine entered a state, a phase began, or
// a call into foreign code ended. Observers are given Steps one by one, the
// report holds all of them in the order in which they began.
type Step struct {
	Kind  Kind
	Name  string         // of a transition the event, of a phase the phase, of a call the name that was registered
	Op    Op             // what was called; "" unless Kind is KindCall
	State fsm.State      // the state in which it began; of a transition the state entered
	Phase lastcall.Phase // the phase in which it began; of a transition the first one of the state entered

	Start     time.Time
	Elapsed   time.Duration // from the trigger to Start; 0 before the trigger
	Remaining time.Duration // from Start to the deadline as it was then; 0 before the trigger
	// Duration is the time from Start to its end, or, if it has not come back, to the
	// instant in which its time was over. For an observer of a transition or a phase
	// it is 0, as that has just begun.
	Duration time.Duration

	Transition fsm.Transition // the row that was taken; zero unless Kind is KindTransition
	Result     Result         // how a call ended; zero unless Kind is KindCall
	Err        error          // what it returned, or the panic's value if that is an error; for errors.Is and errors.As
	Text       string         // Err in words, or the panic's value; calling no foreign method
	Stack      string         // where it panicked
	Abandoned  bool           // it had not returned when Run did

	settle SettleEnd // of the transition that ends SERVING: how settle ended
}

// Failed says whether the step is a call that did not end well. One that still runs
// has not.
func (s Step) Failed() bool { return s.Kind == KindCall && s.Result != 0 && s.Result != ResultOK }

// counts says whether the step makes ExitStep of a shutdown that drained. A question
// that nobody has answered in time does not: on a machine that is busy that says
// nothing about the shutdown.
func (s Step) counts() bool {
	switch s.Op {
	case OpInFlight, OpNotes, OpLastArrival, OpText:
		return s.Failed() && s.Result != ResultTimedOut
	default:
		return s.Failed()
	}
}

// String returns the step in one line, without its times, and calls no foreign
// method.
func (s Step) String() string {
	switch s.Kind {
	case KindTransition:
		return fmt.Sprintf("%v on %v", s.State, s.Transition.Event)
	case KindPhase:
		return fmt.Sprintf("phase %v", s.Phase)
	case KindCall:
		text := s.subject() + " " + s.Result.String()
		if s.Text != "" {
			text += ": " + oneLine(s.Text)
		}
		return text
	default:
		return "no step"
	}
}

// oneLine keeps the line breaks of a foreign text out of a line.
func oneLine(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", " | ") }

// subject names the call: `closer "postgres"`.
func (s Step) subject() string { return fmt.Sprintf("%s %q", s.Op, s.Name) }
