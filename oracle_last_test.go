package lastcall_test

import (
	"time"

	"github.com/lastcall-go/lastcall/report"

	"pgregory.net/rapid"
)

// lastTime is how long the GracefulStop of servers that are Last may take, and
// lastStopTime how long they may take when Stop was called.
const (
	lastTime     = 100 * time.Millisecond
	lastStopTime = time.Second
)

// checkLasts checks the servers that are Last, whose time begins when the flushers are
// over: all at the same time, GracefulStop on each, and Stop on exactly those where that
// has not returned after 100 ms or half of the time. It returns when they were over or
// the time was.
func (o *oracle) checkLasts(t *rapid.T, start time.Time) time.Time {
	if len(o.s.lasts) == 0 {
		return start
	}
	gone := start
	for i, p := range o.s.lasts {
		server := lastName(i)
		begins := o.w.find("gs "+server, "begin")
		if len(begins) != 1 || !begins[0].at.Equal(start) {
			t.Fatalf("G2: GracefulStop of %s, which is Last, began %d times, want once, %v after the trigger\n%v", server, len(begins), start.Sub(o.trigger), o.report)
		}
		gone = later(gone, o.goneLast(server, p))
		for _, call := range []string{"cancel ", "cut ", "arrival "} {
			if len(o.w.find(call+server, "begin")) > 0 {
				t.Fatalf("G3: %s%s was called, although that server is Last", call, server)
			}
		}
	}
	stopping := earlier(gone, earlier(start.Add(lastTime), o.shareEnd(start, 2, o.deadlineAt)))
	over := later(stopping, gone)
	for i, p := range o.s.lasts {
		server := lastName(i)
		back := o.ends("gs "+server, "return")
		returned, tie := len(back) > 0 && !back[0].After(stopping), len(back) > 0 && back[0].Equal(stopping)
		stops := o.w.find("stop "+server, "begin")
		switch {
		case len(stops) > 1:
			t.Fatalf("G5: Stop of %s, which is Last, was called %d times", server, len(stops))
		case len(stops) == 1 && !stops[0].at.Equal(stopping):
			t.Fatalf("G4: Stop of %s, which is Last, began %v after the flushers, want %v", server, stops[0].at.Sub(start), stopping.Sub(start))
		case len(stops) == 1 && returned && !tie:
			t.Fatalf("G5: Stop of %s, which is Last, was called although its GracefulStop had returned", server)
		case len(stops) == 0 && !returned:
			t.Fatalf("G5: Stop of %s, which is Last, was not called although its GracefulStop had not returned", server)
		case len(stops) == 1:
			over = later(over, o.back("stop "+server, p.stop))
		}
	}
	end := earlier(over, earlier(stopping.Add(lastStopTime), o.shareEnd(stopping, 1, o.deadlineAt)))
	for i, p := range o.s.lasts {
		o.checkLastSteps(t, lastName(i), p, end)
	}
	o.lastsOver = later(stopping, end)
	return o.lastsOver
}

// goneLast returns when nothing of a server that is Last ran any more.
func (o *oracle) goneLast(server string, p serverPlan) time.Time {
	at := o.back("gs "+server, p.graceful)
	if _, served := o.w.at("serve "+server, "begin"); served {
		at = later(at, o.back("serve "+server, p.serve))
	}
	return at
}

// checkLastSteps is G8 for the calls of a server that is Last: what came back before the
// end is told as it came back, and what did not is named.
func (o *oracle) checkLastSteps(t *rapid.T, server string, p serverPlan, end time.Time) {
	for _, c := range []struct {
		op  report.Op
		who string
		how conduct
	}{
		{report.OpServe, "serve " + server, p.serve},
		{report.OpGracefulStop, "gs " + server, p.graceful},
		{report.OpStop, "stop " + server, p.stop},
	} {
		begins := o.w.find(c.who, "begin")
		var steps []report.Step
		for _, s := range o.report.Steps {
			if s.Op == c.op && s.Name == server {
				steps = append(steps, s)
			}
		}
		if c.op == report.OpServe && p.elsewhere {
			continue // it says so, and begins nothing
		}
		if len(steps) != len(begins) {
			t.Fatalf("G8: %s began %d times, the report has %d steps", c.who, len(begins), len(steps))
		}
		for _, s := range steps {
			back := o.back(c.who, c.how)
			if !s.Start.Equal(begins[0].at) {
				t.Fatalf("G8: %s began at %v, the report says %v", c.who, begins[0].at, s.Start)
			}
			graceful, _ := o.w.at("gs "+server, "begin")
			var want report.Result
			switch {
			case back.Equal(end) || back.Equal(o.end): // either is legal
				continue
			case back.After(end):
				want = report.ResultTimedOut
			case len(o.ends(c.who, "panic")) > 0:
				want = report.ResultPanicked
			case len(o.ends(c.who, "goexit")) > 0:
				want = report.ResultGoexit
			case c.op == report.OpServe && c.how.manner == fails && back.Equal(graceful):
				continue
			case c.op == report.OpServe && c.how.manner == fails && back.Before(graceful):
				want = report.ResultFailed
			default:
				want = report.ResultOK
			}
			if s.Result != want || s.Abandoned != back.After(o.end) || want != report.ResultTimedOut && !s.Start.Add(s.Duration).Equal(back) {
				t.Fatalf("G8: %s came back %v after the trigger, and is reported as %v after %v (abandoned: %v), want %v", c.who, back.Sub(o.trigger), s, s.Duration, s.Abandoned, want)
			}
		}
	}
}
