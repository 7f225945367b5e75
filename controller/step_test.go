package controller_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"
)

// everything runs a shutdown that has all sorts of steps, and returns what was told.
func everything(t *testing.T, d *diary, hang func(), opts ...controller.Option) (*listeningTo, report.Report) {
	t.Helper()
	told := &listeningTo{}
	s := &telling{server: newServer(d, "s", time.Hour), inFlight: numbered}
	s.stop = func() { time.Sleep(100 * time.Millisecond) }
	c := mustNew(t, budget, append(opts, noSignals, withServer("s", s), withServer("plain", newServer(d, "plain", time.Second)), withLast("admin", newServer(d, "admin", 0)),
		controller.WithWorker("w", func(claim, _ context.Context) error { <-claim.Done(); return nil }),
		controller.WithAnnouncer("a", func() { time.Sleep(time.Millisecond) }),
		controller.WithCloser("fails", func() error { return errPort }), controller.WithCloser("hangs", hang),
		controller.WithFlusher("f", func() { time.Sleep(time.Millisecond) }),
		controller.WithObserver("o", told.observe))...)
	r, _ := runAfter(c, time.Minute)
	synctest.Wait()
	return told, r
}

// G9: where the shutdown was when a step was told: the clock, the state and the phase go
// forward only, and the times since the trigger and to the deadline make up Total.
func TestG9_Now(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		told, r := everything(t, d, hang)
		wantAllTold(t, told, r)
		wantCauseFirst(t, told, r, "asked for", 0)
		var last report.Moment
		for i, s := range told.steps {
			now := s.Now
			if now.At.Before(last.At) || now.State < last.State || now.Phase < last.Phase {
				t.Errorf("%v is told at %+v, after %+v", s, now, last)
			}
			if now.At.Before(s.Start) || s.State > now.State || s.Phase > now.Phase || told.at[i].Before(now.At) {
				t.Errorf("%v began at %v in %v, and is told at %+v", s, s.Start, s.Phase, now)
			}
			before := !now.At.After(r.Triggered) && now.Remaining == 0
			if before && now.Elapsed != 0 || !before && (now.Elapsed != now.At.Sub(r.Triggered) || now.Elapsed+now.Remaining != budget.Total) {
				t.Errorf("%v is told %v after the trigger, %v before the deadline", s, now.Elapsed, now.Remaining)
			}
			if s.Kind == report.KindPhase && (now.Phase != s.Phase || s.Duration != 0) || s.Kind == report.KindTransition && now.State != s.State {
				t.Errorf("%v is told as it was over, at %+v", s, now)
			}
			last = now
		}
	})
}

// G9: each call is told when it begins, and has no end then; and when it is over.
func TestG9_CallsBeginAndEnd(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		told, r := everything(t, d, hang)
		began := map[string]report.Step{}
		for _, s := range told.steps {
			switch s.Kind {
			case report.KindBegin:
				if s.Result != 0 || s.Duration != 0 || s.Failed() || s.Err != nil || !s.Now.At.Equal(s.Start) {
					t.Errorf("the begin of a call is %+v", s)
				}
				began[s.Subject()] = s
			case report.KindCall:
				begin, ok := began[s.Subject()]
				if !ok || s.Op != begin.Op || !s.Start.Equal(begin.Start) || s.Phase != begin.Phase || s.Result == 0 || s.Now.At.Sub(s.Start) != s.Duration {
					t.Errorf("%+v\nbegan as\n%+v", s, begin)
				}
				delete(began, s.Subject())
			}
		}
		if len(began) > 0 {
			t.Errorf("never ended: %v", began)
		}
		for _, s := range r.Steps {
			if s.Kind > report.KindCall {
				t.Errorf("the report has the step %v, of kind %v", s, s.Kind)
			}
		}
	})
}

