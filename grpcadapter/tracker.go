package grpcadapter

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"

	"google.golang.org/grpc"
)

// tracker knows the RPCs in flight, and counts them once the shutdown has begun.
// An RPC takes one of several locks, twice, for a few statements.
type tracker struct {
	made    time.Time
	shards  []shard
	methods atomic.Pointer[map[string]*method] // never changed once it is there
	other   *method                            // of methods that the server does not know
	last    atomic.Int64                       // when the last RPC came, counted from made

	stage   stage         // changed with all shards locked, read with one
	drained time.Duration // when the drain began, counted from made; guarded as stage is
	changed chan struct{} // has an element if an RPC has ended since it was last read
}

// stage says how far the shutdown is.
type stage uint8

const (
	serving   stage = iota
	announced       // RPCs are counted
	draining        // those that come now are late
	refusing        // and are refused
	stopped         // what ends now was cut
)

type shard struct {
	mu    sync.Mutex
	head  *rpc
	ended time.Duration // when the last RPC of the shard ended, counted from made
	_     [40]byte      // a cache line for each
}

// method is what is known of one method. The counters are changed with a shard
// locked.
type method struct {
	server  *Server
	name    string
	kind    lastcall.WorkKind
	endless bool
	watch   bool // of the health service
	seen    atomic.Bool

	before, arrived, late, completed, cancelled, cut atomic.Int64
}

func newTracker(s *Server) *tracker {
	return &tracker{
		made:    time.Now(),
		shards:  make([]shard, min(64, 2*runtime.GOMAXPROCS(0))),
		other:   &method{server: s, name: "(methods that the server does not know)", kind: lastcall.WorkStream},
		changed: make(chan struct{}, 1),
	}
}

// freeze takes in the methods that the server has. grpc allows none to be added
// once it serves.
func (t *tracker) freeze(s *Server, services map[string]grpc.ServiceInfo) map[string]*method {
	methods := map[string]*method{}
	for service, info := range services {
		for _, m := range info.Methods {
			name := "/" + service + "/" + m.Name
			streams := m.IsClientStream || m.IsServerStream
			kind := lastcall.WorkUnary
			switch {
			case isInfrastructure(service):
				kind = lastcall.WorkInfra
			case streams:
				kind = lastcall.WorkStream
			}
			methods[name] = &method{
				server: s, name: name, kind: kind,
				endless: streams && slices.Contains(s.endless, name), watch: name == watchMethod,
			}
		}
	}
	t.methods.CompareAndSwap(nil, &methods) // the first RPCs of a server that somebody else serves come here together
	return *t.methods.Load()
}

// method returns the method with a full name.
func (t *tracker) method(name string) *method {
	methods := t.methods.Load()
	if methods == nil {
		return t.other
	}
	if m, ok := (*methods)[name]; ok {
		return m
	}
	return t.other
}

