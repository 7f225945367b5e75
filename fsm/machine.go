package fsm

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/looplab/fsm"
)

// ErrBusy is what Fire returns when it is called while another Fire runs on the
// same Machine: from a second goroutine, or from inside a hook. The state is
// left alone.
var ErrBusy = errors.New("fsm: Fire was called while another Fire was running")

// IllegalError is what Fire returns for an event that the table does not allow
// in the machine's state. The state is left alone.
type IllegalError struct {
	State State
	Event Event
}

func (e *IllegalError) Error() string {
	return fmt.Sprintf("fsm: event %v is illegal in state %v", e.Event, e.State)
}

// Machine is owned by one goroutine and walks a Table. Its engine is
// github.com/looplab/fsm, of which only what cannot get stuck is used: no
// caller's context reaches it, it has a single enter callback and none of the
// before_ and leave_ kinds, and its state is never set from outside.
type Machine struct {
	table  Table
	engine *fsm.FSM
	states map[string]State
	busy   atomic.Bool
	hooks  []func(Transition)
	taken  Transition // the row that the running Fire takes
}

// New returns a Machine in the table's initial state. After every transition it
// calls each hook, in order, on the goroutine that called Fire; the machine is
// in its new state by then. A hook must return at once: it starts things, and
// waits for nothing.
func New(table Table, hooks ...func(Transition)) *Machine {
	m := &Machine{table: table, hooks: hooks, states: make(map[string]State)}
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
	// looplab ignores a callback whose name it does not know; this one is fixed
	// and TestHooks fails if it is ever misspelt.
	m.engine = fsm.NewFSM(table.Initial().String(), events, fsm.Callbacks{
		"enter_state": func(context.Context, *fsm.Event) { m.enter() },
	})
	return m
}

// State returns the state in which the machine is.
func (m *Machine) State() State { return m.states[m.engine.Current()] }

// Fire takes the transition that the table has for the event in the present
// state, and returns it once every hook has returned. Fire itself never blocks.
//
// It returns an *IllegalError if there is no such transition, and ErrBusy if
// another Fire is running; both leave the state alone. A panic in a hook goes
// through to the caller of Fire; the transition has then been taken, the hooks
// behind the one that panicked have not been called, and the machine goes on
// working.
func (m *Machine) Fire(event Event) (Transition, error) {
	if !m.busy.CompareAndSwap(false, true) {
		return Transition{}, ErrBusy
	}
	defer m.busy.Store(false)
	state := m.State()
	row, ok := m.table.Next(state, event)
	if !ok {
		return Transition{}, &IllegalError{State: state, Event: event}
	}
	m.taken = row
	// The engine gets a context that nobody can cancel: a cancelled one leaves it
	// stuck for ever (looplab/fsm v1.0.3).
	if err := m.engine.Event(context.Background(), event.String()); err != nil {
		return Transition{}, fmt.Errorf("fsm: engine refused %v in %v: %w", event, state, err)
	}
	return row, nil
}

// enter is called by the engine when it is in the new state.
func (m *Machine) enter() {
	for _, hook := range m.hooks {
		hook(m.taken)
	}
}
