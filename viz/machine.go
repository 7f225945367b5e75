// Package viz draws state machines from code: as mermaid, Graphviz, SVG and text.
// It keeps the drawings in markdown files true.
//
// A [Machine] is a value. FromTable, FromEvents, FromFSM and From make one from
// what a program has; a literal does as well. Draw writes it in a Format, Check
// names what is suspicious in it, and Rewrite puts drawings into the marked blocks
// of a markdown file (package viz/viztest does so in a test).
//
// No function starts a goroutine or keeps anything, so any number of goroutines may
// call them, as long as none changes the Machine that another one reads.
package viz

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Machine is a state machine as it is drawn. The zero Machine has no states, and
// drawing it is an error.
type Machine struct {
	Title     string    // above the drawing; none if empty
	Direction Direction // which way the drawing runs

	// Initial is the name of the state in which the machine starts. Without it the
	// drawing has no arrow from the start.
	Initial string
	// Start is the label of the arrow into the initial state.
	Start string

	// States need to hold only what the edges do not say: states without edges,
	// notes, classes, ends, what is inside a state, and another order. The other
	// states follow in the order in which Initial and the edges name them.
	States []State
	// Edges are drawn in their order.
	Edges []Edge

	errs mistakes // from the functions that made it; Draw and Err return them
	lost mistakes // what it was made from and cannot show; Check returns them
}

// State is a state of a Machine. Its name is unique in the whole machine, at every
// depth.
type State struct {
	Name     string
	Label    string   // what the drawing shows in place of the name, if it is not empty
	Notes    []string // drawn beside the state
	Terminal bool     // the machine ends here
	Class    Class

	// States are inside this one: the phases of a state, or the members of a group.
	// Edges may lead across its border. The SVG then draws them to the border, and says
	// in the label which states they connect.
	States  []State
	Initial string // which of the states inside is entered first; may be empty
}

// Edge is a transition: an arrow from one state to another, or to itself.
type Edge struct {
	From, To string
	Label    string // usually the event; may be empty
	Class    Class
}

// Class says how a state or an edge is emphasized.
type Class uint8

const (
	// Plain: not emphasized.
	Plain Class = iota
	// Visited: a run came here.
	Visited
	// Current: the machine is here.
	Current
	// Forced: a run came here, and not by the way that was hoped for.
	Forced
)

// String returns the name of the class as drawings carry it, "" for Plain, and
// "Class(n)" for a value that is not a class.
func (c Class) String() string {
	if c > Forced {
		return fmt.Sprintf("Class(%d)", uint8(c))
	}
	return [...]string{"", "visited", "current", "forced"}[c]
}

// Direction says which way a drawing runs. The zero Direction leaves that to the
// format: mermaid decides for itself, everything else runs from top to bottom.
type Direction string

const (
	TopDown   Direction = "TB"
	BottomUp  Direction = "BT"
	LeftRight Direction = "LR"
	RightLeft Direction = "RL"
)

// From makes a Machine from a sequence of the caller's own. The function returns
// the edges that one element of the sequence stands for.
//
// Edges keep the order of the sequence. The order of a map is another one each time:
// use [Machine.Sorted], or a sequence over its sorted keys.
func From[K, V any](initial string, seq iter.Seq2[K, V], edges func(K, V) []Edge) Machine {
	m := Machine{Initial: initial}
	for k, v := range seq {
		m.Edges = append(m.Edges, edges(k, v)...)
	}
	return m
}

// Sorted returns a copy in which the edges are in the order of their source,
// label and target.
func (m Machine) Sorted() Machine {
	m = m.clone()
	slices.SortStableFunc(m.Edges, func(a, b Edge) int {
		return slices.Compare([]string{a.From, a.Label, a.To}, []string{b.From, b.Label, b.To})
	})
	return m
}

// Mark returns a copy in which the named states have the class. A name that is not
// a state's is an error of the copy (see Err). With Forced, so have the visited edges to
// and from them.
func (m Machine) Mark(class Class, names ...string) Machine {
	m = m.change("mark", names, func(s *State) { s.Class = class })
	for i, e := range m.Edges {
		if class == Forced && e.Class == Visited && (slices.Contains(names, e.From) || slices.Contains(names, e.To)) {
			m.Edges[i].Class = Forced
		}
	}
	return m
}

