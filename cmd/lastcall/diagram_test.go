package main

import (
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

func TestDiagram(t *testing.T) {
	var state strings.Builder
	if err := viz.Draw(&state, viz.FromTable(transitions.Shutdown()), viz.Mermaid); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		state.String():        {"diagram"},
		viz.GuideSequence(""): {"diagram", "-kind", "sequence"},
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
	code, stdout, stderr := runCommand(t.Context(), "diagram", "-direction", "LR", "-title", "the way out", "-calls", "-phases")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	for _, want := range []string{
		"direction LR", "the way out", "Timeout Reached / Stop",
		"state SERVING {", "announce --> settle", "[*] --> drain", "cut --> wait", "close --> flush",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the diagram does not say %q:\n%s", want, stdout)
		}
	}
	if _, stdout, _ := runCommand(t.Context(), "diagram", "-kind", "sequence", "-title", "who says what"); !strings.Contains(stdout, "who says what") {
		t.Errorf("the sequence diagram has no title:\n%s", stdout)
	}
}

// TestPhasesAreExplained: the screen explains every phase that the controller has.
func TestPhasesAreExplained(t *testing.T) {
	for p := lastcall.Phase(1); !strings.HasPrefix(p.String(), "Phase("); p++ {
		if meaning(p) == "" && p != lastcall.PhaseStart { // of which the screen shows the state's label
			t.Errorf("the screen does not say what %v means", p)
		}
	}
}
