package inflight_test

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

type record struct {
	inflight.Item[*record]
	name string
}

func newTracker() *inflight.Tracker[*record] {
	return inflight.New(func(r *record) inflight.Label { return inflight.Label{Name: r.name, Kind: lastcall.WorkTask} })
}

func noPeer(*record, *lastcall.Work) {}

func begin(t *testing.T, tr *inflight.Tracker[*record], name string) *record {
	t.Helper()
	r := &record{name: name}
	if !tr.Begin(r, inflight.Sealed, true) {
		t.Fatalf("%s may not run in stage %d", name, tr.Stage())
	}
	return r
}

// one returns the numbers of the only label, without times.
func one(t *testing.T, tr *inflight.Tracker[*record]) lastcall.Work {
	t.Helper()
	all := tr.Work(noPeer)
	if len(all) != 1 {
		t.Fatalf("%d labels, want 1: %+v", len(all), all)
	}
	all[0].Oldest, all[0].Slowest = time.Time{}, [3]lastcall.EndedWork{}
	return all[0]
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// What ends in service is not counted; what runs when the shutdown begins, what comes
// later, what comes in the drain and what is refused are counted apart.
func TestCounts(t *testing.T) {
	tr := newTracker()
	tr.End(begin(t, tr, "x"), inflight.ByStage)
	if got, want := one(t, tr), (lastcall.Work{Name: "x", Kind: lastcall.WorkTask, Served: 1}); got != want {
		t.Fatalf("in service: %+v, want %+v", got, want)
	}
	before := begin(t, tr, "x")
	tr.Enter(inflight.Announced)
	arrived := begin(t, tr, "x")
	tr.Enter(inflight.Draining)
	late, cancelled := begin(t, tr, "x"), begin(t, tr, "x")
	tr.End(before, inflight.ByStage)
	tr.End(late, inflight.ByStage)
	if got := len(tr.Cancel()); got != 2 {
		t.Errorf("Cancel returned %d records, want 2", got)
	}
	refused := &record{name: "x"}
	if tr.Begin(refused, inflight.Sealed, true) {
		t.Error("work may run in stage Refusing")
	}
	tr.Refuse(refused, inflight.Cancelled)
	tr.End(cancelled, inflight.Cancelled)
	tr.Enter(inflight.Stopped)
	want := lastcall.Work{Name: "x", Kind: lastcall.WorkTask, Running: 1, Served: 1, Before: 1, Arrived: 4, Late: 3, Completed: 2, Cancelled: 2}
	if got := one(t, tr); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	tr.End(arrived, inflight.ByStage)
	want.Running, want.Cut = 0, 1
	if got := one(t, tr); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Stages never go back.
func TestStagesGoForward(t *testing.T) {
	tr := newTracker()
	for _, s := range []inflight.Stage{inflight.Draining, inflight.Announced, inflight.Serving} {
		tr.Enter(s)
		if got := tr.Stage(); got != inflight.Draining {
			t.Errorf("after Enter(%d): stage %d", s, got)
		}
	}
}

// A record with two parts ends with the second.
func TestHold(t *testing.T) {
	tr := newTracker()
	tr.Enter(inflight.Announced)
	r := begin(t, tr, "x")
	tr.Hold(r)
	tr.End(r, inflight.ByStage)
	if w := one(t, tr); w.Running != 1 {
		t.Errorf("after the first End: %+v", w)
	}
	tr.End(r, inflight.ByStage)
	if w := one(t, tr); w.Running != 0 || w.Completed != 1 {
		t.Errorf("after the second End: %+v", w)
	}
}

// Drained means closed and empty: Seal comes to its end with the last record that was
// not released, and then nothing more may run.
func TestSeal(t *testing.T) {
	tr := newTracker()
	tr.Seal()
	first, released := begin(t, tr, "x"), begin(t, tr, "x")
	tr.Enter(inflight.Draining)
	second := begin(t, tr, "x")
	tr.End(first, inflight.ByStage)
	tr.Release(released)
	tr.Release(released)
	if isClosed(tr.Sealed()) {
		t.Fatal("sealed with a record in flight")
	}
	tr.End(second, inflight.ByStage)
	if !isClosed(tr.Sealed()) || tr.Stage() != inflight.Sealed {
		t.Fatalf("not sealed: stage %d", tr.Stage())
	}
	if tr.Begin(&record{name: "x"}, inflight.Sealed, true) {
		t.Error("work may run after the seal")
	}
	tr.End(released, inflight.ByStage)
	if all := tr.Cancel(); len(all) != 0 {
		t.Errorf("Cancel returned %d records", len(all))
	}
}

// An idle tracker is sealed at once, but not before it drains.
func TestSealIdle(t *testing.T) {
	tr := newTracker()
	tr.Seal()
	if isClosed(tr.Sealed()) {
		t.Error("sealed in service")
	}
	tr.Enter(inflight.Draining)
	tr.Seal()
	if !isClosed(tr.Sealed()) {
		t.Error("not sealed")
	}
}

// Arrivals count from the announcement on, and only those that say so.
func TestLastArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker()
		made := time.Now()
		at := func(what string, want time.Duration) {
			t.Helper()
			if got := tr.LastArrival().Sub(made); got != want {
				t.Errorf("%s: last arrival after %v, want %v", what, got, want)
			}
		}
		time.Sleep(time.Second)
		begin(t, tr, "x")
		at("in service", 0)
		time.Sleep(time.Second)
		tr.Enter(inflight.Announced)
		at("announced", 2*time.Second)
		time.Sleep(time.Second)
		tr.Begin(&record{name: "probe"}, inflight.Sealed, false)
		at("a probe", 2*time.Second)
		begin(t, tr, "x")
		at("work", 3*time.Second)
		time.Sleep(time.Second)
		tr.Arrive()
		at("Arrive", 4*time.Second)
	})
}