// Note returns a copy with one more note at the named state. A name that is not a
// state's is an error of the copy, and so is a blank note.
func (m Machine) Note(name, text string) Machine {
	return m.change("note at", []string{name}, func(s *State) { s.Notes = append(s.Notes, text) })
}

// Inside returns a copy in which the named state contains a chain of other states,
// the first of which is entered first: the phases that it goes through. A name that is
// not a state's is an error of the copy.
func (m Machine) Inside(name string, chain ...string) Machine {
	m = m.change("inside", []string{name}, func(s *State) {
		for _, inner := range chain {
			s.States = append(s.States, State{Name: inner})
		}
		if s.Initial == "" && len(chain) > 0 {
			s.Initial = chain[0]
		}
	})
	for i := 1; i < len(chain); i++ {
		m.Edges = append(m.Edges, Edge{From: chain[i-1], To: chain[i]})
	}
	return m
}

// Path returns a copy in which a run is marked: the states that it visited, and the
// edge of each step if it is the only one between its states. The last state becomes
// Current unless it is terminal. A step without an edge is an error of the copy.
func (m Machine) Path(states ...string) Machine {
	m = m.Mark(Visited, states...)
	for i := 1; i < len(states); i++ {
		var taken []int
		for n, e := range m.Edges {
			if e.From == states[i-1] && e.To == states[i] {
				taken = append(taken, n)
			}
		}
		if len(taken) == 0 {
			m.errs.add("step %d of the path: no edge leads from %q to %q", i, states[i-1], states[i])
		}
		if len(taken) == 1 {
			m.Edges[taken[0]].Class = Visited
		}
	}
	if n := len(states); n > 0 && !m.isEnd(states[n-1]) {
		m = m.Mark(Current, states[n-1])
	}
	return m
}

// change applies a function to the named states of a copy.
func (m Machine) change(what string, names []string, apply func(*State)) Machine {
	m = m.clone()
	m.States = m.states()
	for _, name := range names {
		var found []*State
		walk(m.States, func(s *State, _ string) {
			if s.Name == name {
				found = append(found, s)
			}
		})
		for _, s := range slices.Backward(found) { // the inner ones first: apply may move what is inside
			apply(s)
		}
		if found == nil {
			m.errs.add("%s %q: there is no such state", what, name)
		}
	}
	return m
}

// mistakes are errors of a machine.
type mistakes []error

func (all *mistakes) add(format string, args ...any) {
	*all = append(*all, fmt.Errorf("viz: "+format, args...))
}

// clone returns a copy that shares no memory with m.
func (m Machine) clone() Machine {
	m.States = cloneStates(m.States)
	m.Edges = slices.Clone(m.Edges)
	m.errs = slices.Clone(m.errs)
	return m
}

func cloneStates(states []State) []State {
	states = slices.Clone(states)
	for i := range states {
		states[i].Notes = slices.Clone(states[i].Notes)
		states[i].States = cloneStates(states[i].States)
	}
	return states
}

// walk visits states before what is inside them. The function also gets the name of
// the enclosing state, "" at the top.
func walk(states []State, visit func(s *State, parent string)) {
	var down func([]State, string)
	down = func(states []State, parent string) {
		for i := range states {
			visit(&states[i], parent)
			down(states[i].States, states[i].Name)
		}
	}
	down(states, "")
}

// states returns a copy of the states at the top, with those that only Initial and
// the edges name.
func (m Machine) states() []State {
	all := cloneStates(m.States)
	known := make(map[string]bool)
	walk(all, func(s *State, _ string) { known[s.Name] = true })
	add := func(name string) {
		if !known[name] {
			known[name] = true
			all = append(all, State{Name: name})
		}
	}
	if m.Initial != "" {
		add(m.Initial)
	}
	for _, e := range m.Edges {
		add(e.From)
		add(e.To)
	}
	return all
}

// isEnd reports whether the machine ends in a state: it is terminal, or no state is
// and no edge leaves this one for another.
func (m Machine) isEnd(name string) bool {
	terminal, marked := false, false
	walk(m.states(), func(s *State, _ string) {
		marked = marked || s.Terminal
		terminal = terminal || s.Terminal && s.Name == name
	})
	leaves := slices.ContainsFunc(m.Edges, func(e Edge) bool { return e.From == name && e.To != name })
	return terminal || !marked && !leaves
}

func blank(text string) bool { return strings.TrimSpace(text) == "" }

// label returns what a drawing shows for the state.
func (s State) label() string {
	if blank(s.Label) {
		return s.Name
	}
	return s.Label
}
