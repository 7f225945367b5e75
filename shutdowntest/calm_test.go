package shutdowntest

import (
	"context"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
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

// The first socket that is left may be that of a pool which has grown. Whether it is, the same
// check tells, made anew: there need not be another one that leaves some.
func TestLeftOnce(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the kit sees descriptors on Linux only")
	}
	for name, pool := range map[string]int{"a leak": 0, "a pool": calmCalls + 1} {
		open := make(chan net.Conn, 1000)
		k := newKit([]Load{GRPC("grpc", unary)}, func(k *kit) {
			k.build = onGRPC(&rpcs{unary: func(context.Context) error {
				if pool > 0 && len(open) >= pool {
					return nil
				}
				conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})
				open <- conn
				return err
			}})
		})
		k.alone = true
		if err := k.calibrate(t, calmCalls); err != nil {
			t.Fatal(err)
		}
		if text := k.one(t, atCut()).text; strings.Contains(text, "udp socket") != (pool == 0) {
			t.Errorf("%s: it says %q", name, text)
		}
		for close(open); len(open) > 0; {
			_ = (<-open).Close()
		}
	}
}

// A closer that waits for something outside of the bubble is named, and is not tried again.
func TestStuck(t *testing.T) {
	outside, built := make(chan int), atomic.Int64{}
	k := newKit(nil, func(k *kit) {
		k.build = func(e *Env) *controller.Controller {
			n := built.Add(1)
			return newController(e, controller.WithCloser("queue", func() {
				if n > 2 {
					outside <- 1
				}
			}))
		}
	})
	k.stuck = 3 * time.Second
	text := fails(t, k)
	for _, want := range []string{"outside of its bubble", "chan send", "TestStuck", "what was asked"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q: %s", want, text)
		}
	}
	if n := built.Load(); n > 3 {
		t.Errorf("%d checks, want 3: one in calm, one that is well, and one that is not", n)
	}
}

// So is a build that waits for something outside. A bubble that waits for nothing is at work.
func TestStuckBuild(t *testing.T) {
	outside := make(chan int)
	k := newKit(nil, func(k *kit) {
		k.build = func(e *Env) *controller.Controller { <-outside; return newController(e) }
	})
	k.stuck = time.Second
	if text := fails(t, k); !strings.Contains(text, "chan receive, synctest bubble") || !strings.Contains(text, "TestStuckBuild") {
		t.Errorf("it says %q", text)
	}
	for waits, want := range map[string]bool{"": true, "goroutine 1 [runnable, synctest bubble 2]:": true, "goroutine 1 [IO wait, synctest bubble 2]:": false} {
		if atWork(waits) != want {
			t.Errorf("%q: at work %v", waits, !want)
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

// A slow client whose connection is cut in the middle of a pause hears of it at once: grpc
// begins its next call again and again until then, so the pause would never end.
func TestSlowClientIsCut(t *testing.T) {
	k := newKit([]Load{GRPC("grpc", unary)}, ofServer(func(e *Env) func(context.Context) {
		srv := bare(e, &rpcs{unary: lasts(func(int64) time.Duration { return 5 * time.Millisecond })})
		return func(context.Context) { srv.Stop() }
	}))
	k.stuck = 5 * time.Second
	if err := k.calibrate(t, calmCalls); err != nil {
		t.Fatal(err)
	}
	for range 20 { // calls that begin in the instant of the end, some after it
		_, _, err := k.try(t, &plan{
			trigger: byStop, budget: lastcall.Budget{Total: 10 * time.Second},
			clients: []clientPlan{{Temper: slow, Calls: []int{-500, atDrain - 10, atDrain, atDrain, atDrain, atDrain}}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
