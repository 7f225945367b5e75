package numbers

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lastcall-go/lastcall"
)

// key is what belongs together.
type key struct {
	server, name string
	kind         lastcall.WorkKind
}

// take fills in the work: of a server that fixed has, what fixed says, and of any other
// one what it has now. What runs in fixed is abandoned if this is final.
func (r *Reading) take(live, fixed []lastcall.Work, final bool) {
	r.Begun = map[string]int{}
	is := map[string]bool{}
	for _, w := range fixed {
		is[w.Server] = true
	}
	live = slices.DeleteFunc(live, func(w lastcall.Work) bool { return is[w.Server] })
	sums := map[key]*Work{}
	for i, w := range slices.Concat(live, fixed) {
		k := key{valid(w.Server), valid(w.Name), lastcall.WorkKind(valid(string(w.Kind)))}
		sum := sums[k]
		if sum == nil {
			sum = &Work{Work: lastcall.Work{Server: k.server, Name: k.name, Kind: k.kind}}
			sums[k] = sum
		}
		sum.add(w)
		if final && i >= len(live) {
			sum.Abandoned, sum.Running = sum.Abandoned+sum.Running, 0
		}
	}
	for k, w := range sums {
		if k.kind == lastcall.WorkCall {
			w.Running, w.Abandoned = w.Running+w.Abandoned, 0
			r.Held = append(r.Held, w.Work)
			continue
		}
		r.Begun[k.server] += w.Ended() + w.Cancelled + w.Cut + w.Abandoned + w.Running
		r.Work = append(r.Work, *w)
	}
	slices.SortFunc(r.Work, func(a, b Work) int { return order(a.Work, b.Work) })
	slices.SortFunc(r.Held, order)
}

func order(a, b lastcall.Work) int {
	return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
}

// add adds the numbers of work that a server may have listed twice, or below zero.
func (w *Work) add(more lastcall.Work) {
	w.Running += max(0, more.Running)
	w.Served += max(0, more.Served)
	w.Before += max(0, more.Before)
	w.Late += max(0, more.Late)
	w.Completed += max(0, more.Completed)
	w.Cancelled += max(0, more.Cancelled)
	w.Cut += max(0, more.Cut)
}

// valid returns a text as metrics allow it: what is not UTF-8 would fail all of them.
func valid(text string) string { return strings.ToValidUTF8(text, "?") }
