package controller_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall-go/lastcall/report"
)

// What a call of Shorten costs before the trigger does not depend on how many came before it.
// The measure is the processor's time that this goroutine has had, so other processes
// hardly count; what they and a garbage collection do change is why it tries again.
func TestShortenIsLinear(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	used := func() time.Duration {
		var of unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &of); err != nil {
			t.Fatal(err)
		}
		return time.Duration(of.Nano())
	}
	cost := func(n int) time.Duration {
		c := mustNew(t, budget, noSignals)
		at, began := time.Now().Add(time.Hour), used()
		for i := range n {
			c.Shorten(at.Add(time.Duration(i)), "as tested")
		}
		return used() - began
	}
	cost(1000)
	var few, many time.Duration
	for range 5 {
		if few, many = cost(2000), cost(32_000); many < 4*16*few {
			return
		}
	}
	t.Errorf("32,000 calls of Shorten took %v, 2,000 took %v", many, few)
}

// What is not to be kept is dropped now and then, and not with each call: the first of those
// that are equal and the mistake are still told.
func TestManyShortenings(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals)
		c.Shorten(time.Time{}, "no time")
		for i := range 1000 {
			c.Shorten(d.start.Add(time.Second), "passed")
			c.Shorten(d.start.Add(time.Minute+9*time.Second), fmt.Sprint("equal ", i))
		}
		time.Sleep(2 * time.Second)
		for range 1000 {
			c.Shorten(d.start.Add(time.Second), "passed")
		}
		r, _ := runAfter(c, time.Minute-2*time.Second)
		got := requests(r.Steps)
		want := "Shorten: Run returns by 2000-01-01T00:01:09.000Z, 1s sooner: equal 0"
		if len(got) != 2 || got[0] != "Shorten: the deadline is the zero time, which changes nothing: no time" || got[1] != want || r.ExitCode() != report.ExitOK {
			t.Errorf("told were %q, and the report is\n%v", got, r)
		}
	})
}
