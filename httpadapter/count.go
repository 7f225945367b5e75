package httpadapter

import (
	"cmp"
	"github.com/lastcall-go/lastcall"
	"slices"
	"time"
)

// counting says whether the shutdown has begun.
func (t *tracker) counting() bool { return t.shows.Load() != uint32(serving) }

// set sets the stage; never back. All shards are locked.
func (t *tracker) set(next stage) {
	t.stage = max(t.stage, next)
	t.shows.Store(uint32(t.stage))
}

// count counts a request that has ended. Its shard is locked, or it is in none.
func (t *tracker) count(r *request, name string) {
	l := label{name, t.server.kind(r)}
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.counts[l]
	if w == nil {
		w = &lastcall.Work{}
		t.counts[l] = w
	}
	appear(w, r)
	switch {
	case r.cancelled:
		w.Cancelled++
	case t.stage == stopped && !t.isLeft(r):
		w.Cut++
	default:
		w.Completed++
	}
}

// appear counts that there is a request.
func appear(w *lastcall.Work, r *request) {
	if r.before {
		w.Before++
		return
	}
	w.Arrived++
	if r.late {
		w.Late++
	}
}

// hijack is called when the handler of a request takes its connection over.
func (t *tracker) hijack(r *request) {
	sh := &t.shards[r.shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	r.holds++
	r.hijacked = true
}

// enter goes on to a stage; never back. Requests that run when the counting begins
// are marked here.
func (t *tracker) enter(next stage) {
	t.lock()
	defer t.unlock()
	t.advance(next)
}

// advance is enter with all shards locked.
func (t *tracker) advance(next stage) {
	now := int64(time.Since(t.made))
	if t.stage == serving && next > serving {
		t.last.Store(now)
		for r := range t.all {
			r.before = true
		}
	}
	if t.stage < draining && next >= draining {
		t.ended.Store(now)
	}
	t.set(next)
}

// seal refuses what comes from now on, if no request is in flight for which anybody
// waits, and says whether that is so.
func (t *tracker) seal() bool {
	t.lock()
	defer t.unlock()
	for r := range t.all {
		if !t.isLeft(r) {
			return false
		}
	}
	t.advance(sealed)
	return true
}

// isLeft says whether a request is left to those who have taken its connection over.
// Its shard is locked.
func (t *tracker) isLeft(r *request) bool { return r.hijacked && t.server.leaveHijacked }

// leaves is isLeft with no lock.
func (t *tracker) leaves(r *request) bool {
	sh := &t.shards[r.shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return t.isLeft(r)
}

// cancel marks the requests in flight as cancelled, but those that are left to others,
// refuses those that come, and returns those that it has marked.
func (t *tracker) cancel() []*request {
	t.lock()
	defer t.unlock()
	t.advance(refusing)
	var marked []*request
	for r := range t.all {
		if !t.isLeft(r) {
			r.cancelled = true
			marked = append(marked, r)
		}
	}
	return marked
}

// isCancelled says whether cancel has marked a request whose handler may still answer.
func (t *tracker) isCancelled(r *request) bool {
	if !t.counting() {
		return false
	}
	sh := &t.shards[r.shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return r.cancelled && !r.hijacked
}

func (t *tracker) lock() {
	for i := range t.shards {
		t.shards[i].mu.Lock()
	}
}

func (t *tracker) unlock() {
	for i := range t.shards {
		t.shards[i].mu.Unlock()
	}
}

// all yields the requests in flight. All shards are locked.
func (t *tracker) all(yield func(*request) bool) {
	for i := range t.shards {
		for r := t.shards[i].head; r != nil; r = r.next {
			if !yield(r) {
				return
			}
		}
	}
}

// lastArrival returns when the last request came that is not infrastructure, as far
// as that was after the announcement; otherwise that instant, or when the tracker was
// made.
func (t *tracker) lastArrival() time.Time { return t.made.Add(time.Duration(t.last.Load())) }

// lastEnd returns when the last request ended in the drain, or when that began.
func (t *tracker) lastEnd() time.Time { return t.made.Add(time.Duration(t.ended.Load())) }

// running is what work says of one request in flight.
type running struct {
	request *request
	kind    lastcall.WorkKind
	counted lastcall.Work // Before, Arrived and Late
}

// work returns what there is to tell of the requests, by name. It takes all locks for
// as long as it needs to copy what is there.
func (t *tracker) work() []lastcall.Work {
	byLabel := map[label]lastcall.Work{}
	var inFlight []running
	t.lock()
	for r := range t.all {
		now := running{request: r, kind: t.server.kind(r)}
		if t.stage != serving {
			appear(&now.counted, r)
		}
		inFlight = append(inFlight, now)
	}
	t.mu.Lock()
	for l, w := range t.counts {
		byLabel[l] = *w
	}
	t.mu.Unlock()
	t.unlock()
	for _, now := range inFlight {
		l := label{t.server.name(now.request), now.kind} // with no lock: that is the user's function
		w := byLabel[l]
		w.Running++
		w.Before += now.counted.Before
		w.Arrived += now.counted.Arrived
		w.Late += now.counted.Late
		if began := t.made.Add(now.request.began); w.Oldest.IsZero() || began.Before(w.Oldest) {
			w.Oldest, w.Peer = began, now.request.peer
		}
		byLabel[l] = w
	}
	work := make([]lastcall.Work, 0, len(byLabel))
	for l, w := range byLabel {
		w.Name, w.Kind = l.name, l.kind
		work = append(work, w)
	}
	slices.SortFunc(work, func(a, b lastcall.Work) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return work
}