// begin takes in an RPC, and says whether it may run. One that may not is counted
// as ended.
func (t *tracker) begin(r *rpc) bool {
	r.shard = uint16(rand.Uint32N(uint32(len(t.shards)))) //nolint:gosec // which lock it is does not matter, and there are 64 at most
	sh := &t.shards[r.shard]
	sh.mu.Lock()
	if t.stage != serving && !t.arrive(r) {
		sh.mu.Unlock()
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

// arrive counts an RPC that comes after the shutdown began. Its shard is locked.
func (t *tracker) arrive(r *rpc) bool {
	m := r.method
	m.arrived.Add(1)
	if m.kind != lastcall.WorkInfra {
		t.last.Store(int64(r.began))
	}
	if t.stage >= draining {
		m.late.Add(1)
		switch {
		case t.stage >= refusing:
			m.cancelled.Add(1)
			return false
		case m.endless:
			m.completed.Add(1)
			return false
		}
	}
	return true
}

// end takes out an RPC that begin has let run.
func (t *tracker) end(r *rpc) {
	sh := &t.shards[r.shard]
	sh.mu.Lock()
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		sh.head = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil // whoever keeps a handler's context keeps this RPC, and no other
	sh.ended = time.Since(t.made)
	stage := t.stage
	if stage != serving {
		t.count(r)
	}
	sh.mu.Unlock()
	if stage >= draining {
		t.poke()
	}
}

// poke says that an RPC has ended.
func (t *tracker) poke() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// count counts how an RPC has ended. Its shard is locked.
func (t *tracker) count(r *rpc) {
	switch {
	case r.state.Load() == cancelled:
		r.method.cancelled.Add(1)
	case t.stage == stopped:
		r.method.cut.Add(1)
	default:
		r.method.completed.Add(1)
	}
}

// enter goes on to a stage; never back. RPCs that run when the counting begins are
// counted here.
func (t *tracker) enter(next stage) {
	t.lock()
	defer t.unlock()
	if t.stage == serving && next > serving {
		t.last.Store(int64(time.Since(t.made)))
		for r := range t.all {
			r.method.before.Add(1)
		}
	}
	if t.stage < draining && next >= draining {
		t.drained = time.Since(t.made)
	}
	t.stage = max(t.stage, next)
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

// all yields the RPCs in flight. All shards are locked.
func (t *tracker) all(yield func(*rpc) bool) {
	for i := range t.shards {
		for r := t.shards[i].head; r != nil; r = r.next {
			if !yield(r) {
				return
			}
		}
	}
}

// inFlight returns the RPCs that run now.
func (t *tracker) inFlight() []*rpc {
	t.lock()
	defer t.unlock()
	return slices.Collect(t.all)
}

// lastArrival returns when the last RPC came that is not infrastructure, as far as
// that was after the announcement; otherwise that instant, or when the tracker was
// made.
func (t *tracker) lastArrival() time.Time { return t.made.Add(time.Duration(t.last.Load())) }

// lastEnd returns when the last RPC ended; when the tracker was made if none has.
func (t *tracker) lastEnd() time.Time {
	t.lock()
	defer t.unlock()
	var last time.Duration
	for i := range t.shards {
		last = max(last, t.shards[i].ended)
	}
	return t.made.Add(last)
}

// drainBegan returns when the drain began.
func (t *tracker) drainBegan() time.Time {
	t.lock()
	defer t.unlock()
	return t.made.Add(t.drained)
}

// work returns what there is to tell of each method, by name. It takes all locks
// for as long as that needs.
func (t *tracker) work() []lastcall.Work {
	byMethod := map[*method]lastcall.Work{}
	oldest := map[*method]*rpc{}
	t.lock()
	for r := range t.all {
		w := byMethod[r.method]
		w.Running++
		byMethod[r.method] = w
		if o := oldest[r.method]; o == nil || r.began < o.began {
			oldest[r.method] = r
		}
	}
	methods := []*method{t.other}
	if known := t.methods.Load(); known != nil {
		methods = slices.AppendSeq(methods, maps.Values(*known))
	}
	for _, m := range methods {
		w := byMethod[m]
		w.Name, w.Kind = m.name, m.kind
		w.Before, w.Arrived, w.Late = int(m.before.Load()), int(m.arrived.Load()), int(m.late.Load())
		w.Completed, w.Cancelled, w.Cut = int(m.completed.Load()), int(m.cancelled.Load()), int(m.cut.Load())
		byMethod[m] = w
	}
	t.unlock()
	var work []lastcall.Work
	for m, w := range byMethod {
		if w.Running == 0 && w.Before == 0 && w.Arrived == 0 {
			continue
		}
		if o := oldest[m]; o != nil {
			w.Oldest, w.Peer = t.made.Add(o.began), o.peerAddr()
		}
		work = append(work, w)
	}
	slices.SortFunc(work, func(a, b lastcall.Work) int { return cmp.Compare(a.Name, b.Name) })
	return work
}
