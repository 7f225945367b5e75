package fsm

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/looplab/fsm"
)

// TestLooplabCancelledContext shows the trap that Fire's missing context
// parameter closes: looplab v1.0.3, given a cancelled context, neither moves nor
// accepts any event again. If this test fails after an upgrade, the trap is
// gone and the comment in Fire can go as well.
func TestLooplabCancelledContext(t *testing.T) {
	engine := fsm.NewFSM("a", fsm.Events{{Name: "go", Src: []string{"a"}, Dst: "b"}}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := engine.Event(ctx, "go"); err == nil {
		t.Error("looplab took a transition under a cancelled context")
	}
	var stuck fsm.InTransitionError
	if err := engine.Event(context.Background(), "go"); !errors.As(err, &stuck) {
		t.Errorf("looplab went on after a cancelled context: %v", err)
	}
}

// TestTheEngineDecides: what the table allows happens only if the engine does it. One
// that refuses the event, one that goes elsewhere, and one that stays where it is are
// errors, and the state is the engine's.
func TestTheEngineDecides(t *testing.T) {
	table, err := NewTable(Serving, "", Transition{From: Serving, Event: Drained, To: GracefulShutdown}, Transition{From: GracefulShutdown, Event: Stopped, To: Terminated})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		events fsm.Events
		want   string // part of the error
		state  State
	}{
		"refuses":         {fsm.Events{{Name: "stopped", Src: []string{"SERVING"}, Dst: "TERMINATED"}}, "the engine refused drained in SERVING", Serving},
		"knows no event":  {nil, "the engine refused drained in SERVING", Serving},
		"goes elsewhere":  {fsm.Events{{Name: "drained", Src: []string{"SERVING"}, Dst: "TERMINATED"}}, `drained in SERVING leads to GRACEFUL_SHUTDOWN, but the engine went to "TERMINATED"`, Terminated},
		"goes nowhere":    {fsm.Events{{Name: "drained", Src: []string{"SERVING"}, Dst: "limbo"}}, `the engine went to "limbo"`, 0},
		"stays":           {fsm.Events{{Name: "drained", Src: []string{"SERVING"}, Dst: "SERVING"}}, "the engine refused drained in SERVING", Serving},
		"does as it says": {fsm.Events{{Name: "drained", Src: []string{"SERVING"}, Dst: "GRACEFUL_SHUTDOWN"}}, "", GracefulShutdown},
	} {
		t.Run(name, func(t *testing.T) {
			m := New(table)
			m.engine = fsm.NewFSM(Serving.String(), tt.events, nil)
			row, err := m.Fire(Drained)
			switch {
			case (err == nil) != (tt.want == ""), err != nil && !strings.Contains(err.Error(), tt.want):
				t.Errorf("Fire: error %v, want %q", err, tt.want)
			case err != nil && row != (Transition{}):
				t.Errorf("Fire returned the row %v beside the error %v", row, err)
			}
			if m.State() != tt.state {
				t.Errorf("in %v, want %v", m.State(), tt.state)
			}
		})
	}
}
