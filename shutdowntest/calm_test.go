package shutdowntest

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
)

// lasts returns a handler whose nth call, from 1 on, takes as long as length says.
func lasts(length func(n int64) time.Duration) func(context.Context) error {
	var n atomic.Int64
	return func(ctx context.Context) error {
		select {
		case <-time.After(length(n.Add(1))):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// atCut is a check in which a call begins 100 ms before the drain, and the check forces
// the shutdown 300 ms later.
func atCut() *plan {
	return &plan{
		trigger: byShutdown, budget: lastcall.Budget{Total: 10 * time.Second, Settle: time.Second, Reserve: time.Second},
		more:    []again{{laterForce, 120}},
		clients: []clientPlan{{Temper: normal, Calls: []int{90}}},
	}
}

// A call that the force has interrupted, and that was longer than the two in calm were by
// chance, is not lost: the kit makes more calls before it says so.
func TestCallsThatVary(t *testing.T) {
	const short, long = 100 * time.Millisecond, 400 * time.Millisecond
	for name, tt := range map[string]struct {
		length func(n int64) time.Duration
		lost   bool
	}{
		"all short": {func(n int64) time.Duration {
			if n == calmCalls+1 {
				return long // it hangs for the shutdown's sake
			}
			return short
		}, true},
		"some long": {func(n int64) time.Duration {
			if n <= calmCalls || n%2 == 0 {
				return short
			}
			return long
		}, false},
	} {
		k := newKit([]Load{GRPC("grpc", unary)}, func(k *kit) { k.build = onGRPC(&rpcs{unary: lasts(tt.length)}) })
		if err := k.calibrate(t, calmCalls); err != nil {
			t.Fatal(err)
		}
		if text := k.one(t, atCut()).text; strings.Contains(text, `"not lost"`) != tt.lost || !tt.lost && text != "" {
			t.Errorf("%s: it says %q, want lost %v", name, text, tt.lost)
		}
	}
}

// Calls of any length are lost if they are cut before the timer.
func TestCutEarly(t *testing.T) {
	found(t, "not lost", newKit([]Load{GRPC("grpc", unary)}, ofServer(func(e *Env) func(context.Context) {
		srv := bare(e, &rpcs{unary: lasts(func(int64) time.Duration { return 10*time.Millisecond + rand.N(time.Second) })})
		return func(context.Context) { srv.Stop() }
	})))
}
