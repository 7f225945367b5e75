package inflight

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
)

// maxNames is how many labels have numbers of their own: names may come from clients. The
// numbers of all others are summed up under OtherNames.
const maxNames = 1000

// OtherNames is the name of what has come after a thousand names.
const OtherNames = "(other names)"

// appear counts that there is a piece of work.
func appear(w *lastcall.Work, came presence) {
	if came == before {
		w.Before++
		return
	}
	w.Arrived++
	if came == late {
		w.Late++
	}
}

// settle counts what became of a piece of work that ends at a stage, and names that.
func settle(w *lastcall.Work, fate Fate, stage Stage) string {
	switch {
	case fate == Cancelled:
		w.Cancelled++
		return "cancelled"
	case fate == Cut || fate == ByStage && stage == Stopped:
		w.Cut++
		return "cut"
	default:
		w.Completed++
		return "completed"
	}
}

// slow keeps a piece of work if it is one of the slowest of a label. Those that took as long
// as each other have an order, too: which shard counted them must not matter.
func (t *Tracker[T]) slow(w *lastcall.Work, e lastcall.EndedWork) {
	since := t.made.Add(time.Duration(t.announced.Load()))
	order := func(a, b lastcall.EndedWork) int {
		return cmp.Or(cmp.Compare(b.Lasted(since), a.Lasted(since)), a.Ended.Compare(b.Ended), cmp.Compare(a.Fate, b.Fate))
	}
	for i := range w.Slowest {
		if w.Slowest[i].Ended.IsZero() || order(e, w.Slowest[i]) < 0 {
			w.Slowest[i], e = e, w.Slowest[i]
		}
		if e.Ended.IsZero() {
			return
		}
	}
}

// kept is how many records of one label ended in stage Serving, by shard.
type kept struct{ served []int }

// Keep returns the label with counters of its own, so that End needs no look-up. It is for
// labels that are few and known in advance, and need not be called.
func (t *Tracker[T]) Keep(l Label) Label {
	l.kept = &kept{make([]int, len(t.shards))}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, l)
	return l
}

// bare returns the label as a key.
func (l Label) bare() Label { return Label{Name: l.Name, Kind: l.Kind} }

// serve counts a record that ends in stage Serving. The shard, which has this number, is
// locked.
func (s *shard[T]) serve(l Label, number uint8) {
	if l.kept != nil {
		l.kept.served[number]++
		return
	}
	n, known := s.served[l]
	if !known && len(s.served) >= maxNames {
		l.Name = OtherNames
		n = s.served[l]
	}
	if s.served == nil {
		s.served = map[Label]int{}
	}
	s.served[l] = n + 1
}

// add adds numbers to those of a label, and what has ended to its slowest. The shard is
// locked.
func (t *Tracker[T]) add(sh *shard[T], l Label, w lastcall.Work, e lastcall.EndedWork) {
	if sh.counts == nil {
		sh.counts = map[Label]*lastcall.Work{}
	}
	t.slow(merge(sh.counts, l.bare(), w), e)
}

func merge(counts map[Label]*lastcall.Work, l Label, w lastcall.Work) *lastcall.Work {
	sum := counts[l]
	if sum == nil && len(counts) >= maxNames {
		l.Name = OtherNames
		sum = counts[l]
	}
	if sum == nil {
		sum = &lastcall.Work{Name: l.Name, Kind: l.Kind}
		counts[l] = sum
	}
	sum.Running += w.Running
	sum.Served += w.Served
	sum.Before += w.Before
	sum.Arrived += w.Arrived
	sum.Late += w.Late
	sum.Completed += w.Completed
	sum.Cancelled += w.Cancelled
	sum.Cut += w.Cut
	return sum
}

// Work returns the numbers of each label, in the order of names and kinds, as far as
// anything has run. The numbers belong to one
// instant. It calls label and about for records in flight, with no lock held; about
// fills in whom a record serves, and is called for the oldest of each label only.
func (t *Tracker[T]) Work(about func(T, *lastcall.Work)) []lastcall.Work {
	type running struct {
		record T
		began  time.Duration
		came   presence
	}
	var inFlight []running
	counts := map[Label]*lastcall.Work{}
	t.lock()
	counting := t.Stage() > Serving
	for x := range t.all {
		inFlight = append(inFlight, running{x, x.item().began, x.item().came})
	}
	served := map[Label]int{}
	for i := range t.shards {
		for l, n := range t.shards[i].served {
			served[l] += n
		}
		for l, w := range t.shards[i].counts {
			sum := merge(counts, l, *w)
			for _, e := range w.Slowest {
				t.slow(sum, e)
			}
		}
	}
	t.mu.Lock()
	for _, l := range t.kept {
		for _, n := range l.kept.served {
			served[l.bare()] += n
		}
	}
	t.mu.Unlock()
	t.unlock()

	oldest := map[*lastcall.Work]running{}
	for _, now := range inFlight {
		count := lastcall.Work{Running: 1}
		if counting {
			appear(&count, now.came)
		}
		w := merge(counts, t.label(now.record).bare(), count)
		if o, ok := oldest[w]; !ok || now.began < o.began {
			oldest[w] = now
		}
	}
	maps.DeleteFunc(served, func(_ Label, n int) bool { return n == 0 })
	for l, n := range served { // last: what is over takes no name from what runs
		merge(counts, l, lastcall.Work{Served: n})
	}
	all := make([]lastcall.Work, 0, len(counts))
	for _, w := range counts {
		if o, ok := oldest[w]; ok {
			w.Oldest = t.made.Add(o.began)
			about(o.record, w)
		}
		all = append(all, *w)
	}
	slices.SortFunc(all, func(a, b lastcall.Work) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}
