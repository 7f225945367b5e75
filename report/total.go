package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
)

// Total is the sum over the work that a service is for. What runs of the
// infrastructure it counts apart; calls into user code it leaves out.
type Total struct {
	Before, Arrived, Late, Completed, Cancelled, Cut int
	Running, Streams                                 int // the streams are among those that run
	Infrastructure                                   int // how much of it runs
}

// Sum adds up work.
func Sum(all []lastcall.Work) Total {
	var t Total
	for _, w := range all {
		switch w.Kind {
		case lastcall.WorkInfra:
			t.Infrastructure += w.Running
		case lastcall.WorkCall: // not work that a client has asked for
		default:
			t.Before, t.Arrived, t.Late = t.Before+w.Before, t.Arrived+w.Arrived, t.Late+w.Late
			t.Completed, t.Cancelled, t.Cut = t.Completed+w.Completed, t.Cancelled+w.Cancelled, t.Cut+w.Cut
			t.Running += w.Running
			if w.Kind.IsStream() {
				t.Streams += w.Running
			}
		}
	}
	return t
}

// StillRunning returns the work of which some runs, most first.
func StillRunning(all []lastcall.Work) []lastcall.Work {
	some := slices.DeleteFunc(slices.Clone(all), func(w lastcall.Work) bool { return w.Running <= 0 })
	slices.SortStableFunc(some, func(a, b lastcall.Work) int { return cmp.Compare(b.Running, a.Running) })
	return some
}

// Round returns a duration as reports and logs show it: in full milliseconds from one
// second on, in full microseconds below.
func Round(d time.Duration) string {
	if d >= time.Second || d <= -time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Microsecond).String()
}
