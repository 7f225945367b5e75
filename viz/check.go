package viz

import (
	"errors"
	"slices"
	"strings"
)

// Check returns what is suspicious about a machine, joined, each with the names of the
// states, or nil. A test may hold a machine to it:
//
//	if err := viz.Check(viz.FromEvents("pending", events)); err != nil {
//		t.Error(err)
//	}
//
// Suspicious is
//   - a state that no path from the initial one enters, if there is an initial one;
//   - a state from which no path leads to an end. An end is a Terminal state or, if none
//     is marked, a state that no edge leaves. A machine without any end is meant to
//     run for ever;
//   - a state that no edge leaves, if others are marked Terminal, and a Terminal state that
//     an edge leaves;
//   - an event, which is the label of edges, with two targets in one state;
//   - an event of FromEvents without a source;
//   - the same edge twice;
//   - a name that differs from another one only in its case or in the spaces around it.
//
// A machine that is in a state is also in those around it, and leaves it by their edges.
// What Err returns is returned as well, alone.
func Check(m Machine) error {
	if err := m.Err(); err != nil {
		return err
	}
	m = Machine{Initial: m.Initial, States: m.states(), Edges: m.Edges, errs: slices.Clone(m.lost)}
	c := checker{Machine: m, inside: m.chains()}
	c.names()
	c.targets()
	c.dead(m.States)
	walk(m.States, func(s *State, _ string) { c.dead(s.States) })
	c.reachable()
	return errors.Join(c.errs...)
}

type checker struct {
	Machine
	inside map[string][]string // see chains
}

// leaves reports whether an edge leads out of a state, or of one inside it.
func (c *checker) leaves(name string) bool {
	return slices.ContainsFunc(c.Edges, func(e Edge) bool {
		return contains(c.inside, name, e.From) && !contains(c.inside, name, e.To)
	})
}

func marked(states []State) bool {
	return slices.ContainsFunc(states, func(s State) bool { return s.Terminal })
}

// dead checks whether edges leave the states of a level.
func (c *checker) dead(states []State) {
	for _, s := range states {
		switch leaves := c.leaves(s.Name); {
		case s.Terminal && leaves:
			c.errs.add("%q is terminal, but an edge leaves it", s.Name)
		case marked(states) && !s.Terminal && !leaves:
			c.errs.add("%q is a dead end: no edge leaves it, and it is not terminal", s.Name)
		}
	}
}

// reachable checks all states. A machine that enters a state is also in those around it,
// and enters what that one begins with, or any of the states inside if that is not said.
func (c *checker) reachable() {
	edges, all := slices.Clone(c.Edges), []string(nil)
	walk(c.States, func(s *State, in string) {
		all = append(all, s.Name)
		if in != "" {
			edges = append(edges, Edge{From: s.Name, To: in})
		}
		if s.Initial != "" {
			edges = append(edges, Edge{From: s.Name, To: s.Initial})
		} else if s.Name == c.Initial || slices.ContainsFunc(c.Edges, func(e Edge) bool { return e.To == s.Name }) {
			for _, in := range s.States {
				edges = append(edges, Edge{From: s.Name, To: in.Name})
			}
		}
	})
	var ends []string
	for _, s := range c.States {
		if s.Terminal || !marked(c.States) && !c.leaves(s.Name) {
			ends = append(ends, s.Name)
		}
	}
	entered := reach([]string{c.Initial}, edges, func(e Edge) (string, string) { return e.From, e.To })
	ending := reach(ends, edges, func(e Edge) (string, string) { return e.To, e.From })
	for _, name := range all {
		if c.Initial != "" && !entered[name] {
			c.errs.add("%q cannot be reached from %q", name, c.Initial)
		}
		if len(ends) > 0 && !ending[name] && c.leaves(name) {
			c.errs.add("no path leads from %q to an end (%s)", name, strings.Join(ends, ", "))
		}
	}
}

// reach returns what can be reached over edges in the direction that the function says.
func reach(from []string, edges []Edge, ends func(Edge) (from, to string)) map[string]bool {
	near := make(map[string][]string)
	for _, e := range edges {
		a, b := ends(e)
		near[a] = append(near[a], b)
	}
	seen := make(map[string]bool)
	for todo := from; len(todo) > 0; todo = todo[1:] {
		if !seen[todo[0]] {
			seen[todo[0]] = true
			todo = append(todo, near[todo[0]]...)
		}
	}
	return seen
}

func (c *checker) targets() {
	type key struct{ from, label string }
	first := make(map[key]string)
	for _, e := range c.Edges {
		k := key{e.From, e.Label}
		to, again := first[k]
		switch {
		case !again:
			first[k] = e.To
		case to == e.To:
			c.errs.add("the edge %q from %q to %q is there twice", e.Label, e.From, e.To)
		case !blank(e.Label):
			c.errs.add("%q has two targets in %q: %q and %q", e.Label, e.From, to, e.To)
		}
	}
}

func (c *checker) names() {
	seen := make(map[string]string)
	walk(c.States, func(s *State, _ string) {
		key := strings.ToLower(strings.TrimSpace(s.Name))
		if other, ok := seen[key]; ok {
			c.errs.add("%q and %q differ only in case or in spaces", other, s.Name)
		}
		seen[key] = s.Name
	})
}
