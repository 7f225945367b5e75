// Package layered lays out directed graphs in layers, after Sugiyama: edges run from layer
// to layer, and every label has a place of its own, so that nothing overlaps.
//
// The steps are those of Gansner, Koutsofios, North and Vo, "A Technique for Drawing
// Directed Graphs" (1993), in their simplest forms: cycles are broken by depth-first
// search, layers are tightened one node at a time, crossings are reduced by barycenters
// and swaps of neighbours, and coordinates are the weighted means of the neighbours'.
//
// The package is pure and deterministic: the same graph has the same layout.
package layered

import "slices"

// Point is a place in the layout: x to the right, y down.
type Point struct{ X, Y float64 }

// Node is a box. X and Y are its centre, and are set by Layout, which also makes the box
// wider if it has many edges.
type Node struct {
	W, H  float64
	Right float64 // room that is kept free to the right of it
	X, Y  float64
}

// Edge goes from one node to another, both given by index. An edge from a node to itself is
// left alone: the caller draws it in the room to the right.
type Edge struct {
	From, To int
	W, H     float64 // of the label; 0 without one

	// Points, set by Layout, lead from the border of From to the border of To. The first
	// is joined to the second by a line along the layers' axis, the second to the third by
	// a curve that begins and ends along that axis, and so on in turn.
	Points []Point
	Label  Point // the centre of the label
}

// Graph is what is laid out. Layout sets the size.
type Graph struct {
	Nodes []Node
	Edges []Edge
	W, H  float64
}

// span is how many layers an edge spans at least.
const span = 2

// Distances between what is drawn.
const (
	nodeGap  = 28.0 // between boxes of a layer
	lineGap  = 16.0 // between a line and its neighbour in a layer
	layerGap = 4.0  // between layers, at least, without the stubs; between two nodes there is one for labels
	stub     = 6.0  // how far a line is straight before and behind a layer
	corner   = 10.0 // how far from a box's corners its edges end
	between  = 12.0 // between the ends of two edges
	maxBend  = 34.0 // what is added for lines that go far to the side
	perRow   = 5    // how many nodes without edges stand beside one another
)

// vertex is a node, or a place where an edge passes through a layer.
type vertex struct {
	rank        int
	left, right float64 // how far it extends from x
	h           float64
	x           float64
	node        int // -1 for a place of an edge
	up, down    []int
}

// gap returns how much of a vertex's extent, on each side, is room to its neighbours.
func (v *vertex) gap() float64 {
	if v.node >= 0 {
		return nodeGap / 2
	}
	return lineGap / 2
}

type layout struct {
	*Graph
	verts  []vertex
	ranks  [][]int // the vertices of each layer, from left to right
	chains [][]int // by edge: its vertices, from the upper end to the lower one
	turned []bool  // by edge: it leads upward
}

// Layout places the nodes, the edges and their labels, in layers from top to bottom.
func (g *Graph) Layout() {
	l := &layout{Graph: g, chains: make([][]int, len(g.Edges)), turned: make([]bool, len(g.Edges))}
	l.breakCycles()
	l.build(l.rank())
	l.order()
	l.place()
	l.route()
}

// ends returns the upper and the lower end of an edge.
func (l *layout) ends(e int) (upper, lower int) {
	if l.turned[e] {
		return l.Edges[e].To, l.Edges[e].From
	}
	return l.Edges[e].From, l.Edges[e].To
}

// breakCycles turns the edges that lead back to a node on the way to theirs.
func (l *layout) breakCycles() {
	const open, done = 1, 2
	out := make([][]int, len(l.Nodes))
	for i, e := range l.Edges {
		out[e.From] = append(out[e.From], i)
	}
	state := make([]int, len(l.Nodes))
	var visit func(int)
	visit = func(n int) {
		state[n] = open
		for _, e := range out[n] {
			switch to := l.Edges[e].To; state[to] {
			case 0:
				visit(to)
			case open:
				l.turned[e] = to != n
			}
		}
		state[n] = done
	}
	for n := range l.Nodes {
		if state[n] == 0 {
			visit(n)
		}
	}
}

