package viz

import (
	"slices"
	"strings"
)

// levelEdge is an edge on the level at which it is drawn: the innermost one that both ends
// are inside of. The states of that level that are, or contain, its ends are from and to.
type levelEdge struct {
	Edge
	from, to string
}

// across reports whether an end is deeper than the level.
func (e levelEdge) across() bool { return e.from != e.From || e.to != e.To }

// chains returns for each state the names of the states that it is inside of, from the
// top, and its own.
func (m Machine) chains() map[string][]string {
	all := make(map[string][]string)
	walk(m.States, func(s *State, in string) {
		all[s.Name] = append(slices.Clip(all[in]), s.Name)
	})
	return all
}

// level returns an edge on its level, and the enclosing state of that, "" at the top.
func level(chains map[string][]string, e Edge) (in string, on levelEdge) {
	from, to := chains[e.From], chains[e.To]
	depth := 0
	for depth < min(len(from), len(to))-1 && from[depth] == to[depth] {
		depth++
	}
	if depth > 0 {
		in = from[depth-1]
	}
	return in, levelEdge{e, from[depth], to[depth]}
}

// levels returns the edges by the enclosing state of their level.
func (m Machine) levels() map[string][]levelEdge {
	chains, all := m.chains(), make(map[string][]levelEdge)
	for _, e := range m.Edges {
		in, on := level(chains, e)
		all[in] = append(all[in], on)
	}
	return all
}

// contains reports whether a state is another one or inside of it.
func contains(chains map[string][]string, outer, inner string) bool {
	chain := chains[inner]
	return len(chain) >= len(chains[outer]) && chain[len(chains[outer])-1] == outer
}

// lifted returns the edge between the states of its level. Its label says which states
// inside of them it connects.
func (e levelEdge) lifted(label func(name string) string) Edge {
	if !e.across() {
		return e.Edge
	}
	text := strings.TrimLeft(e.Label+"\n("+strings.TrimLeft(label(e.From)+" → ", " ")+label(e.To)+")", "\n")
	return Edge{From: e.from, To: e.to, Label: text, Class: e.Class}
}
