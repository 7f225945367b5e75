// Package inflight knows the work that a server has in flight, and counts it. Before the
// shutdown it counts only what was served; from the announcement on it counts what became of
// each piece of work. RPCs, HTTP requests, connections and tasks use the same tracker.
//
// A record of work embeds [Item]. Begin and End take one of several locks for a few
// statements and allocate nothing.
package inflight

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"
)

// Tracker knows the work in flight. Make one with [New]. Its methods may be called by
// any number of goroutines and never block on anything but each other. No method
// calls a function of the caller's under a lock.
type Tracker[T Record[T]] struct {
	made   time.Time
	label  func(T) Label
	shards []shard[T]
	stage  atomic.Uint32 // changed with all shards locked; read with one, or as a hint with none

	last      atomic.Int64 // see LastArrival, counted from made
	drained   atomic.Int64 // see DrainBegan, counted from made
	announced atomic.Int64 // when stage Serving was over, counted from made
	running   atomic.Int64 // how many run that the drain waits for; counted from Draining on
	shutdown  atomic.Pointer[shutdown]
	sealing   atomic.Bool
	sealed    chan struct{}
	changed   chan struct{}

	mu   sync.Mutex // guards what is below; taken after a shard's
	kept []Label    // see Keep
}

type shard[T any] struct {
	mu    sync.Mutex
	head  T
	ended time.Duration // see LastEnd, counted from made
	// served is how many records of each label ended in stage Serving.
	served map[Label]int
	counts map[Label]*lastcall.Work // of those that ended later
	_      [24]byte                 // a cache line for each
}

// New returns a Tracker in stage Serving. It calls label for a record that ends, or
// that Work lists, with no lock held and while the record is in flight; a label that is
// slow delays its caller alone.
func New[T Record[T]](label func(T) Label) *Tracker[T] {
	t := &Tracker[T]{
		made:    time.Now(),
		label:   label,
		shards:  make([]shard[T], min(64, 2*runtime.GOMAXPROCS(0))),
		sealed:  make(chan struct{}),
		changed: make(chan struct{}, 1),
	}
	t.stage.Store(uint32(Serving))
	return t
}

// Stage returns how far the shutdown is.
func (t *Tracker[T]) Stage() Stage { return Stage(t.stage.Load()) }

// Began returns when Begin took in a record.
func (t *Tracker[T]) Began(x T) time.Time { return t.made.Add(x.item().began) }

