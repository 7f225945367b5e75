package fsm

import (
	"context"
	"fmt"

	"github.com/looplab/fsm"
)

// IllegalError is what Fire returns for an event that the table does not allow
// in the machine's state. The state is left alone.
type IllegalError struct {
	State State
	Event Event
}

func (e *IllegalError) Error() string {
	return fmt.Sprintf("fsm: event %v is illegal in state %v", e.Event, e.State)
}

// Machine walks a Table. One goroutine owns it and calls Fire; State may be called by
// any number of goroutines.
//
// Its engine is github.com/looplab/fsm: the machine's state is the engine's, and a
// transition is taken only if the engine takes it. No callback is registered with the
// engine, no caller's context reaches it, and its state is never set from outside: those
// are the ways in which it can get stuck.
type Machine struct {
	table  Table
	engine *fsm.FSM
	states map[string]State
}

// New returns a Machine in the table's initial state.
func New(table Table) *Machine {
	m := &Machine{table: table, states: make(map[string]State)}
	for s := range table.States() {
		m.states[s.String()] = s
	}
	var events fsm.Events
	for row := range table.All() {
		events = append(events, fsm.EventDesc{
			Name: row.Event.String(),
			Src:  []string{row.From.String()},
			Dst:  row.To.String(),
		})
	}
	m.engine = fsm.NewFSM(table.Initial().String(), events, nil)
	return m
}

// State returns the state in which the machine is. It does not block.
func (m *Machine) State() State { return m.states[m.engine.Current()] }

// Fire takes the transition that the table has for the event in the present state, and
// returns its row: the caller makes the call that the row names. Fire itself calls
// nothing and does not block.
//
// It returns an *IllegalError, and leaves the state alone, if the table has no such row.
// Any other error says that the engine disagrees with the table: it refused the event, or
// went to another state.
func (m *Machine) Fire(event Event) (Transition, error) {
	state := m.State()
	row, ok := m.table.Next(state, event)
	if !ok {
		return Transition{}, &IllegalError{State: state, Event: event}
	}
	// The engine gets a context that nothing can cancel: a cancelled one leaves it
	// stuck for ever (looplab/fsm v1.0.3).
	if err := m.engine.Event(context.Background(), event.String()); err != nil {
		return Transition{}, fmt.Errorf("fsm: the engine refused %v in %v: %w", event, state, err)
	}
	if now := m.State(); now != row.To {
		return Transition{}, fmt.Errorf("fsm: %v in %v leads to %v, but the engine went to %q", event, state, row.To, m.engine.Current())
	}
	return row, nil
}
