package viz_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/looplab/fsm"

	"github.com/lastcall-go/lastcall/viz"
	"github.com/lastcall-go/lastcall/viz/testdata/machines"
)

// TestRealMachines: what is drawn from a machine's Events has every edge of it and no other,
// and a running one says the same.
func TestRealMachines(t *testing.T) {
	for _, m := range machines.All() {
		drawn := viz.FromEvents(m.Initial, m.Events)
		states := map[string]bool{}
		for _, e := range drawn.Edges {
			states[e.From], states[e.To] = true, true
		}
		if len(states) != m.States || len(drawn.Edges) != m.Edges {
			t.Errorf("%s: %d states and %d edges, want %d and %d", m.Name, len(states), len(drawn.Edges), m.States, m.Edges)
		}
		if err := drawn.Err(); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
		running := viz.FromFSM(m.New())
		if err := running.Err(); err != nil {
			t.Errorf("%s, running: %v", m.Name, err)
		}
		if !slices.Equal(running.Sorted().Edges, drawn.Sorted().Edges) {
			t.Errorf("%s: running it has the edges\n%v\nits Events say\n%v", m.Name, running.Sorted().Edges, drawn.Sorted().Edges)
		}
	}
}

// TestEventWithoutSource: it is not an edge, as for looplab, and Check names it.
func TestEventWithoutSource(t *testing.T) {
	m := viz.FromEvents("a", fsm.Events{{Name: "go", Src: []string{"a"}, Dst: "b"}, {Name: "lost", Dst: "c"}})
	if text := draw(t, m, viz.Mermaid); strings.Contains(text, "lost") {
		t.Errorf("drawn:\n%s", text)
	}
	if err := viz.Check(m.Sorted()); err == nil || err.Error() != `viz: the event "lost" to "c" leads from no state` {
		t.Errorf("error %v", err)
	}
}

// TestFromFSMWithOddNames: what cannot be read back is an error, never another machine.
func TestFromFSMWithOddNames(t *testing.T) {
	for name, ok := range map[string]bool{"a b": true, "]": true, "a] --> |x| id0": true, "|": true, "é 😀": true, "": false, "a\nb": false, "a]\n    id9[b": false, "a]\n    id1[b": false} {
		events := fsm.Events{{Name: "go", Src: []string{name}, Dst: "z" + name}, {Name: "x" + name, Src: []string{"z" + name}, Dst: name}}
		got, want := viz.FromFSM(fsm.NewFSM(name, events, nil)), viz.FromEvents(name, events)
		if err := got.Err(); (err == nil) != ok {
			t.Errorf("%q: error %v", name, err)
		}
		if ok && !slices.Equal(got.Sorted().Edges, want.Sorted().Edges) {
			t.Errorf("%q: got %q, want %q", name, got.Edges, want.Edges)
		}
	}
	// looplab draws this one state as two, and only its available events give it away.
	twin := "a]\n    id1[b"
	if err := viz.FromFSM(fsm.NewFSM(twin, fsm.Events{{Name: "go", Src: []string{twin}, Dst: twin}}, nil)).Err(); err == nil || !strings.Contains(err.Error(), `the machine ["go"]`) {
		t.Errorf("a state that looks like two: error %v", err)
	}
	if err := viz.FromFSM(nil).Err(); err == nil || !strings.Contains(err.Error(), "nil") {
		t.Errorf("no machine: error %v", err)
	}
	alone := viz.FromFSM(fsm.NewFSM("alone", nil, nil))
	if err := alone.Err(); err != nil || len(alone.States) != 1 || alone.States[0].Class != viz.Current {
		t.Errorf("a machine without events: %v, error %v", alone, err)
	}
}
