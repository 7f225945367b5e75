package inflight_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

// What was released does not hold the drain, before it and in it, and counts once: its end
// stands for nothing else, and what has ended cannot be released.
func TestRelease(t *testing.T) {
	for name, act := range map[string]func(tr *inflight.Tracker[*record], r *record){
		"before the drain": func(tr *inflight.Tracker[*record], r *record) {
			tr.Release(r)
			tr.Enter(inflight.Draining)
		},
		"and it ends": func(tr *inflight.Tracker[*record], r *record) {
			tr.Release(r)
			tr.Enter(inflight.Draining)
			tr.End(r, inflight.ByStage)
		},
		"in the drain": func(tr *inflight.Tracker[*record], r *record) {
			tr.Enter(inflight.Draining)
			tr.Release(r)
			tr.End(r, inflight.ByStage)
		},
		"after its end": func(tr *inflight.Tracker[*record], r *record) {
			tr.Enter(inflight.Draining)
			tr.End(r, inflight.ByStage)
			tr.Release(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTracker()
			r, other := begin(t, tr, "x"), begin(t, tr, "x")
			act(tr, r)
			if tr.Seal(); isClosed(tr.Sealed()) {
				t.Error("sealed with another one in flight")
			}
			if tr.End(other, inflight.ByStage); !isClosed(tr.Sealed()) {
				t.Error("not sealed, though nothing else is in flight")
			}
		})
	}
}

// A server that is stopped without a drain is sealed with the last record, too.
func TestSealWithoutDrain(t *testing.T) {
	tr := newTracker()
	first, second := begin(t, tr, "x"), begin(t, tr, "x")
	tr.Enter(inflight.Refusing)
	tr.Seal()
	if tr.End(first, inflight.ByStage); isClosed(tr.Sealed()) {
		t.Error("sealed with a record in flight")
	}
	if tr.End(second, inflight.ByStage); !isClosed(tr.Sealed()) {
		t.Error("not sealed")
	}
}

// Sealed is empty, however many begin and end as the drain does.
func TestSealUnderLoad(t *testing.T) {
	for range 200 {
		tr := newTracker()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if r := (&record{name: "x"}); tr.Begin(r, inflight.Sealed, true) {
						tr.End(r, inflight.ByStage)
					}
				}
			})
		}
		tr.Enter(inflight.Draining)
		tr.Seal()
		select {
		case <-tr.Sealed():
		case <-time.After(10 * time.Second):
			t.Fatal("not sealed")
		}
		if n := len(tr.InFlight()); n > 0 {
			t.Fatalf("sealed with %d in flight", n)
		}
		wg.Wait()
	}
}

// At every instant a record is either in flight or has ended.
func TestEndIsOneInstant(t *testing.T) {
	const n = 3000
	tr := newTracker()
	var all []*record
	for range n {
		all = append(all, begin(t, tr, "x"))
	}
	tr.Enter(inflight.Announced)
	var over atomic.Bool
	go func() {
		defer over.Store(true)
		for _, r := range all {
			tr.End(r, inflight.ByStage)
		}
	}()
	for !over.Load() {
		if w := one(t, tr); w.Running+w.Completed != n {
			t.Fatalf("%d running and %d completed, want %d in all", w.Running, w.Completed, n)
		}
	}
}

// LastEnd is the end of the last record, whatever ended before.
func TestLastEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker()
		for range 50 {
			r := begin(t, tr, "x")
			time.Sleep(time.Second)
			if tr.End(r, inflight.ByStage); !tr.LastEnd().Equal(time.Now()) {
				t.Fatalf("last end %v ago", time.Since(tr.LastEnd()))
			}
		}
	})
}

// In the drain each end is told, also if others run.
func TestChanged(t *testing.T) {
	tr := newTracker()
	r, _ := begin(t, tr, "x"), begin(t, tr, "x")
	tr.Enter(inflight.Draining)
	<-tr.Changed()
	tr.End(r, inflight.ByStage)
	select {
	case <-tr.Changed():
	default:
		t.Error("the end of a record was not told")
	}
}

// What runs in service is not an arrival, and a label that nothing has come under is not listed.
func TestInService(t *testing.T) {
	tr := newTracker()
	tr.Keep(inflight.Label{Name: "y", Kind: lastcall.WorkTask})
	begin(t, tr, "x")
	if got, want := one(t, tr), (lastcall.Work{Name: "x", Kind: lastcall.WorkTask, Running: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Who says what became of a record is right, whatever the stage.
func TestFateBeforeStage(t *testing.T) {
	tr := newTracker()
	r := begin(t, tr, "x")
	tr.Enter(inflight.Stopped)
	tr.End(r, inflight.Completed)
	if w := one(t, tr); w.Completed != 1 || w.Cut != 0 {
		t.Errorf("%+v, want it completed", w)
	}
}

// Names come from clients: those that were served take a bounded part of the memory.
func TestManyNamesInService(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the bound is for each lock, of which there are two then
	const n, long = 20_000, 1000
	var before, after runtime.MemStats
	tr := newTracker()
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n {
		tr.End(begin(t, tr, fmt.Sprint(i)+strings.Repeat("x", long)), inflight.ByStage)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > n*long/2 {
		t.Errorf("%d names hold %d bytes", n, grown)
	}
	sum := 0
	for _, w := range tr.Work(noPeer) {
		sum += w.Served
	}
	if sum != n {
		t.Errorf("%d were served, want %d", sum, n)
	}
}

// A record that is kept after its end keeps no other one.
func TestEndedRecordsAreFree(t *testing.T) {
	tr := newTracker()
	var kept []*record
	var others []weak.Pointer[record]
	for i := range 100 {
		r := begin(t, tr, "x")
		if i%2 == 0 {
			kept = append(kept, r)
		} else {
			others = append(others, weak.Make(r))
		}
	}
	for _, r := range tr.InFlight() {
		tr.End(r, inflight.ByStage)
	}
	runtime.GC()
	for _, o := range others {
		if o.Value() != nil {
			t.Fatal("one that has ended is kept by another one")
		}
	}
	runtime.KeepAlive(kept)
}
