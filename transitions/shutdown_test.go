package transitions

import (
	"testing"

	"github.com/lastcall-go/lastcall/fsm"
)

func TestShutdownIsValid(t *testing.T) {
	table, err := build()
	if err != nil {
		t.Fatalf("the rows are refused: %v", err)
	}
	if got, want := table.Initial(), fsm.Serving; got != want {
		t.Errorf("initial state %v, want %v", got, want)
	}
}

// TestShutdownIsTheGuide compares the table with the guide, word for word: four
// states, four edges, and no other.
func TestShutdownIsTheGuide(t *testing.T) {
	type edge struct {
		from, event, to, label, call string
	}
	want := []edge{
		{"SERVING", "graceful_shutdown", "GRACEFUL_SHUTDOWN", "Graceful Shutdown Called (with Timeout)", "GracefulStop"},
		{"GRACEFUL_SHUTDOWN", "drained", "TERMINATED", "In-Flight RPCs Completed (Before Timeout)", ""},
		{"GRACEFUL_SHUTDOWN", "timeout", "TIMER_EXPIRED", "Timeout Reached", "Stop"},
		{"TIMER_EXPIRED", "stopped", "TERMINATED", "Forceful Shutdown Called", ""},
	}
	var got []edge
	for row := range Shutdown().All() {
		if row.Why == "" {
			t.Errorf("the row from %v on %v has no reason", row.From, row.Event)
		}
		got = append(got, edge{row.From.String(), row.Event.String(), row.To.String(), row.Label, row.Call.String()})
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("row %d is %+v, want %+v", i+1, got[i], want[i])
		}
	}
	if label := Shutdown().Label(); label != "Server Started" {
		t.Errorf("label into the initial state %q, want %q", label, "Server Started")
	}
}
