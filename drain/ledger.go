package drain

import (
	"cmp"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/controller"
)

// maxNames is of how many names a group keeps the numbers; those of all others are
// summed up under otherNames.
const (
	maxNames   = 100
	otherNames = "(other names)"
)

type key struct {
	name string
	kind controller.WorkKind
}

// entry is what is known of one name. All of it is guarded by the group's mutex.
type entry struct {
	key
	running                                    int
	before, arrived, completed, cancelled, cut int
}

// ledger has the numbers of each name.
type ledger map[key]*entry

// begin counts a piece of work that begins.
func (l ledger) begin(k key, counting bool) *entry {
	e := l[k]
	if e == nil && len(l) >= maxNames {
		k.name = otherNames
		e = l[k]
	}
	if e == nil {
		e = &entry{key: k}
		l[k] = e
	}
	e.running++
	if counting {
		e.arrived++
	}
	return e
}

// end counts a piece of work that has ended. Before the shutdown nothing is kept
// of names that nothing runs under.
func (l ledger) end(h *Handle, at stage) {
	e := h.entry
	e.running--
	switch {
	case at == serving:
		if e.running == 0 {
			delete(l, e.key)
		}
	case h.cut:
		e.cut++
	case h.cancelled:
		e.cancelled++
	case at == stopped:
		e.cut++
	default:
		e.completed++
	}
}

// count begins to count: what runs now ran before.
func (l ledger) count() {
	for _, e := range l {
		e.before = e.running
	}
}

// work returns what there is to tell of each name, in the order of the names.
func (l ledger) work() []controller.Work {
	var all []controller.Work
	for _, e := range l {
		all = append(all, controller.Work{
			Name: e.name, Kind: e.kind, Running: e.running, Before: e.before, Arrived: e.arrived,
			Completed: e.completed, Cancelled: e.cancelled, Cut: e.cut,
		})
	}
	slices.SortFunc(all, func(a, b controller.Work) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}

// InFlight returns the work of each name, as far as any ran when the shutdown
// began or has come since, and the calls into connections, listeners and functions
// given to Tell that have not returned. What a connection needs to close counts
// as running. A task that has panicked has completed. The numbers of a name belong
// to one instant. It may be called at any time, for metrics, too.
func (g *Group) InFlight() []controller.Work {
	if g.closed == nil {
		return nil
	}
	g.mu.Lock()
	work := g.ledger.work()
	oldest := map[key]*Handle{}
	for h := range g.running {
		if o := oldest[h.entry.key]; o == nil || h.began.Before(o.began) {
			oldest[h.entry.key] = h
		}
	}
	g.mu.Unlock()
	for i, w := range work {
		if h := oldest[key{w.Name, w.Kind}]; h != nil {
			work[i].Oldest = h.began
			if h.conn != nil {
				work[i].Peer = h.conn.peerAddr()
			}
		}
	}
	return append(work, works(g.calls.Left())...)
}

// LastArrival returns when the last connection or piece of work came since the
// announcement, or the last request on a connection between two requests; without
// any, the instant of the announcement, or before that, when the Group was made.
// What is given to [Watcher.Go] does not count: what arrived is the request whose
// handler has begun it. It is called by the controller.
func (g *Group) LastArrival() time.Time {
	if g.closed == nil {
		return time.Time{}
	}
	return g.made.Add(time.Duration(g.last.Load()))
}

// arrive notes that work has come.
func (g *Group) arrive() {
	if g.counting.Load() {
		g.last.Store(int64(time.Since(g.made)))
	}
}
