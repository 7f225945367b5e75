package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

func TestDiagram(t *testing.T) {
	var state, sequence strings.Builder
	if err := viz.State(&state, transitions.Shutdown()); err != nil {
		t.Fatal(err)
	}
	if err := viz.Sequence(&sequence); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		state.String():    {"diagram"},
		sequence.String(): {"diagram", "-kind", "sequence"},
	} {
		if code, stdout, stderr := runCommand(t.Context(), args...); code != 0 || stdout != want || stderr != "" {
			t.Errorf("%v: exit code %d, stderr %q, stdout\n%s\nwant\n%s", args, code, stderr, stdout, want)
		}
	}
	if _, stdout, _ := runCommand(t.Context(), "diagram", "-kind", "state"); stdout != state.String() {
		t.Errorf("-kind state is not the default")
	}
}

func TestDiagramFlags(t *testing.T) {
	code, stdout, stderr := runCommand(t.Context(), "diagram", "-direction", "LR", "-title", "the way out", "-calls", "-notes")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	for _, want := range []string{
		"direction LR", "the way out", "Timeout Reached / Stop",
		"note right of SERVING : phases (start, serve, announce, settle)",
		"note right of GRACEFUL_SHUTDOWN : phases (drain)",
		"note right of TIMER_EXPIRED : phases (cancel, stop, cut, wait)",
		"note right of TERMINATED : phases (close, flush)",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the diagram does not say %q:\n%s", want, stdout)
		}
	}
	if _, stdout, _ := runCommand(t.Context(), "diagram", "-kind", "sequence", "-title", "who says what"); !strings.Contains(stdout, "who says what") {
		t.Errorf("the sequence diagram has no title:\n%s", stdout)
	}
}

// TestPhasesOf: every phase that the controller has belongs to one state, in order,
// and the screen explains it.
func TestPhasesOf(t *testing.T) {
	var all []lastcall.Phase
	for _, s := range []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.TimerExpired, fsm.Terminated} {
		all = append(all, phasesOf(s)...)
	}
	var known []lastcall.Phase
	for p := lastcall.Phase(1); !strings.HasPrefix(p.String(), "Phase("); p++ {
		known = append(known, p)
		if meaning(p) == "" && p != lastcall.PhaseStart { // of which the screen shows the state's label
			t.Errorf("the screen does not say what %v means", p)
		}
	}
	if !slices.Equal(all, known) {
		t.Errorf("the states have the phases %v, the controller %v", all, known)
	}
}
