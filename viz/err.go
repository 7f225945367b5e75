package viz

import (
	"errors"
	"slices"
)

// Err returns everything that makes it impossible to draw the machine, joined, each
// with the name of the state or edge: a state without a name, two states of the same
// name, an initial state that is not there, a blank note, an unknown class or direction; and what FromFSM, Mark, Note,
// Inside and Path could not do.
//
// It is not an error that a state is unreachable, or a dead end: Check says so.
func (m Machine) Err() error {
	errs := slices.Clone(m.errs)
	switch m.Direction {
	case "", TopDown, BottomUp, LeftRight, RightLeft:
	default:
		errs.add("direction %q is none of TB, BT, LR, RL", string(m.Direction))
	}
	for i, e := range m.Edges { // before states() makes states of these names
		if blank(e.From) || blank(e.To) {
			errs.add("edge %d (%q): from %q to %q: both states need a name", i+1, e.Label, e.From, e.To)
		}
		if e.Class > Forced {
			errs.add("edge %d (%q): %v is not a class", i+1, e.Label, e.Class)
		}
	}
	states := m.states()
	if len(states) == 0 && len(errs) == 0 {
		errs.add("the machine has no states")
	}
	m.checkStates(states, &errs)
	return errors.Join(errs...)
}

func (m Machine) checkStates(states []State, errs *mistakes) {
	parents := make(map[string]string)
	walk(states, func(s *State, parent string) {
		if blank(s.Name) {
			if !slices.ContainsFunc(m.Edges, func(e Edge) bool { return e.From == s.Name || e.To == s.Name }) {
				errs.add("a state has the name %q (inside %q, beside %d others): give it one", s.Name, parent, len(states)-1)
			}
			return
		}
		if _, twice := parents[s.Name]; twice {
			errs.add("two states have the name %q", s.Name)
		}
		parents[s.Name] = parent
		if s.Class > Forced {
			errs.add("state %q: %v is not a class", s.Name, s.Class)
		}
		for _, note := range s.Notes {
			if blank(note) {
				errs.add("state %q has a blank note", s.Name)
			}
		}
		if s.Initial != "" && !slices.ContainsFunc(s.States, func(in State) bool { return in.Name == s.Initial }) {
			errs.add("the state %q is entered in %q, which is not inside it", s.Name, s.Initial)
		}
	})
	if m.Initial != "" && blank(m.Initial) {
		errs.add("the initial state has the name %q", m.Initial)
	}
}
