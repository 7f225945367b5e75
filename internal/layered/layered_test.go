package layered_test

import (
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall/internal/layered"
)

type rect struct{ x0, y0, x1, y1 float64 }

func around(p layered.Point, w, h float64) rect {
	return rect{p.X - w/2, p.Y - h/2, p.X + w/2, p.Y + h/2}
}

// meets reports whether two rectangles have a common inside.
func (r rect) meets(o rect) bool {
	const e = 0.01
	return r.x0 < o.x1-e && o.x0 < r.x1-e && r.y0 < o.y1-e && o.y0 < r.y1-e
}

// line samples what is drawn for an edge: straight lines and curves in turn.
func line(points []layered.Point) (all []layered.Point) {
	for i := 1; i < len(points); i++ {
		p, q := points[i-1], points[i]
		for k := range 21 {
			t := float64(k) / 20
			x := t
			if i%2 == 0 { // a cubic with its handles on the axis, half way
				x = t * t * (3 - 2*t)
			}
			y := t
			if i%2 == 0 {
				y = 1.5*t*(1-t)*(1-t) + 1.5*t*t*(1-t) + t*t*t
			}
			all = append(all, layered.Point{X: p.X + (q.X-p.X)*x, Y: p.Y + (q.Y-p.Y)*y})
		}
	}
	return all
}

// graph draws a random graph, as machines are: mostly forward, some back, some loops.
func graph(t *rapid.T) layered.Graph {
	var g layered.Graph
	n := rapid.IntRange(1, 40).Draw(t, "nodes")
	size := rapid.Float64Range(10, 200)
	for range n {
		g.Nodes = append(g.Nodes, layered.Node{W: size.Draw(t, "w"), H: size.Draw(t, "h"), Right: rapid.SampledFrom([]float64{0, 0, 80}).Draw(t, "right")})
	}
	node := rapid.IntRange(0, n-1)
	for range rapid.IntRange(0, 2*n).Draw(t, "edges") {
		e := layered.Edge{From: node.Draw(t, "from"), To: node.Draw(t, "to")}
		if rapid.Bool().Draw(t, "label") {
			e.W, e.H = size.Draw(t, "lw"), size.Draw(t, "lh")
		}
		g.Edges = append(g.Edges, e)
	}
	return g
}

// TestNothingOverlaps: boxes and labels have no common place, no line goes through another
// node's box or another edge's label, each begins and ends at the border of its nodes, and
// all of it is inside of the drawing.
func TestNothingOverlaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := graph(t)
		again := layered.Graph{Nodes: append([]layered.Node(nil), g.Nodes...), Edges: append([]layered.Edge(nil), g.Edges...)}
		g.Layout()
		if again.Layout(); !reflect.DeepEqual(g, again) {
			t.Fatal("the same graph has another layout")
		}
		var rects []rect // of the nodes, then of the edges' labels
		for _, n := range g.Nodes {
			r := around(layered.Point{X: n.X, Y: n.Y}, n.W, n.H)
			r.x1 += n.Right
			rects = append(rects, r)
		}
		for _, e := range g.Edges {
			r := rect{}
			if e.From != e.To && e.W > 0 {
				r = around(e.Label, e.W, e.H)
			}
			rects = append(rects, r)
		}
		for i, a := range rects {
			if a.x0 < -0.01 || a.y0 < -0.01 || a.x1 > g.W+0.01 || a.y1 > g.H+0.01 {
				t.Fatalf("%v is outside of %v x %v", a, g.W, g.H)
			}
			for k, b := range rects[:i] {
				if a.meets(b) {
					t.Fatalf("%d and %d overlap: %v, %v", i, k, a, b)
				}
			}
		}
		for i, e := range g.Edges {
			if e.From == e.To {
				if e.Points != nil {
					t.Fatalf("a loop has points")
				}
				continue
			}
			from, to := g.Nodes[e.From], g.Nodes[e.To]
			first, last := e.Points[0], e.Points[len(e.Points)-1]
			for _, end := range []struct {
				n layered.Node
				p layered.Point
			}{{from, first}, {to, last}} {
				if math.Abs(math.Abs(end.p.Y-end.n.Y)-end.n.H/2) > 0.01 || math.Abs(end.p.X-end.n.X) > end.n.W/2 {
					t.Fatalf("edge %d ends at %v, which is not on the border of %+v", i, end.p, end.n)
				}
			}
			for _, p := range line(e.Points) {
				for k, r := range rects {
					if k != e.From && k != e.To && k != len(g.Nodes)+i && r.meets(around(p, 0.02, 0.02)) {
						t.Fatalf("edge %d goes through %d at %v", i, k, p)
					}
				}
			}
			if e.W > 0 {
				on := false
				for _, p := range line(e.Points) {
					on = on || math.Abs(p.X-e.Label.X) < 0.01 && math.Abs(p.Y-e.Label.Y) < e.H
				}
				if !on {
					t.Fatalf("the label of edge %d is at %v, away from its line %v", i, e.Label, e.Points)
				}
			}
		}
	})
}

