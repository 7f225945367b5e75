package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
)

// Kind tells the kinds of Step apart.
type Kind uint8

// The kinds of Step. A Report has those of the first three kinds, and requests;
// observers are given all of them.
const (
	_ Kind = iota
	// KindTransition: the machine has entered a state.
	KindTransition
	// KindPhase: a phase has begun.
	KindPhase
	// KindCall: a call into user code is over, or has taken longer than it may.
	KindCall
	// KindTrigger: the shutdown was triggered; Err and Text are the cause.
	KindTrigger
	// KindBegin: a call into user code has begun. Calls that only ask a server something
	// (InFlight, Notes, IdlePeers, LastArrival) have none.
	KindBegin
	// KindWork: Work is what a server has in flight as the drain begins, or as the
	// timer fires.
	KindWork
	// KindSummary: Report is what the shutdown came to, as far as it is known before the
	// flushers run.
	KindSummary
	// KindWarning: Text is what an operator should know of the process.
	KindWarning
	// KindRequest: a request came after the trigger. Name is what it was (signal, Force,
	// Shorten), and Text tells what it has changed, or that it has changed nothing.
	KindRequest
	// KindProgress: Work is what the shutdown waits for: what servers have in flight, and
	// calls into user code, of kind lastcall.WorkCall, with the name that Subject returns.
	// One is told at most every few seconds, see controller.WithProgress.
	KindProgress
)

// String returns the kind in one word, for example "transition", and "Kind(n)" for a
// value that is not a kind.
func (k Kind) String() string {
	names := [...]string{"", "transition", "phase", "call", "trigger", "begin", "work", "summary", "warning", "request", "progress"}
	if k == 0 || int(k) >= len(names) {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return names[k]
}

// MarshalText writes the name that String returns.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Step is one thing that happened. Observers are given Steps one by one, as they
// happen; a Report holds its Steps in the order in which they began.
type Step struct {
	Kind  Kind
	Name  string         // of a transition the event, of a phase the phase, of a call the name that was registered, of work the server
	Op    Op             // what was called; "" unless Kind is KindCall or KindBegin
	State fsm.State      // the state in which it began; of a transition the state entered
	Phase lastcall.Phase // the phase in which it began; of a transition the first one of the state entered

	Start     time.Time
	Elapsed   time.Duration // from the trigger to Start; 0 before the trigger
	Remaining time.Duration // from Start to the deadline as it was then; 0 before the trigger
	// Duration is the time from Start to its end, or, if it has not come back, to the
	// instant in which its time was over. For an observer of a transition or a phase
	// it is 0, as that has just begun.
	Duration time.Duration

	// Now is where the shutdown was when observers were told.
	Now Moment

	Transition fsm.Transition // the row that was taken; zero unless Kind is KindTransition
	Settle     SettleEnd      // of the transition that ends SERVING: how phase settle ended
	Result     Result         // how a call ended; zero unless Kind is KindCall
	Err        error          // what it returned, or the panic's value if that is an error; for errors.Is and errors.As
	Text       string         // Err in words, or the panic's value
	Stack      string         // where it panicked
	Abandoned  bool           // it had not returned when Run did

	// Observers share what these point to, and must not change it.
	Stacks []Stack         // of a call that takes too long, of work and of progress: where the goroutines stand, as far as that is known
	Work   []lastcall.Work // of KindWork and KindProgress
	Report *Report         // of KindTrigger and KindSummary: what is known by then; the former has no outcome
}

// Moment is an instant of a shutdown.
type Moment struct {
	At        time.Time
	State     fsm.State
	Phase     lastcall.Phase
	Elapsed   time.Duration // from the trigger to At; 0 before the trigger
	Remaining time.Duration // from At to the deadline; 0 before the trigger
	Timer     time.Duration // from At to the timer; 0 before the trigger and after the timer
}

// Failed reports whether the step is a call that did not end well. A call that is
// still running has not failed.
func (s Step) Failed() bool { return s.Kind == KindCall && s.Result != 0 && s.Result != ResultOK }

// Counts reports whether the step makes a shutdown that drained exit with [ExitStep].
// A question to a server that was not answered in time does not: on a busy machine
// that says nothing about the shutdown.
func (s Step) Counts() bool {
	switch s.Op {
	case OpInFlight, OpNotes, OpIdlePeers, OpLastArrival, OpText:
		return s.Failed() && s.Result != ResultTimedOut
	default:
		return s.Failed()
	}
}

// String returns the step in one line, without its times, and calls no method of
// the user's.
func (s Step) String() string {
	switch s.Kind {
	case KindTransition:
		return fmt.Sprintf("%v on %v", s.State, s.Transition.Event)
	case KindPhase:
		return fmt.Sprintf("phase %v", s.Phase)
	case KindCall:
		text := s.Subject() + " " + s.Result.String()
		if s.Text != "" {
			text += ": " + oneLine(s.Text)
		}
		return text
	case KindTrigger:
		return "triggered: " + oneLine(s.Text)
	case KindBegin:
		return s.Subject() + " begins"
	case KindWork:
		return fmt.Sprintf("work of %q", s.Name)
	case KindSummary:
		return "summary"
	case KindWarning:
		return "warning: " + oneLine(s.Text)
	case KindRequest:
		return s.Name + ": " + oneLine(s.Text)
	case KindProgress:
		return "progress"
	default:
		return "no step"
	}
}

// oneLine keeps the line breaks of a user's text out of a line.
func oneLine(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", " | ") }

// Subject names the call: `closer "postgres"`.
func (s Step) Subject() string { return fmt.Sprintf("%s %q", s.Op, s.Name) }