// Questions to a server that it answers are no steps; a call of the user's code that is
// late is told once, as late, and not again when it comes back.
func TestG9_LateCallsAreToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		told := &listeningTo{}
		c := mustNew(t, budget, noSignals, controller.WithObserver("o", told.observe),
			controller.WithCloser("slow", func() { time.Sleep(time.Second) }),
			controller.WithCloser("late", func() { time.Sleep(600 * time.Millisecond) }, controller.Timeout(500*time.Millisecond)))
		r, _ := runAfter(c, time.Minute)
		n := 0
		for i, s := range told.steps {
			if s.Kind == report.KindCall && s.Name == "late" {
				n++
				if at := told.at[i].Sub(r.Triggered); s.Result != report.ResultTimedOut || at != 500*time.Millisecond {
					t.Errorf("%v, told after %v", s, at)
				}
			}
		}
		if n != 1 {
			t.Errorf("told %d times", n)
		}
		if s := step(t, r, report.OpClose, "late"); s.Result != report.ResultTimedOut || s.Duration != 600*time.Millisecond || s.Abandoned {
			t.Errorf("the report has %v, which took %v", s, s.Duration)
		}
	})
}

// G9: observers hear what each server has in flight as the drain begins and as the timer
// fires, as soon as it has said so; servers that stop last are not asked.
func TestG9_WorkIsTold(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		told, r := everything(t, d, hang)
		type want struct {
			after time.Duration
			state fsm.State
			n     int
		}
		wants := []want{{2001 * time.Millisecond, fsm.GracefulShutdown, 1}, {6 * time.Second, fsm.TimerExpired, 3}}
		for _, s := range told.steps {
			if s.Kind != report.KindWork {
				continue
			}
			if s.Name != "s" || len(wants) == 0 {
				t.Errorf("%v is told", s)
				continue
			}
			w := wants[0]
			wants = wants[1:]
			work := numbered(w.n)
			for i := range work {
				work[i].Server = "s"
			}
			if s.Start.Sub(r.Triggered) != w.after || s.State != w.state || !slices.Equal(s.Work, work) {
				t.Errorf("%v after %v in %v: %v; want %v", s, s.Start.Sub(r.Triggered), s.State, s.Work, w)
			}
		}
		if len(wants) > 0 {
			t.Errorf("never told: %v", wants)
		}
	})
}

// G9, G13: the summary is one step, the last before the flushers, with the report as far
// as it is known then.
func TestG9_Summary(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		told, r := everything(t, d, hang)
		at := slices.IndexFunc(told.steps, func(s report.Step) bool { return s.Kind == report.KindSummary })
		if at < 0 {
			t.Fatalf("told %v", told.steps)
		}
		for i, s := range told.steps {
			flusher := s.Op == report.OpFlush || s.Name == "admin" && (s.Op == report.OpGracefulStop || s.Op == report.OpServe && s.Kind == report.KindCall)
			if i != at && s.Kind == report.KindSummary || flusher != (i > at) {
				t.Errorf("%v is step %d, and the summary is step %d", s, i, at)
			}
		}
		known := told.steps[at].Report
		if known == nil || known.Outcome != r.Outcome || known.ExitCode() != r.ExitCode() || known.CauseText != "asked for" ||
			!slices.Equal(known.Path, r.Path) || len(known.Failures()) != len(r.Failures()) || !slices.Equal(known.Work, r.Work) || len(known.Deliveries) != 0 {
			t.Errorf("the summary has\n%v\nthe report is\n%v", known, r)
		}
	})
}

// G8: what an observer does to a Step that it was given is nothing to the report.
func TestG8_ObserverThatScribbles(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		_, r := everything(t, d, hang, controller.WithObserver("vandal", func(s report.Step) {
			for i := range s.Work {
				s.Work[i].Server = "changed"
			}
			if s.Report != nil {
				for i := range s.Report.Path {
					s.Report.Path[i] = 0
				}
				for i := range s.Report.Steps {
					s.Report.Steps[i].Name = "changed"
				}
				for i := range s.Report.Work {
					s.Report.Work[i].Server = "changed"
				}
			}
		}))
		wantPath(t, r, true)
		if strings.Contains(r.String(), "changed") || r.Steps[0].Name != "start" || len(r.Work) == 0 || r.Work[0].Server != "s" {
			t.Errorf("the report is\n%v", r)
		}
	})
}

