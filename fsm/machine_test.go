package fsm_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
)

// paths returns every sequence of events that leads from a state to a terminal
// one.
func paths(table fsm.Table, from fsm.State) [][]fsm.Event {
	if from.Terminal() {
		return [][]fsm.Event{nil}
	}
	var all [][]fsm.Event
	for row := range table.All() {
		if row.From != from {
			continue
		}
		for _, rest := range paths(table, row.To) {
			all = append(all, append([]fsm.Event{row.Event}, rest...))
		}
	}
	return all
}

// TestEveryPathAndPair walks every path of the table and tries, in every state
// on the way, every event (also values that are none) that the table does not
// have there.
func TestEveryPathAndPair(t *testing.T) {
	table := transitions.Shutdown()
	all := paths(table, table.Initial())
	if len(all) != 2 {
		t.Fatalf("%d paths, want 2: %v", len(all), all)
	}
	for _, path := range all {
		m := fsm.New(table)
		for _, event := range path {
			tryIllegal(t, m, table)
			want, _ := table.Next(m.State(), event)
			got, err := m.Fire(event)
			if err != nil || got != want {
				t.Fatalf("path %v: Fire(%v) = %v, %v, want %v", path, event, got, err, want)
			}
			if m.State() != want.To {
				t.Fatalf("path %v: in %v after %v, want %v", path, m.State(), event, want.To)
			}
		}
		tryIllegal(t, m, table)
	}
}

// tryIllegal fires every event that has no row in the machine's state: each is
// refused and leaves the state alone.
func tryIllegal(t *testing.T, m *fsm.Machine, table fsm.Table) {
	t.Helper()
	before := m.State()
	for event := range fsm.Event(8) {
		if _, legal := table.Next(before, event); legal {
			continue
		}
		_, err := m.Fire(event)
		var illegal *fsm.IllegalError
		if !errors.As(err, &illegal) || illegal.State != before || illegal.Event != event {
			t.Errorf("Fire(%v) in %v: error %v, want an IllegalError that names both", event, before, err)
		}
		if m.State() != before {
			t.Fatalf("Fire(%v) moved the machine from %v to %v", event, before, m.State())
		}
	}
}

// TestConcurrentFire: one goroutine owns a machine. If several fire the same event all
// the same, one of them takes the transition; the race detector watches.
func TestConcurrentFire(t *testing.T) {
	m := fsm.New(transitions.Shutdown())
	var took atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := m.Fire(fsm.GracefulShutdownCalled); err == nil {
				took.Add(1)
			}
		})
	}
	wg.Wait()
	if n := took.Load(); n != 1 || m.State() != fsm.GracefulShutdown {
		t.Errorf("%d of 8 took the transition, and the machine is in %v", n, m.State())
	}
}

// TestZeroTable: a machine of the zero Table refuses everything, and does not
// panic.
func TestZeroTable(t *testing.T) {
	m := fsm.New(fsm.Table{})
	for _, event := range allEvents {
		var illegal *fsm.IllegalError
		if _, err := m.Fire(event); !errors.As(err, &illegal) {
			t.Errorf("Fire(%v) = %v, want an IllegalError", event, err)
		}
	}
	if m.State() != 0 {
		t.Errorf("in %v, want no state", m.State())
	}
}
