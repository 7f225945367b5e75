package lastcall_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
)

// A Life knows of work that arrived after the trigger, of no other, and its share of the
// time follows the deadline.
func TestLate(t *testing.T) {
	at := time.Now()
	var times lastcall.Times
	life := lastcall.NewLife(nil, func() (lastcall.Times, bool) { return times, !times.Trigger.IsZero() })
	late := func(l lastcall.Life) (time.Duration, float64, bool) {
		return lastcall.Late(lastcall.NewContext(context.Background(), l))
	}
	before := life.Arrived(at)
	times = lastcall.Times{Trigger: at, Timer: at.Add(6 * time.Second), Deadline: at.Add(10 * time.Second)}
	for name, l := range map[string]lastcall.Life{
		"zero": {}, "zero, arrived": lastcall.Life{}.Arrived(at.Add(time.Second)), "no times": lastcall.NewLife(nil, nil).Arrived(at.Add(time.Second)),
		"did not arrive": life, "before": before, "before, asked later": life.Arrived(at.Add(-time.Hour)), "with the trigger": life.Arrived(at),
	} {
		if after, share, ok := late(l); ok || after != 0 || share != 0 {
			t.Errorf("%s: %v, %v, %v", name, after, share, ok)
		}
	}
	if _, _, ok := lastcall.Late(context.Background()); ok {
		t.Error("late without a Life")
	}
	came := life.Arrived(at.Add(time.Second))
	if after, share, ok := late(came); !ok || after != time.Second || share != 0.1 {
		t.Errorf("after a second: %v, %v, %v", after, share, ok)
	}
	times.Deadline = at.Add(4 * time.Second)
	if after, share, ok := late(came); !ok || after != time.Second || share != 0.25 {
		t.Errorf("after a force: %v, %v, %v", after, share, ok)
	}
	if timer, ok := came.TimerAt(); !ok || !timer.Equal(times.Timer) || came.Draining() != life.Draining() {
		t.Error("it knows nothing else any more")
	}
	if n := testing.AllocsPerRun(100, func() { life.Arrived(at) }); n != 0 {
		t.Errorf("an arrival before the trigger allocates %v times", n)
	}
}

// accessLog notes who still sends requests to a server that leaves.
func accessLog(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if after, share, late := lastcall.Late(r.Context()); late {
			fmt.Printf("%s came %v after the trigger, at %.0f%% of the budget\n", r.URL.Path, after, 100*share)
		}
		next.ServeHTTP(w, r)
	})
}

func ExampleLate() {
	h := accessLog(http.NotFoundHandler())
	// httpadapter, grpcadapter and drain do this part.
	trigger := time.Now()
	times := lastcall.Times{Trigger: trigger, Timer: trigger.Add(18 * time.Second), Deadline: trigger.Add(25 * time.Second)}
	life := lastcall.NewLife(nil, func() (lastcall.Times, bool) { return times, true })
	for path, arrived := range map[string]time.Time{"/early": trigger.Add(-time.Second), "/late": trigger.Add(3 * time.Second)} {
		ctx := lastcall.NewContext(context.Background(), life.Arrived(arrived))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody))
	}
	// Output: /late came 3s after the trigger, at 12% of the budget
}
