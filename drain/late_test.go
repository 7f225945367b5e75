package drain_test

import (
	"context"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"

	"github.com/lastcall-go/lastcall/drain"
)

// Work knows how long after the trigger it came.
func TestLate(t *testing.T) {
	bubble(t, func(t *testing.T, _ func(func())) {
		g := drain.New()
		l := begin(t, g, lastcall.Budget{Total: 10 * time.Second, Settle: 4 * time.Second, Reserve: 2 * time.Second})
		early, err := g.Watcher().Watch(context.Background(), "early")
		if err != nil {
			t.Fatal(err)
		}
		l.trigger()
		time.Sleep(2 * time.Second)
		late, err := g.Watcher().Watch(early.Context(), "late")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if after, share, ok := lastcall.Late(early.Context()); ok {
			t.Errorf("what came before is late by %v, %v", after, share)
		}
		if after, share, ok := lastcall.Late(late.Context()); !ok || after != 2*time.Second || share != 0.2 {
			t.Errorf("what came after 2 s is late by %v, %v, %v", after, share, ok)
		}
		early.Done()
		late.Done()
		l.wait(t)
	})
}
