package inflight_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
)

// host is a controller that has a Life, and nothing else.
type host struct {
	lastcall.Host
	life lastcall.Life
}

func (h host) Life() lastcall.Life { return h.life }

// lifeUntil returns the Life of a shutdown whose timer fires at an instant.
func lifeUntil(timer time.Time) lastcall.Life {
	return lastcall.NewLife(nil, func() (lastcall.Times, bool) { return lastcall.Times{Timer: timer}, true })
}

// The timer has fired from its own instant on, and never before there is one. What may take
// until then gets half of the time.
func TestTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker()
		if tr.TimeIsUp() || tr.Within(time.Hour) != time.Hour {
			t.Error("there is a timer without a shutdown")
		}
		tr.SetLife(lifeUntil(time.Now().Add(time.Second)))
		if got := tr.Within(time.Hour); got != time.Second/2 {
			t.Errorf("within %v of a second", got)
		}
		if got := tr.Within(time.Millisecond); got != time.Millisecond {
			t.Errorf("within %v, want a millisecond", got)
		}
		time.Sleep(time.Second - 1)
		if tr.TimeIsUp() {
			t.Error("it has fired before its instant")
		}
		time.Sleep(time.Nanosecond)
		if !tr.TimeIsUp() || tr.Within(time.Hour) != 0 {
			t.Error("it has not fired in its instant")
		}
	})
}

// The first controller counts, and before it the Life that was set.
func TestAttach(t *testing.T) {
	set, first, second := lifeUntil(time.Unix(1, 0)), lifeUntil(time.Unix(2, 0)), lifeUntil(time.Unix(3, 0))
	tr := newTracker()
	for i, step := range []struct {
		do   func()
		want lastcall.Life
	}{
		{func() {}, lastcall.Life{}},
		{func() { tr.SetLife(set) }, set},
		{func() { tr.Attach(host{life: first}) }, first},
		{func() { tr.Attach(host{life: second}) }, first},
		{func() { tr.SetLife(set) }, first},
	} {
		if step.do(); tr.Life() != step.want {
			t.Errorf("step %d: another Life", i)
		}
	}
}
