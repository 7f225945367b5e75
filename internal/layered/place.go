package layered

import (
	"cmp"
	"math"
	"slices"
)

// rounds is how often the layers move toward their neighbours.
const rounds = 60

// place sets the x of every vertex: near the mean of its neighbours, in the order of its
// layer, without overlap.
func (l *layout) place() {
	for _, rank := range l.ranks {
		x := 0.0
		for _, v := range rank {
			l.verts[v].x = x + l.verts[v].left
			x += l.verts[v].left + l.verts[v].right
		}
	}
	for round := range rounds {
		ranks := slices.All(l.ranks)
		if round%2 == 1 {
			ranks = slices.Backward(l.ranks)
		}
		for _, rank := range ranks {
			l.settle(rank, round)
		}
	}
	l.straighten()
	least := math.Inf(1)
	for i := range l.verts {
		least = min(least, l.verts[i].x-l.verts[i].left+l.verts[i].gap())
	}
	for i := range l.verts {
		v := &l.verts[i]
		v.x -= least
		l.W = max(l.W, v.x+v.right-v.gap())
		if v.node >= 0 {
			l.Nodes[v.node].X = v.x
		}
	}
}

// settle moves a layer toward its neighbours: above in even rounds, below in odd ones, and
// on both sides in the last third.
func (l *layout) settle(rank []int, round int) {
	want, weight, gap := make([]float64, len(rank)), make([]float64, len(rank)), make([]float64, len(rank))
	for i, v := range rank {
		at := &l.verts[v]
		if i > 0 {
			gap[i] = l.verts[rank[i-1]].right + at.left
		}
		for _, up := range []bool{true, false} {
			if round < 2*rounds/3 && up != (round%2 == 0) {
				continue
			}
			for _, n := range at.neighbours(up) {
				w := 1.0
				if at.node < 0 && l.verts[n].node < 0 {
					w = 8 // long lines are straight before anything else is near
				} else if at.node < 0 || l.verts[n].node < 0 {
					w = 2
				}
				want[i] += w * l.verts[n].x
				weight[i] += w
			}
		}
		if weight[i] == 0 {
			want[i], weight[i] = at.x*0.01, 0.01
		}
		want[i] /= weight[i]
	}
	for i, x := range separate(want, weight, gap) {
		l.verts[rank[i]].x = x
	}
}

// straighten makes the lines of each edge vertical for as many layers as there is room
// for, the longest edges first.
func (l *layout) straighten() {
	edges := make([]int, 0, len(l.chains))
	for e, chain := range l.chains {
		if len(chain) > 0 {
			edges = append(edges, e)
		}
	}
	slices.SortStableFunc(edges, func(a, b int) int { return len(l.chains[b]) - len(l.chains[a]) })
	pos := l.positions()
	for range 3 {
		for _, e := range edges {
			chain := l.chains[e]
			for from := 1; from < len(chain)-1; {
				from = l.pull(pos, chain, from)
			}
		}
	}
}

// pull makes the longest run of vertices vertical that begins at an index of a chain, and
// returns where the next one begins. If the run is next to the chain's end, it leads to
// the node there, if it can.
func (l *layout) pull(pos []int, chain []int, from int) (next int) {
	least, most := math.Inf(-1), math.Inf(1)
	within := func(lo, hi float64) bool {
		if max(least, lo) > min(most, hi) {
			return false
		}
		least, most = max(least, lo), min(most, hi)
		return true
	}
	sum := 0.0
	for next = from; next < len(chain)-1 && within(l.room(pos, chain[next])); next++ {
		sum += l.verts[chain[next]].x
	}
	want := sum / float64(next-from)
	if from == 1 {
		within(l.border(chain[0]))
	}
	if next == len(chain)-1 {
		within(l.border(chain[next]))
	}
	x := max(least, min(most, want))
	for _, v := range chain[from:next] {
		l.verts[v].x = x
	}
	return next
}

// room returns how far a vertex can move while its neighbours stay.
func (l *layout) room(pos []int, v int) (least, most float64) {
	least, most = math.Inf(-1), math.Inf(1)
	at, rank := &l.verts[v], l.ranks[l.verts[v].rank]
	if i := pos[v]; i > 0 {
		n := &l.verts[rank[i-1]]
		least = min(at.x, n.x+n.right+at.left)
	}
	if i := pos[v]; i < len(rank)-1 {
		n := &l.verts[rank[i+1]]
		most = max(at.x, n.x-n.left-at.right)
	}
	return least, most
}

