package fsm_test

import (
	"errors"
	"runtime"
	"slices"
	"sync"
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

// TestHooks: looplab ignores a callback with a misspelt name; ours is called on
// every transition, with the row, in the new state.
func TestHooks(t *testing.T) {
	table := transitions.Shutdown()
	for _, path := range paths(table, table.Initial()) {
		var calls []string
		var m *fsm.Machine
		hook := func(name string) func(fsm.Transition) {
			return func(tr fsm.Transition) {
				if m.State() != tr.To {
					t.Errorf("hook called in %v, want %v", m.State(), tr.To)
				}
				calls = append(calls, name+" "+tr.Event.String())
			}
		}
		m = fsm.New(table, hook("first"), hook("second"))
		var want []string
		for _, event := range path {
			want = append(want, "first "+event.String(), "second "+event.String())
			if _, err := m.Fire(event); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(calls, want) {
			t.Errorf("hooks were called as %v, want %v", calls, want)
		}
	}
}

// TestPanicInHook: with looplab a panic in a leave_ callback leaves the machine
// stuck. A panic in a hook reaches the caller of Fire, and the machine goes on.
func TestPanicInHook(t *testing.T) {
	m := fsm.New(transitions.Shutdown(), func(tr fsm.Transition) {
		if tr.To == fsm.GracefulShutdown {
			panic("hook")
		}
	})
	func() {
		defer func() {
			if v := recover(); v != "hook" {
				t.Errorf("Fire let through %v, want the hook's panic", v)
			}
		}()
		_, _ = m.Fire(fsm.GracefulShutdownCalled)
	}()
	if m.State() != fsm.GracefulShutdown {
		t.Fatalf("in %v after the panic, want GRACEFUL_SHUTDOWN", m.State())
	}
	if _, err := m.Fire(fsm.Drained); err != nil || m.State() != fsm.Terminated {
		t.Errorf("after a panic the machine is stuck in %v: %v", m.State(), err)
	}
}

// TestGoexitInHook: the same for runtime.Goexit, which t.FailNow calls.
func TestGoexitInHook(t *testing.T) {
	m := fsm.New(transitions.Shutdown(), func(tr fsm.Transition) {
		if tr.To == fsm.GracefulShutdown {
			runtime.Goexit()
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = m.Fire(fsm.GracefulShutdownCalled) })
	wg.Wait()
	if _, err := m.Fire(fsm.Timeout); err != nil || m.State() != fsm.TimerExpired {
		t.Errorf("after a Goexit the machine is stuck in %v: %v", m.State(), err)
	}
}

// TestFireFromHook: looplab lets an enter callback fire the next event, which
// nests transitions. Ours refuses it.
func TestFireFromHook(t *testing.T) {
	var m *fsm.Machine
	var err error
	m = fsm.New(transitions.Shutdown(), func(fsm.Transition) { _, err = m.Fire(fsm.Drained) })
	if _, err := m.Fire(fsm.GracefulShutdownCalled); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, fsm.ErrBusy) || m.State() != fsm.GracefulShutdown {
		t.Errorf("Fire from a hook: error %v in state %v, want ErrBusy in GRACEFUL_SHUTDOWN", err, m.State())
	}
}

// TestConcurrentFire: two looplab Events at once are a data race. A second Fire
// while one runs gets ErrBusy; the race detector watches.
func TestConcurrentFire(t *testing.T) {
	inHook, release := make(chan struct{}), make(chan struct{})
	m := fsm.New(transitions.Shutdown(), func(fsm.Transition) {
		close(inHook)
		<-release
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := m.Fire(fsm.GracefulShutdownCalled); err != nil {
			t.Errorf("the first Fire: %v", err)
		}
	})
	<-inHook
	var beside sync.WaitGroup
	for range 8 {
		beside.Go(func() {
			if _, err := m.Fire(fsm.Drained); !errors.Is(err, fsm.ErrBusy) {
				t.Errorf("a Fire beside the first: error %v, want ErrBusy", err)
			}
		})
	}
	beside.Wait()
	close(release)
	wg.Wait()
	if m.State() != fsm.GracefulShutdown {
		t.Errorf("in %v, want GRACEFUL_SHUTDOWN", m.State())
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
