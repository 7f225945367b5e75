package inflight

import (
	"cmp"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
)

// maxNames is of how many labels the numbers are kept apart: names may come from
// clients. Those of all others are summed up under OtherNames.
const maxNames = 1000

// OtherNames is the name of what has come after a thousand names.
const OtherNames = "(other names)"

// appear counts that there is a piece of work.
func appear[T any](w *lastcall.Work, it *Item[T]) {
	if it.came == before {
		w.Before++
		return
	}
	w.Arrived++
	if it.came == late {
		w.Late++
	}
}

// settle counts what became of a piece of work that ends at a stage.
func settle(w *lastcall.Work, fate Fate, stage Stage) {
	switch {
	case fate == Cancelled:
		w.Cancelled++
	case fate == Cut || fate == ByStage && stage == Stopped:
		w.Cut++
	default:
		w.Completed++
	}
}

// add adds numbers to those of a label.
func (t *Tracker[T]) add(l Label, w lastcall.Work) {
	t.mu.Lock()
	defer t.mu.Unlock()
	merge(t.counts, l, w)
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
	sum.Before += w.Before
	sum.Arrived += w.Arrived
	sum.Late += w.Late
	sum.Completed += w.Completed
	sum.Cancelled += w.Cancelled
	sum.Cut += w.Cut
	return sum
}

// Work returns the numbers of each label, in the order of names and kinds, as far as
// anything has run since the shutdown began or runs now. The numbers belong to one
// instant. It calls label and about for records in flight, with no lock held; about
// fills in whom a record serves, and is called for the oldest of each label only.
func (t *Tracker[T]) Work(about func(T, *lastcall.Work)) []lastcall.Work {
	type running struct {
		record T
		began  time.Duration
		count  lastcall.Work
	}
	var inFlight []running
	counts := map[Label]*lastcall.Work{}
	t.lock()
	for x := range t.all {
		now := running{record: x, began: x.item().began, count: lastcall.Work{Running: 1}}
		if t.Stage() > Serving {
			appear(&now.count, x.item())
		}
		inFlight = append(inFlight, now)
	}
	t.mu.Lock()
	for l, w := range t.counts {
		sum := *w
		counts[l] = &sum
	}
	t.mu.Unlock()
	t.unlock()

	oldest := map[*lastcall.Work]running{}
	for _, now := range inFlight {
		w := merge(counts, t.label(now.record), now.count)
		if o, ok := oldest[w]; !ok || now.began < o.began {
			oldest[w] = now
		}
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