// The oldest record of a label is named, and asked for its peer.
func TestOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker()
		begin(t, tr, "y")
		old := begin(t, tr, "x")
		began := time.Now()
		time.Sleep(time.Second)
		begin(t, tr, "x")
		asked := 0
		all := tr.Work(func(r *record, w *lastcall.Work) {
			asked++
			if w.Peer = "other"; r == old {
				w.Peer = "old"
			}
		})
		if len(all) != 2 || all[0].Name != "x" || all[0].Running != 2 || !all[0].Oldest.Equal(began) || all[0].Peer != "old" || asked != 2 {
			t.Errorf("asked %d times: %+v", asked, all)
		}
	})
}

// The slowest are those that took longest since the announcement, whatever came before that, and
// what became of them.
func TestSlowest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker()
		old := begin(t, tr, "x")
		began := time.Now()
		time.Sleep(time.Hour)
		tr.End(begin(t, tr, "x"), inflight.ByStage)
		if got := tr.Work(noPeer)[0].Slowest; got != [3]lastcall.EndedWork{} {
			t.Errorf("in service: %+v", got)
		}
		tr.Enter(inflight.Announced)
		announced := time.Now()
		tr.Refuse(&record{name: "x"}, inflight.Cancelled)
		time.Sleep(time.Second)
		tr.End(old, inflight.ByStage)
		quick, slow, cut := begin(t, tr, "x"), begin(t, tr, "x"), begin(t, tr, "x")
		time.Sleep(time.Second / 2)
		tr.End(quick, inflight.ByStage)
		time.Sleep(time.Second)
		tr.End(slow, inflight.Cancelled)
		time.Sleep(time.Second)
		tr.Enter(inflight.Stopped)
		tr.End(cut, inflight.ByStage)
		after := func(n int) time.Time { return announced.Add(time.Duration(n) * time.Second / 2) }
		want := [3]lastcall.EndedWork{
			{Began: after(2), Ended: after(7), Fate: "cut"},
			{Began: after(2), Ended: after(5), Fate: "cancelled"},
			{Began: began, Ended: after(2), Fate: "completed"},
		}
		got := tr.Work(noPeer)
		for i, e := range got[0].Slowest {
			if w := want[i]; !e.Began.Equal(w.Began) || !e.Ended.Equal(w.Ended) || e.Fate != w.Fate {
				t.Errorf("number %d: %+v, want %+v", i+1, e, w)
			}
		}
	})
}

// A label that hangs holds up only the record whose End asked for it.
func TestLabelMayHang(t *testing.T) {
	release := make(chan struct{})
	tr := inflight.New(func(r *record) inflight.Label {
		if r.name == "hangs" {
			<-release
		}
		return inflight.Label{Name: r.name, Kind: lastcall.WorkTask}
	})
	hangs, fine := &record{name: "hangs"}, &record{name: "fine"}
	tr.Begin(hangs, inflight.Sealed, true)
	tr.Begin(fine, inflight.Sealed, true)
	tr.Enter(inflight.Draining)
	over := make(chan struct{})
	go func() {
		defer close(over)
		tr.End(hangs, inflight.ByStage)
	}()
	tr.End(fine, inflight.ByStage)
	tr.Cancel()
	close(release)
	<-over
	if all := tr.InFlight(); len(all) != 0 {
		t.Errorf("%d in flight", len(all))
	}
}