// Begin takes in a record and reports whether its work may run: only before the stage
// limit. Work that may not run is not counted; see Refuse. With arrives the instant
// counts for LastArrival.
func (t *Tracker[T]) Begin(x T, limit Stage, arrives bool) bool {
	it := x.item()
	it.began = time.Since(t.made)
	it.shard = uint8(rand.Uint32N(uint32(len(t.shards)))) //nolint:gosec // which lock it is does not matter, and there are 64 at most
	sh := &t.shards[it.shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	stage := t.Stage()
	if arrives && stage > Serving {
		t.last.Store(int64(it.began))
	}
	it.came = arrived
	if stage >= Draining {
		it.came = late
	}
	if stage >= limit {
		return false
	}
	if it.came == late {
		t.running.Add(1)
	}
	it.holds = 1
	var none T
	it.prev, it.next = none, sh.head
	if sh.head != none {
		sh.head.item().prev = x
	}
	sh.head = x
	return true
}

// Refuse counts work that Begin has refused.
func (t *Tracker[T]) Refuse(x T, fate Fate) {
	var w lastcall.Work
	appear(&w, x.item().came)
	settle(&w, fate, t.Stage())
	label, sh := t.label(x), &t.shards[x.item().shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t.add(sh, label, w, lastcall.EndedWork{})
}

// Arrive notes that work has come that Begin is not called for.
func (t *Tracker[T]) Arrive() {
	if t.Stage() > Serving {
		t.last.Store(int64(time.Since(t.made)))
	}
}

// Hold keeps the record in flight until End has been called once more.
func (t *Tracker[T]) Hold(x T) {
	sh := &t.shards[x.item().shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	x.item().holds++
}

// Release makes the drain stop waiting for a record, which stays in flight.
func (t *Tracker[T]) Release(x T) {
	it := x.item()
	sh := &t.shards[it.shard]
	sh.mu.Lock()
	first := !it.released && it.holds > 0
	it.released = it.released || first
	last := first && t.Stage() >= Draining && t.running.Add(-1) == 0
	sh.mu.Unlock()
	if first {
		t.Poke()
	}
	if last {
		t.trySeal()
	}
}

// End takes in that a part of a record has ended; with its last part the record ends.
func (t *Tracker[T]) End(x T, fate Fate) {
	it := x.item()
	sh := &t.shards[it.shard]
	label := t.label(x)
	sh.mu.Lock()
	it.holds--
	if it.holds > 0 {
		sh.mu.Unlock()
		return
	}
	unlink(sh, it)
	sh.ended = time.Since(t.made)
	stage := t.Stage()
	if stage == Serving {
		sh.serve(label, it.shard)
	} else {
		var w lastcall.Work
		appear(&w, it.came)
		e := lastcall.EndedWork{Began: t.made.Add(it.began), Ended: t.made.Add(sh.ended), Fate: settle(&w, fate, stage)}
		t.add(sh, label, w, e) // under the shard's lock: Work sees the record either in flight or ended
	}
	last := false
	if stage >= Draining {
		last = !it.released && t.running.Add(-1) == 0
	}
	sh.mu.Unlock()
	if stage >= Draining {
		t.Poke()
	}
	if last {
		t.trySeal()
	}
}

// unlink takes a record out of the list of its shard, which is locked.
func unlink[T Record[T]](sh *shard[T], it *Item[T]) {
	var none T
	if it.prev != none {
		it.prev.item().next = it.next
	} else {
		sh.head = it.next
	}
	if it.next != none {
		it.next.item().prev = it.prev
	}
	it.prev, it.next = none, none // whoever keeps this record keeps no other
}

// Enter goes on to a later stage. A stage that is not later changes nothing.
func (t *Tracker[T]) Enter(next Stage) {
	t.lock()
	t.enter(next)
	t.unlock()
	t.Poke()
}

// enter is Enter with all shards locked.
func (t *Tracker[T]) enter(next Stage) {
	now, stage := int64(time.Since(t.made)), t.Stage()
	if next <= stage {
		return
	}
	if stage == Serving {
		t.last.Store(now)
		t.announced.Store(now)
		for x := range t.all {
			x.item().came = before
		}
	}
	if stage < Draining && next >= Draining {
		t.drained.Store(now)
		for x := range t.all {
			if !x.item().released {
				t.running.Add(1)
			}
		}
	}
	t.stage.Store(uint32(next))
}

// Cancel goes on to stage Refusing and returns the records in flight that were not
// released.
func (t *Tracker[T]) Cancel() []T {
	t.lock()
	defer t.unlock()
	t.enter(Refusing)
	return slices.DeleteFunc(slices.Collect(t.all), func(x T) bool { return x.item().released })
}

// Seal goes on to stage Sealed, from Draining on, as soon as nothing is in flight that
// was not released. It does not block; Sealed tells when.
func (t *Tracker[T]) Seal() {
	t.sealing.Store(true)
	t.trySeal()
}

// Sealed returns a channel that is closed once Seal has come to its end: nothing is in
// flight, and nothing will be. It is always the same channel.
func (t *Tracker[T]) Sealed() <-chan struct{} { return t.sealed }

func (t *Tracker[T]) trySeal() {
	if !t.sealing.Load() {
		return
	}
	t.lock()
	defer t.unlock()
	if t.Stage() < Draining || t.running.Load() > 0 {
		return
	}
	t.enter(Sealed)
	select {
	case <-t.sealed:
	default:
		close(t.sealed)
	}
}

// Changed returns a channel that has an element if, from Draining on, a record has
// ended or a stage was entered since it was last received from. It is for one
// receiver.
func (t *Tracker[T]) Changed() <-chan struct{} { return t.changed }

// Poke puts an element into Changed, for other things that its receiver waits for.
func (t *Tracker[T]) Poke() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// InFlight returns the records in flight, in no order.
func (t *Tracker[T]) InFlight() []T {
	t.lock()
	defer t.unlock()
	return slices.Collect(t.all)
}

// LastArrival returns when work last came, as far as that was after the announcement;
// otherwise the instant of the announcement or, before that, when the Tracker was made.
func (t *Tracker[T]) LastArrival() time.Time { return t.made.Add(time.Duration(t.last.Load())) }

// LastEnd returns when the last record ended, or when the Tracker was made.
func (t *Tracker[T]) LastEnd() time.Time {
	t.lock()
	defer t.unlock()
	var last time.Duration
	for i := range t.shards {
		last = max(last, t.shards[i].ended)
	}
	return t.made.Add(last)
}

// DrainBegan returns when stage Draining was entered; before that, when the Tracker was
// made.
func (t *Tracker[T]) DrainBegan() time.Time { return t.made.Add(time.Duration(t.drained.Load())) }

func (t *Tracker[T]) lock() {
	for i := range t.shards {
		t.shards[i].mu.Lock()
	}
}

func (t *Tracker[T]) unlock() {
	for i := range t.shards {
		t.shards[i].mu.Unlock()
	}
}

// all yields the records in flight. All shards are locked.
func (t *Tracker[T]) all(yield func(T) bool) {
	var none T
	for i := range t.shards {
		for x := t.shards[i].head; x != none; x = x.item().next {
			if !yield(x) {
				return
			}
		}
	}
}
