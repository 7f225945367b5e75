package controller_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// G9: at its end Run waits for an observer with its last step for 100 ms, if it has never needed
// longer than that for one, however quick it was afterwards; and for a log for a second.
func TestG9_WhoIsAwaitedAtTheEnd(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		log         bool
		first, last time.Duration // what it needs for its first step, and for the summary
		want        time.Duration
		busy        bool // and not all is told
	}{
		"an observer that is quick":           {false, 0, 50 * ms, 50 * ms, false},
		"an observer that is slow":            {false, 0, 150 * ms, 100 * ms, true},
		"one that has needed 100 ms once":     {false, 100 * ms, 50 * ms, 50 * ms, false},
		"one that has needed more than 100":   {false, 100*ms + 1, 50 * ms, 0, true},
		"a log that is slow":                  {true, 0, 900 * ms, 900 * ms, false},
		"a log that has been slow":            {true, 2 * time.Second, 900 * ms, 900 * ms, false},
		"a log that is slower than a second":  {true, 0, 1100 * ms, time.Second, true},
		"a log that needs a second, and more": {true, 0, time.Hour, time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, _ *diary, _ func()) {
				first := true
				step := func(last bool) {
					if first {
						time.Sleep(tt.first)
					}
					if first = false; last {
						time.Sleep(tt.last)
					}
				}
				o := controller.WithObserver("o", func(s report.Step) { step(s.Kind == report.KindSummary) })
				if tt.log {
					o = controller.WithLog("o", func(l report.Line) error { step(strings.HasPrefix(l.Message, "shutdown")); return nil })
				}
				b := lastcall.Budget{Total: time.Minute, Reserve: 20 * time.Second}
				r, took := runAfter(mustNew(t, b, noSignals, controller.WithoutStderr(), o), time.Minute)
				wantTook(t, took, tt.want)
				if d := r.Deliveries[0]; (d.Busy || d.Missed > 0) != tt.busy {
					t.Errorf("the report says %v", d)
				}
			})
		})
	}
}
