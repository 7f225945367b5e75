package httpadapter

import (
	"github.com/lastcall-go/lastcall"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// tracker knows the requests in flight, and counts them once the shutdown has begun.
// A request takes one of several locks, twice, for a few statements.
type tracker struct {
	server *Server
	made   time.Time
	shards []shard
	last   atomic.Int64 // when the last request came, counted from made
	ended  atomic.Int64 // when the last request ended in the drain; or when that began

	stage stage         // changed with all shards locked, read with one
	shows atomic.Uint32 // the stage, for who needs it only to save work

	mu     sync.Mutex // guards counts; taken after a shard's
	counts map[label]*lastcall.Work
}

// label is what belongs together in the numbers.
type label struct {
	name string
	kind lastcall.WorkKind
}

// stage says how far the shutdown is.
type stage uint8

const (
	serving   stage = iota
	announced       // requests are counted
	draining        // those that come now are late
	sealed          // and are refused: the drain is over
	refusing        // the same: they are cancelled
	stopped         // what ends now was cut
)

type shard struct {
	mu   sync.Mutex
	head *request
	_    [48]byte // a cache line for each
}

func newTracker(s *Server) *tracker {
	return &tracker{
		server: s,
		made:   time.Now(),
		shards: make([]shard, min(64, 2*runtime.GOMAXPROCS(0))),
		counts: map[label]*lastcall.Work{},
	}
}

// begin takes in a request, and says whether it may be served. One that may not has
// been cancelled, or is none that counts if the drain is over.
func (t *tracker) begin(r *request) bool {
	r.shard = rand.Uint32N(uint32(len(t.shards))) //nolint:gosec // which lock it is does not matter
	sh := &t.shards[r.shard]
	sh.mu.Lock()
	if t.stage != serving {
		r.moves, r.late = true, t.stage >= draining
		if t.server.kind(r) != lastcall.WorkInfra {
			t.last.Store(int64(r.began))
		}
	}
	r.holds = 1
	r.cancelled = t.stage >= refusing
	if t.stage >= sealed {
		sh.mu.Unlock()
		if r.cancelled {
			t.count(r, t.server.name(r))
		}
		return false
	}
	r.next = sh.head
	if r.next != nil {
		r.next.prev = r
	}
	sh.head = r
	sh.mu.Unlock()
	return true
}

// leave ends the part that the handler has in a request, or that the connection has
// which the handler took over. The last of them ends the request.
func (t *tracker) leave(r *request) {
	sh := &t.shards[r.shard]
	var name string
	sh.mu.Lock()
	if t.stage != serving && r.holds == 1 {
		sh.mu.Unlock()
		name = t.server.name(r) // with no lock: that is the user's function
		sh.mu.Lock()
	}
	defer sh.mu.Unlock()
	r.holds--
	if r.holds > 0 {
		return
	}
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		sh.head = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil // whoever keeps this one keeps no other
	if t.stage != serving {
		t.count(r, name)
	}
	if t.stage >= draining {
		t.ended.Store(int64(time.Since(t.made)))
		t.server.poke()
	}
}