// crossings counts the pairs of edges whose lines meet elsewhere than at a node.
func crossings(g layered.Graph) (n int) {
	for i, a := range g.Edges {
		for _, b := range g.Edges[:i] {
			p, q := line(a.Points), line(b.Points)
			meet := false
			for k := 1; k < len(p); k++ {
				for m := 1; m < len(q); m++ {
					meet = meet || side(p[k-1], p[k], q[m-1])*side(p[k-1], p[k], q[m]) < 0 && side(q[m-1], q[m], p[k-1])*side(q[m-1], q[m], p[k]) < 0
				}
			}
			if meet {
				n++
			}
		}
	}
	return n
}

func side(a, b, p layered.Point) float64 { return (b.X-a.X)*(p.Y-a.Y) - (b.Y-a.Y)*(p.X-a.X) }

// TestNoNeedlessCrossing: trees and ladders, which need none, have none.
func TestNoNeedlessCrossing(t *testing.T) {
	for name, edges := range map[string][][2]int{
		"a tree of 40":   tree(40, 3),
		"a chain":        tree(40, 1),
		"back and forth": append(tree(40, 1), back(tree(40, 1))...),
		"a tree, back":   append(tree(13, 3), back(tree(13, 3))...),
		"a diamond":      {{0, 1}, {0, 2}, {1, 3}, {2, 3}, {0, 3}},
		"four and a way": {{0, 1}, {1, 3}, {1, 2}, {2, 3}},
	} {
		var g layered.Graph
		for _, e := range edges {
			for len(g.Nodes) <= max(e[0], e[1]) {
				g.Nodes = append(g.Nodes, layered.Node{W: 80, H: 30})
			}
			g.Edges = append(g.Edges, layered.Edge{From: e[0], To: e[1], W: 40, H: 15})
		}
		if g.Layout(); crossings(g) != 0 {
			t.Errorf("%s: %d crossings", name, crossings(g))
		}
	}
}

func tree(n, arity int) (edges [][2]int) {
	for i := 1; i < n; i++ {
		edges = append(edges, [2]int{(i - 1) / arity, i})
	}
	return edges
}

func back(edges [][2]int) (all [][2]int) {
	for _, e := range edges {
		all = append(all, [2]int{e[1], e[0]})
	}
	return all
}

// TestAllPairs: a graph where every node leads to every other one is laid out, too, in a
// time that a test can wait for.
func TestAllPairs(t *testing.T) {
	var g layered.Graph
	const n = 16
	for i := range n {
		g.Nodes = append(g.Nodes, layered.Node{W: 80, H: 30})
		for k := range n {
			g.Edges = append(g.Edges, layered.Edge{From: i, To: k, W: 40, H: 15})
		}
	}
	start := time.Now()
	g.Layout()
	t.Logf("%d edges in %v", len(g.Edges), time.Since(start))
}
