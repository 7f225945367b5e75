package drain

import (
	"testing"
	"time"
)

// Work ends without the group's mutex, for which 100,000 tasks would queue that end in the
// same instant, and whoever needs it would stand behind them.
func TestDoneNeedsNoMutex(t *testing.T) {
	g := New()
	h, err := g.Watcher().Watch(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()
	go func() {
		defer close(ended)
		h.Done()
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("Done waits for the group's mutex")
	}
}
