// Package fsm owns the words and the grammar of a shutdown: its states, its
// events, the table of transitions between them, and the machine that walks
// the table.
//
// The package is pure: it has no clock, starts no goroutine and does no I/O.
// Which transitions there are is said by package transitions; when they are
// taken, and what happens then, is the business of package controller.
package fsm

import (
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Call is what entering a state calls on the servers. The zero Call calls
// nothing.
type Call uint8

const (
	// NoCall: entering the state calls nothing.
	NoCall Call = iota
	// CallGracefulStop: entering the state calls GracefulStop, once, on every
	// server.
	CallGracefulStop
	// CallStop: entering the state calls Stop, once, on every server that is
	// not yet down.
	CallStop
)

// String returns the name of the method that is called, "" for NoCall, and
// "Call(n)" for a value that is not a call.
func (c Call) String() string {
	switch c {
	case NoCall:
		return ""
	case CallGracefulStop:
		return "GracefulStop"
	case CallStop:
		return "Stop"
	default:
		return fmt.Sprintf("Call(%d)", uint8(c))
	}
}

// Transition is one row of a Table: in state From, Event leads to state To.
type Transition struct {
	From  State
	Event Event
	To    State
	Label string // what a diagram writes at the arrow
	Call  Call   // what entering To calls
	Why   string // one sentence: why this edge exists
}

// Table is a set of transitions that has been checked, with the state in which
// a machine starts. It cannot be changed, so it may be copied and read by any
// number of goroutines. The zero Table has no state and no rows.
type Table struct {
	initial State
	label   string
	rows    []Transition
}

// NewTable checks the rows and returns them as a Table that starts in initial.
// The label is what a diagram writes at the arrow that leads into the initial
// state. The order of the rows is kept.
//
// The error joins one error for each thing that is wrong: a state or event that
// is not one, a second row for the same state and event, a row that leads back to
// its own state, a row out of a terminal state, a state that cannot be reached
// from initial, a state from which no terminal state can be reached.
func NewTable(initial State, label string, rows ...Transition) (Table, error) {
	t := Table{initial: initial, label: label, rows: slices.Clone(rows)}
	errs := t.checkRows()
	if len(errs) == 0 { // reachability means nothing while the rows are wrong
		errs = t.checkReach()
	}
	if len(errs) > 0 {
		return Table{}, errors.Join(errs...)
	}
	return t, nil
}

// Initial returns the state in which a machine of this table starts.
func (t Table) Initial() State { return t.initial }

// Label returns the text at the arrow that leads into the initial state.
func (t Table) Label() string { return t.label }

// All yields the rows in the order in which NewTable was given them.
func (t Table) All() iter.Seq[Transition] { return slices.Values(t.rows) }

// States yields every state once: the initial one first, then the others in the
// order in which the rows name them.
func (t Table) States() iter.Seq[State] {
	var states []State
	if t.initial.valid() {
		states = append(states, t.initial)
	}
	for _, row := range t.rows {
		for _, s := range []State{row.From, row.To} {
			if !slices.Contains(states, s) {
				states = append(states, s)
			}
		}
	}
	return slices.Values(states)
}

// Next returns the row that says what event does in state s. The second result
// is false if the event is illegal there.
func (t Table) Next(s State, event Event) (Transition, bool) {
	for _, row := range t.rows {
		if row.From == s && row.Event == event {
			return row, true
		}
	}
	return Transition{}, false
}

// checkRows returns what is wrong with single rows and pairs of them.
func (t Table) checkRows() []error {
	var errs []error
	report := func(format string, args ...any) { errs = append(errs, fmt.Errorf("fsm: "+format, args...)) }
	if !t.initial.valid() {
		report("the initial state %v is not a state", t.initial)
	}
	type key struct {
		from  State
		event Event
	}
	seen := make(map[key]int)
	for i, row := range t.rows {
		n := i + 1
		if !row.From.valid() || !row.To.valid() {
			report("row %d leads from %v to %v: both must be states", n, row.From, row.To)
		}
		if !row.Event.valid() {
			report("row %d: %v is not an event", n, row.Event)
		}
		if row.Call > CallStop {
			report("row %d: %v is not a call", n, row.Call)
		}
		if row.From == row.To {
			report("row %d leads from %v back to itself", n, row.From)
		}
		if row.From.Terminal() {
			report("row %d leads out of %v, which is terminal", n, row.From)
		}
		k := key{row.From, row.Event}
		if first, dup := seen[k]; dup {
			report("rows %d and %d both say what %v does in %v", first, n, row.Event, row.From)
		}
		seen[k] = n
	}
	return errs
}

// checkReach returns the states that no path enters or that no path leaves for
// a terminal state.
func (t Table) checkReach() []error {
	var errs []error
	for s := range t.States() {
		if !t.reaches(t.initial, func(to State) bool { return to == s }) {
			errs = append(errs, fmt.Errorf("fsm: %v cannot be reached from %v", s, t.initial))
		}
		if !t.reaches(s, State.Terminal) {
			errs = append(errs, fmt.Errorf("fsm: no terminal state can be reached from %v", s))
		}
	}
	return errs
}

// reaches reports whether a path, possibly an empty one, leads from a state to one
// that fits.
func (t Table) reaches(from State, fits func(State) bool) bool {
	todo, seen := []State{from}, map[State]bool{from: true}
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		if fits(s) {
			return true
		}
		for _, row := range t.rows {
			if row.From == s && !seen[row.To] {
				seen[row.To] = true
				todo = append(todo, row.To)
			}
		}
	}
	return false
}
