package controller_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
)

// ADR 46: the server whose GracefulStop ends the drain is asked for its work there and then,
// and again if that was not just now when all has ended. The report has the last answer.
func TestTheLastToEndIsAskedAtOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		serve time.Duration // how long Serve takes after GracefulStop
		other time.Duration // when another server ends; 0: there is none
		want  []string
	}{
		"Serve returns at once":    {0, 0, []string{"s inflight 1m2s", "s inflight 1m3s"}},
		"Serve returns soon":       {5 * time.Millisecond, 0, []string{"s inflight 1m2s", "s inflight 1m3s"}},
		"Serve takes its time":     {500 * time.Millisecond, 0, []string{"s inflight 1m2s", "s inflight 1m3s", "s inflight 1m3.5s"}},
		"another server ends last": {0, 2 * time.Second, []string{"s inflight 1m2s", "s inflight 1m4s"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				s := &telling{server: newServer(d, "s", time.Second), inFlight: numbered}
				s.serve = func() error { <-s.down; time.Sleep(tt.serve); return nil }
				options := []controller.Option{noSignals, withServer("s", s)}
				if tt.other > 0 {
					options = append(options, withServer("q", newServer(d, "q", tt.other)))
				}
				r, took := runAfter(mustNew(t, budget, options...), time.Minute)
				wantTook(t, took, 2*time.Second+max(time.Second+tt.serve, tt.other))
				asked := slices.DeleteFunc(slices.Clone(d.lines), func(line string) bool { return !strings.HasPrefix(line, "s inflight") })
				if !slices.Equal(asked, tt.want) {
					t.Errorf("InFlight was called at %q, want %q", asked, tt.want)
				}
				if len(r.Work) != 2 || r.Work[0].Completed != len(tt.want) {
					t.Errorf("the report has the work %v", r.Work)
				}
			})
		})
	}
}

// The same, G8: what was asked where GracefulStop has returned is not the report's, even if it
// answers last, when the server was asked again since.
func TestTheLastAnswerIsOfTheLastQuestion(t *testing.T) {
	const slow = 100 * time.Millisecond
	for name, tt := range map[string]struct {
		serve    time.Duration // how long Serve takes after GracefulStop
		force    time.Duration // since the trigger; 0: there is none
		progress time.Duration
		want     []string // when InFlight was called
		work     int      // which of those the report has
	}{
		"nothing since":  {0, 0, 0, []string{"1m2s", "1m3s"}, 2},
		"a force since":  {50 * time.Millisecond, 3*time.Second + 10*time.Millisecond, 0, []string{"1m2s", "1m3s", "1m3.01s", "1m3.05s"}, 4},
		"progress since": {5 * time.Millisecond, 0, time.Second + time.Millisecond, []string{"1m2s", "1m3s", "1m3.001s", "1m3.005s"}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				s := &telling{server: newServer(d, "s", time.Second), inFlight: func(n int) []lastcall.Work {
					if n == 2 {
						time.Sleep(3 * slow) // longer than those behind it
					} else {
						time.Sleep(slow)
					}
					return numbered(n)
				}}
				s.serve = func() error { <-s.down; time.Sleep(tt.serve); return nil }
				c := mustNew(t, budget, noSignals, controller.WithProgress(tt.progress), withServer("s", s))
				if tt.force > 0 {
					time.AfterFunc(time.Minute+tt.force, c.Force)
				}
				r, _ := runAfter(c, time.Minute)
				var asked []string
				for _, line := range d.lines {
					if at, ok := strings.CutPrefix(line, "s inflight "); ok {
						asked = append(asked, at)
					}
				}
				if !slices.Equal(asked, tt.want) {
					t.Errorf("InFlight was called at %q, want %q", asked, tt.want)
				}
				if len(r.Work) != 2 || r.Work[0].Completed != tt.work {
					t.Errorf("the report has the work %v", r.Work)
				}
			})
		})
	}
}