// G9: the logger sees nothing that another observer does not: a log made from what an
// observer was told has all facts of the log's lines.
func TestG9_TheLoggerIsAnObserver(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		var log bytes.Buffer
		told, r := everything(t, d, hang, controller.WithLogger(zerolog.New(&log)))
		lines := map[report.Kind]int{}
		for _, s := range told.steps {
			switch {
			case s.Kind == report.KindBegin, s.Kind == report.KindCall && !s.Failed() && s.Err == nil, s.Kind == report.KindCall && s.Op == report.OpFlush:
			case s.Kind == report.KindWork && s.State == fsm.GracefulShutdown && report.Sum(s.Work).Running == 0, s.Kind == report.KindWork && len(report.StillRunning(s.Work)) == 0:
			default:
				lines[s.Kind]++
			}
		}
		want := 0
		for _, n := range lines {
			want += n
		}
		if got := strings.Count(log.String(), "\n"); got != want {
			t.Errorf("%d lines, want %d of %v:\n%s", got, want, lines, &log)
		}
		i := slices.IndexFunc(r.Deliveries, func(l report.Delivery) bool { return l.Op == report.OpLog })
		j := slices.IndexFunc(r.Deliveries, func(l report.Delivery) bool { return l.Name == "o" })
		if r.Deliveries[i].Told < want || r.Deliveries[i].Missed != 0 || r.Deliveries[j].Told != len(told.steps) {
			t.Errorf("told %v, want at least %d for the lines, of %d", r.Deliveries, want, len(told.steps))
		}
	})
}

// A log line has each duration twice: as text, and as a number of seconds.
func TestLogHasNumbers(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		var log bytes.Buffer
		everything(t, d, hang, controller.WithLogger(zerolog.New(&log)))
		for line := range strings.Lines(log.String()) {
			for _, name := range []string{"elapsed", "remaining", "duration", "total", "settle", "reserve", "took"} {
				if text, number := strings.Contains(line, `"`+name+`":"`), strings.Contains(line, `"`+name+`_seconds":`); text != number {
					t.Errorf("%s: as text %v, as a number %v in %s", name, text, number, line)
				}
			}
		}
		if !strings.Contains(log.String(), `"elapsed":"6s","elapsed_seconds":6,"remaining":"4s","remaining_seconds":4,`) {
			t.Errorf("the log is\n%s", &log)
		}
	})
}

// A Host is the controller: what a server does with it is what the owner could do.
func TestHost(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		var host lastcall.Host
		c := mustNew(t, budget, noSignals, withServer("h", &hosting{&full{server: newServer(d, "h", time.Second)}, func(h lastcall.Host) { host = h }}))
		time.AfterFunc(time.Minute, func() {
			<-c.Serving() // Attach has returned
			if _, known := host.Deadline(); !host.Ready() || host.Phase() != lastcall.PhaseServe || known || !open(host.Life().Draining()) {
				t.Errorf("ready %v in phase %v, deadline known: %v", host.Ready(), host.Phase(), known)
			}
			host.Shutdown(errAsked)
			host.Shutdown(errPort)
		})
		time.AfterFunc(time.Minute+2500*time.Millisecond, func() {
			<-c.Serving()
			at, known := host.Deadline()
			timer, armed := host.Life().TimerAt()
			if host.Ready() || host.Phase() != lastcall.PhaseDrain || !known || at.Sub(d.start) != 70*time.Second || !armed || timer.Sub(d.start) != 66*time.Second || open(host.Life().Draining()) {
				t.Errorf("ready %v in phase %v, deadline %v", host.Ready(), host.Phase(), at.Sub(d.start))
			}
		})
		r := c.Run(context.Background())
		if !errors.Is(r.Cause, errAsked) {
			t.Errorf("cause %v", r.Cause)
		}
		wantExit(t, r, report.ExitOK)
	})
}
