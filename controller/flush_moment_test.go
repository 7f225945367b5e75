package controller_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// asked is a server that does not come back from the question for its work at the end.
type asked struct {
	full
	n    atomic.Int32
	hang func()
}

func (s *asked) InFlight() []lastcall.Work {
	if s.n.Add(1) > 1 {
		s.hang()
	}
	return nil
}

// When next to no time is left, what was begun just now and may still come back leaves
// a part of that to the flusher.
func TestFlushMoment(t *testing.T) {
	for _, left := range []time.Duration{time.Millisecond, 8 * time.Millisecond, 12 * time.Millisecond} {
		bubble(t, func(t *testing.T, d *diary, hang func()) {
			var c *controller.Controller
			var had time.Duration
			s := &asked{full: full{server: newServer(d, "s", time.Second)}, hang: hang}
			c = mustNew(t, budget, noSignals, withServer("s", s),
				controller.WithObserver("o", func(report.Step) {}),
				controller.WithFlusher("f", func(ctx context.Context) error {
					at, _ := ctx.Deadline()
					had = time.Until(at)
					return nil
				}))
			time.AfterFunc(time.Minute+time.Second-time.Nanosecond, func() { c.Shorten(time.Now().Add(left), "as tested") })
			r, _ := runAfter(c, time.Minute)
			if had < left/10 {
				t.Errorf("of the last %v the flusher was told that it has %v\n%v", left, had, r)
			}
		})
	}
}
