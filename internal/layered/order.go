package layered

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Each start of the search goes on for so many sweeps. More bring nothing for machines of
// 40 states.
const starts, sweeps = 8, 12

// enough is how many vertices all starts may sort together before the last one begins:
// a graph that is so large is a mesh, which more starts cannot untangle.
const enough = 50_000

// order puts the vertices of each layer into an order with few crossings: the best that
// the sweeps come across.
func (l *layout) order() {
	r := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // it has to be the same each time
	var best []int                   // the positions
	fewest := math.MaxInt
	for start := 0; start < starts && start*len(l.verts) < enough && fewest > 0; start++ {
		l.firstOrder(start, r)
		pos := l.positions()
		for sweep := 0; sweep <= sweeps && fewest > 0; sweep++ {
			if n := l.crossings(pos); n < fewest {
				best, fewest = slices.Clone(pos), n
			}
			down := (sweep+start)%2 == 0
			ranks := slices.All(l.ranks)
			if !down {
				ranks = slices.Backward(l.ranks)
			}
			for _, rank := range ranks {
				l.byBarycenter(pos, rank, down)
			}
			l.swap(pos)
		}
	}
	for _, rank := range l.ranks {
		slices.SortFunc(rank, func(a, b int) int { return best[a] - best[b] })
	}
}

// firstOrder is that of a depth-first search downward. From the second start on, it takes
// the edges of a vertex in another order each time.
func (l *layout) firstOrder(start int, r *rand.Rand) {
	ranks := make([][]int, len(l.ranks))
	seen := make([]bool, len(l.verts))
	var visit func(int)
	visit = func(v int) {
		if seen[v] {
			return
		}
		seen[v] = true
		ranks[l.verts[v].rank] = append(ranks[l.verts[v].rank], v)
		down := slices.Clone(l.verts[v].down)
		if start > 0 {
			r.Shuffle(len(down), func(i, j int) { down[i], down[j] = down[j], down[i] })
		}
		for _, d := range down {
			visit(d)
		}
	}
	for _, rank := range l.ranks {
		for _, v := range rank {
			visit(v)
		}
	}
	l.ranks = ranks
}

// positions returns the place of each vertex in its layer.
func (l *layout) positions() []int {
	pos := make([]int, len(l.verts))
	for _, rank := range l.ranks {
		for i, v := range rank {
			pos[v] = i
		}
	}
	return pos
}

func (v *vertex) neighbours(up bool) []int {
	if up {
		return v.up
	}
	return v.down
}

// byBarycenter sorts a layer by the mean place of the neighbours on one side. A vertex
// without any keeps its place.
func (l *layout) byBarycenter(pos, rank []int, up bool) {
	key := make(map[int]float64)
	for i, v := range rank {
		near := l.verts[v].neighbours(up)
		key[v] = float64(i)
		if len(near) > 0 {
			sum := 0
			for _, n := range near {
				sum += pos[n]
			}
			key[v] = float64(sum) / float64(len(near))
		}
	}
	slices.SortStableFunc(rank, func(a, b int) int { return cmp.Compare(key[a], key[b]) })
	for i, v := range rank {
		pos[v] = i
	}
}

// swap exchanges neighbours in a layer as long as that saves crossings.
func (l *layout) swap(pos []int) {
	for round, better := 0, true; better && round < 10; round++ {
		better = false
		for _, rank := range l.ranks {
			for i := 1; i < len(rank); i++ {
				a, b := rank[i-1], rank[i]
				if l.pair(pos, a, b) > l.pair(pos, b, a) {
					rank[i-1], rank[i] = b, a
					pos[a], pos[b] = i, i-1
					better = true
				}
			}
		}
	}
}

// pair returns how many edges of a cross those of b when a is to the left of b.
func (l *layout) pair(pos []int, a, b int) (n int) {
	for _, up := range []bool{true, false} {
		for _, x := range l.verts[a].neighbours(up) {
			for _, y := range l.verts[b].neighbours(up) {
				if pos[x] > pos[y] {
					n++
				}
			}
		}
	}
	return n
}

// crossings counts all of them.
func (l *layout) crossings(pos []int) (n int) {
	for _, rank := range l.ranks {
		var before []int // where the edges of what is to the left end, in order
		for _, v := range rank {
			for _, d := range l.verts[v].down {
				i, _ := slices.BinarySearch(before, pos[d]+1)
				n += len(before) - i
			}
			for _, d := range l.verts[v].down {
				i, _ := slices.BinarySearch(before, pos[d])
				before = slices.Insert(before, i, pos[d])
			}
		}
	}
	return n
}
