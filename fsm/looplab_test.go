package fsm

import (
	"context"
	"errors"
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
