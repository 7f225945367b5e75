package main

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/transitions"
)

func TestTally(t *testing.T) {
	trigger := time.Now()
	end := func(replica, method string, begun time.Duration, code codes.Code) rpc {
		return rpc{place: place{replica, method}, begun: trigger.Add(begun), code: code}
	}
	rpcs := []rpc{
		end("b", "Call", 0, codes.OK),
		end("a", "Call", -1, codes.OK),
		end("a", "Call", -2, codes.OK),
		end("a", "Watch", -1, codes.Unavailable),
		end("a", "Watch", -1, codes.OK),
		end("", "Call", 1, codes.Unavailable),
	}
	gone := end("b", "Slow", -1, codes.Canceled)
	gone.hungUp = true
	want := `replica   method   begun before SIGTERM   begun after
none      Call     -                      1 Unavailable
a         Call     2 OK                   -
a         Watch    1 OK, 1 Unavailable    -
b         Call     -                      1 OK
b         Slow     1 hung up              -
1 had not ended when the clients hung up
of 7 RPCs 2 failed:
  Call on replica none: 1 Unavailable
  Watch on replica a: 1 Unavailable
`
	if got := tally(append(rpcs, gone), trigger); got != want {
		t.Errorf("the tally is\n%s\nwant\n%s", got, want)
	}
	if got := tally(rpcs[:3], trigger); !strings.HasSuffix(got, "\nof 3 RPCs none failed\n") {
		t.Errorf("the tally of good RPCs is\n%s", got)
	}
}

// TestTiming: before, at and after the deadline, and after one that a force moved.
func TestTiming(t *testing.T) {
	trigger := time.Now()
	bare := make(chan time.Duration, 1)
	got := report.Report{Triggered: trigger, Budget: lastcall.Budget{Total: 6 * time.Second}, Deadline: trigger.Add(6 * time.Second)}
	forced := got
	forced.Forced, forced.Deadline = true, trigger.Add(3*time.Second)
	tests := map[string]struct {
		report report.Report
		took   time.Duration
		want   string
	}{
		"before": {got, 4 * time.Second, "deadline  Run returned 2.000s before it\n"},
		"at":     {got, 6 * time.Second, "deadline  reached: Run returned 0s after it, a bare timer 80µs\n"},
		"after":  {got, 6*time.Second + 95*time.Microsecond, "deadline  reached: Run returned 95µs after it, a bare timer 80µs\n"},
		"forced": {forced, 3*time.Second + 70*time.Microsecond, "deadline  reached: Run returned 70µs after it\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			select {
			case bare <- 80 * time.Microsecond:
			default: // the case before did not look
			}
			r := result{report: tt.report, returned: trigger.Add(tt.took), bare: bare}
			if got := r.timing(); got != tt.want {
				t.Errorf("it says %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPath(t *testing.T) {
	got := report.Report{Path: []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.Terminated}}
	for i, event := range []fsm.Event{fsm.GracefulShutdownCalled, fsm.Drained} {
		row, _ := transitions.Shutdown().Next(got.Path[i], event)
		got.Steps = append(got.Steps,
			report.Step{Kind: report.KindPhase},
			report.Step{Kind: report.KindTransition, Elapsed: time.Duration(i+1) * time.Second, Transition: row})
	}
	want := `* SERVING
   * 1.000s  Graceful Shutdown Called (with Timeout) -> GRACEFUL_SHUTDOWN
* GRACEFUL_SHUTDOWN
   * 2.000s  In-Flight RPCs Completed (Before Timeout) -> TERMINATED
             Timeout Reached -> TIMER_EXPIRED
  TIMER_EXPIRED
             Forceful Shutdown Called -> TERMINATED
* TERMINATED
`
	if got := (&result{report: got}).path(); got != want {
		t.Errorf("the path is drawn as\n%s\nwant\n%s", got, want)
	}
}