// Names are bounded; the numbers are not.
func TestManyNames(t *testing.T) {
	tr := newTracker()
	tr.Enter(inflight.Announced)
	const n = 1500
	for i := range n {
		tr.End(begin(t, tr, string(rune('A'+i%26))+string(rune(0x4e00+i))), inflight.ByStage)
	}
	all, sum := tr.Work(noPeer), 0
	for _, w := range all {
		sum += w.Completed
	}
	if len(all) > 1001 || sum != n {
		t.Errorf("%d names with %d records, want %d records and at most 1001 names", len(all), sum, n)
	}
}

// Begun is completed + cancelled + cut + running, at every instant and under load.
func TestNumbersAddUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tr := newTracker()
		workers := rapid.IntRange(1, 8).Draw(rt, "workers")
		per := rapid.IntRange(1, 60).Draw(rt, "records per worker")
		var wg sync.WaitGroup
		var begun, refused atomic.Int64
		for range workers {
			wg.Go(func() {
				for range per {
					r := &record{name: "x"}
					if !tr.Begin(r, inflight.Sealed, true) {
						refused.Add(1)
						tr.Refuse(r, inflight.ByStage)
						continue
					}
					begun.Add(1)
					if rand.IntN(4) == 0 {
						tr.Hold(r)
						tr.End(r, inflight.ByStage)
					}
					tr.End(r, inflight.Fate(rand.IntN(4)))
				}
			})
		}
		for _, s := range []inflight.Stage{inflight.Announced, inflight.Draining, inflight.Refusing, inflight.Stopped} {
			wg.Go(func() { tr.Enter(s) })
		}
		wg.Go(func() {
			for _, w := range tr.Work(noPeer) {
				if tr.Stage() > inflight.Serving && w.Before+w.Arrived > 0 && w.Before+w.Arrived != w.Completed+w.Cancelled+w.Cut+w.Running {
					rt.Errorf("the numbers do not add up: %+v", w)
				}
			}
		})
		wg.Wait()
		for _, w := range tr.Work(noPeer) {
			if w.Running != 0 || w.Before+w.Arrived != w.Completed+w.Cancelled+w.Cut {
				rt.Errorf("the numbers do not add up: %+v", w)
			}
		}
		if got := begun.Load() + refused.Load(); got != int64(workers*per) {
			rt.Errorf("%d records, want %d", got, workers*per)
		}
	})
}

// One record costs no allocation beside its own.
func TestAllocations(t *testing.T) {
	tr := newTracker()
	r := &record{name: "x"}
	if n := testing.AllocsPerRun(100, func() {
		tr.Begin(r, inflight.Sealed, true)
		tr.End(r, inflight.ByStage)
	}); n != 0 {
		t.Errorf("%v allocations per record", n)
	}
}

// Work holds up those that end only while it notes what is in flight, and that is small.
func TestWorkNotesLittle(t *testing.T) {
	const n = 10_000
	tr := newTracker()
	tr.Enter(inflight.Announced)
	for range n {
		begin(t, tr, "x")
	}
	var start, end runtime.MemStats
	runtime.ReadMemStats(&start)
	work := one(t, tr)
	runtime.ReadMemStats(&end)
	if bytes := (end.TotalAlloc - start.TotalAlloc) / n; work.Running != n || bytes > 300 {
		t.Errorf("%d running; it took %d bytes for each", work.Running, bytes)
	}
}

// Which of the records are the slowest does not depend on which shard has counted them.
func TestSlowestOfEquals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 10 {
			tr := newTracker()
			tr.Enter(inflight.Announced)
			var all []*record
			for range 40 {
				all = append(all, begin(t, tr, "x"))
			}
			time.Sleep(time.Second)
			for i, r := range all {
				tr.End(r, []inflight.Fate{inflight.Completed, inflight.Cancelled}[i%2])
			}
			for _, e := range tr.Work(noPeer)[0].Slowest {
				if e.Fate != "cancelled" {
					t.Fatalf("one of the slowest is %v", e)
				}
			}
		}
	})
}
