package report

import (
	"cmp"
	"github.com/lastcall-go/lastcall"
	"slices"
	"time"
)

// total is the sum over the work that a service is for. What runs of the
// infrastructure it counts apart.
type total struct {
	before, arrived, late, completed, cancelled, cut int
	running, streams                                 int // the streams are among those that run
	infrastructure                                   int
}

func totalOf(all []lastcall.Work) total {
	var t total
	for _, w := range all {
		switch w.Kind {
		case lastcall.WorkInfra:
			t.infrastructure += w.Running
		case lastcall.WorkCall: // no work that anybody has asked the server for
		default:
			t.before, t.arrived, t.late = t.before+w.Before, t.arrived+w.Arrived, t.late+w.Late
			t.completed, t.cancelled, t.cut = t.completed+w.Completed, t.cancelled+w.Cancelled, t.cut+w.Cut
			t.running += w.Running
			if w.Kind == lastcall.WorkStream {
				t.streams += w.Running
			}
		}
	}
	return t
}

// stillRunning returns the work of which some runs, most first.
func stillRunning(all []lastcall.Work) []lastcall.Work {
	some := slices.DeleteFunc(slices.Clone(all), func(w lastcall.Work) bool { return w.Running <= 0 })
	slices.SortStableFunc(some, func(a, b lastcall.Work) int { return cmp.Compare(b.Running, a.Running) })
	return some
}

// age returns for how long the oldest has run, in words; "" if nobody knows.
func (w lastcall.Work) age(now time.Time) string {
	if w.Oldest.IsZero() {
		return ""
	}
	return round(now.Sub(w.Oldest))
}