// rank returns the layer of each node: every edge leads at least two layers down, so that
// there is one for its label.
func (l *layout) rank() []int {
	rank := make([]int, len(l.Nodes))
	above, below := make([][]int, len(rank)), make([][]int, len(rank))
	for e := range l.Edges {
		if up, low := l.ends(e); up != low {
			above[low], below[up] = append(above[low], up), append(below[up], low)
		}
	}
	for range rank { // longest paths: one more layer is right after each round
		if !lower(rank, above) {
			break
		}
	}
	for range rank {
		if !shorten(rank, above, below) {
			break
		}
	}
	last, alone := -span, 0
	for n := range rank {
		if len(above[n])+len(below[n]) > 0 {
			last = max(last, rank[n])
		}
	}
	for n := range rank { // nodes without edges: rows at the end
		if len(above[n])+len(below[n]) == 0 {
			rank[n] = last + span*(1+alone/perRow)
			alone++
		}
	}
	return rank
}

// lower moves nodes below those that lead to them, and reports whether there were any.
func lower(rank []int, above [][]int) (changed bool) {
	for n := range rank {
		for _, up := range above[n] {
			if rank[n] < rank[up]+span {
				rank[n], changed = rank[up]+span, true
			}
		}
	}
	return changed
}

// shorten moves nodes toward the side where they have more edges, and reports whether any
// moved.
func shorten(rank []int, above, below [][]int) (changed bool) {
	higher := func(a, b int) int { return rank[a] - rank[b] }
	for n := range rank {
		want := rank[n]
		if len(below[n]) > len(above[n]) {
			want = rank[slices.MinFunc(below[n], higher)] - span
		} else if len(above[n]) > 0 {
			want = rank[slices.MaxFunc(above[n], higher)] + span
		}
		if want != rank[n] {
			rank[n], changed = want, true
		}
	}
	return changed
}

// build makes the vertices: the nodes, and a place in each layer that an edge passes.
func (l *layout) build(rank []int) {
	add := func(v vertex) int {
		for len(l.ranks) <= v.rank {
			l.ranks = append(l.ranks, nil)
		}
		l.verts = append(l.verts, v)
		l.ranks[v.rank] = append(l.ranks[v.rank], len(l.verts)-1)
		return len(l.verts) - 1
	}
	least := 0
	if len(rank) > 0 {
		least = slices.Min(rank)
	}
	ends := make([][2]int, len(l.Nodes)) // below and above each node
	for e := range l.Edges {
		if up, low := l.ends(e); up != low {
			ends[up][0]++
			ends[low][1]++
		}
	}
	for n := range l.Nodes {
		box := &l.Nodes[n]
		box.W = max(box.W, 2*corner+between*float64(max(ends[n][0], ends[n][1])-1))
		add(vertex{rank: rank[n] - least, node: n, left: box.W/2 + nodeGap/2, right: box.W/2 + box.Right + nodeGap/2, h: box.H})
	}
	for e := range l.Edges {
		up, low := l.ends(e)
		if up == low {
			continue
		}
		l.chains[e] = []int{up}
		first, last := l.verts[up].rank, l.verts[low].rank
		for r := first + 1; r < last; r++ {
			v := vertex{rank: r, node: -1, left: lineGap / 2, right: lineGap / 2}
			if r == (first+last)/2 && l.Edges[e].W > 0 {
				v.left, v.right, v.h = l.Edges[e].W/2+lineGap/2, l.Edges[e].W/2+lineGap/2, l.Edges[e].H
			}
			l.chains[e] = append(l.chains[e], add(v))
		}
		l.chains[e] = append(l.chains[e], low)
		for i, b := range l.chains[e][1:] {
			a := l.chains[e][i]
			l.verts[a].down, l.verts[b].up = append(l.verts[a].down, b), append(l.verts[b].up, a)
		}
	}
}