// border returns where edges may end at a node.
func (l *layout) border(v int) (least, most float64) {
	half := max(0, l.Nodes[l.verts[v].node].W/2-corner)
	return l.verts[v].x - half, l.verts[v].x + half
}

// separate returns the places nearest to the wanted ones, by weighted squares, with at
// least gap[i] between i-1 and i: it pools adjacent violators.
func separate(want, weight, gap []float64) []float64 {
	type block struct {
		mean, weight float64
		n            int
	}
	var blocks []block
	offset := 0.0
	for i := range want {
		offset += gap[i]
		blocks = append(blocks, block{want[i] - offset, weight[i], 1})
		for k := len(blocks) - 1; k > 0 && blocks[k-1].mean > blocks[k].mean; k-- {
			a, b := blocks[k-1], blocks[k]
			w := a.weight + b.weight
			blocks = append(blocks[:k-1], block{(a.mean*a.weight + b.mean*b.weight) / w, w, a.n + b.n})
		}
	}
	all := make([]float64, 0, len(want))
	offset = 0
	for _, b := range blocks {
		for range b.n {
			offset += gap[len(all)]
			all = append(all, b.mean+offset)
		}
	}
	return all
}

// route sets every y, and the points of the edges.
func (l *layout) route() {
	xs := make([][]float64, len(l.Edges)) // by edge and vertex
	for e, chain := range l.chains {
		for _, v := range chain {
			xs[e] = append(xs[e], l.verts[v].x)
		}
	}
	for v := range l.Nodes {
		l.ports(v, true, xs)
		l.ports(v, false, xs)
	}
	top, bottom := l.heights(xs)
	for i := range l.Nodes {
		r := l.verts[i].rank
		l.Nodes[i].Y = (top[r] + bottom[r]) / 2
	}
	for e, chain := range l.chains {
		edge := &l.Edges[e]
		edge.Points = nil
		for i, v := range chain {
			r := l.verts[v].rank
			mid := (top[r] + bottom[r]) / 2
			above, below := top[r]-stub, bottom[r]+stub
			if i == 0 {
				above = mid + l.verts[v].h/2
			} else if i == len(chain)-1 {
				below = mid - l.verts[v].h/2
			}
			if n := len(chain); i == (n-1)/2 && i > 0 {
				edge.Label = Point{xs[e][i], mid}
			}
			edge.Points = append(edge.Points, Point{xs[e][i], above}, Point{xs[e][i], below})
		}
		if l.turned[e] {
			slices.Reverse(edge.Points)
		}
	}
}

// heights returns where each layer begins and ends. The gap to the next one is larger if
// a line goes far to the side in it.
func (l *layout) heights(xs [][]float64) (top, bottom []float64) {
	far := make([]float64, len(l.ranks))
	for e, chain := range l.chains {
		for i := 1; i < len(chain); i++ {
			r := l.verts[chain[i-1]].rank
			far[r] = max(far[r], math.Abs(xs[e][i]-xs[e][i-1]))
		}
	}
	y := 0.0
	for r, rank := range l.ranks {
		h := 0.0
		for _, v := range rank {
			h = max(h, l.verts[v].h)
		}
		top, bottom = append(top, y), append(bottom, y+h)
		l.H = y + h
		y += h + 2*stub + layerGap + min(maxBend, far[r]/8)
	}
	return top, bottom
}

// ports spreads the ends of a node's edges on its upper or lower border, each as near as
// possible to the next vertex of its edge.
func (l *layout) ports(v int, up bool, xs [][]float64) {
	type end struct {
		x    *float64
		next float64
	}
	var ends []end
	for e, chain := range l.chains {
		n := len(chain)
		if n > 0 && up && chain[n-1] == v {
			ends = append(ends, end{&xs[e][n-1], l.verts[chain[n-2]].x})
		} else if n > 0 && !up && chain[0] == v {
			ends = append(ends, end{&xs[e][0], l.verts[chain[1]].x})
		}
	}
	slices.SortStableFunc(ends, func(a, b end) int { return cmp.Compare(a.next, b.next) })
	half := max(0, l.Nodes[v].W/2-corner)
	want, weight, gap := make([]float64, len(ends)), make([]float64, len(ends)), make([]float64, len(ends))
	for i, e := range ends {
		want[i], weight[i] = max(l.verts[v].x-half, min(l.verts[v].x+half, e.next)), 1
		if i > 0 {
			gap[i] = between
		}
	}
	for i, place := range separate(want, weight, gap) { // as a whole inside the border
		before, total := between*float64(i), between*float64(len(ends)-1)
		*ends[i].x = max(l.verts[v].x-half+before, min(l.verts[v].x+half-total+before, place))
	}
}
