package controller_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
)

// telling is a server that tells of its work.
type telling struct {
	*server
	lastcall.Unimplemented
	inFlight func(n int) []lastcall.Work // the nth call, from 1
	notes    func() []string
	calls    int
}

func (s *telling) InFlight() []lastcall.Work {
	s.d.mu.Lock() // calls may overlap
	s.calls++
	n := s.calls
	s.d.mu.Unlock()
	s.d.note(s.name + " inflight")
	return s.inFlight(n)
}

func (s *telling) Notes() []string {
	s.d.note(s.name + " notes")
	if s.notes == nil {
		return nil
	}
	return s.notes()
}

// numbered returns work that tells one call from another.
func numbered(n int) []lastcall.Work {
	return []lastcall.Work{{Server: "?", Name: "/a.B/C", Kind: lastcall.WorkUnary, Completed: n}, {Name: "/a.B/D", Kind: lastcall.WorkBidiStream, Late: n}}
}

// InFlight is called at the drain, right before the timer, at the timer and the end, Notes at the end, and the
// report has what came last, in the order of registration.
func TestInFlightAndNotes(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := &telling{server: newServer(d, "s", time.Hour), inFlight: numbered, notes: func() []string { return []string{"one", "two"} }}
		s.stop = func() { time.Sleep(100 * time.Millisecond) }
		q := &telling{server: newServer(d, "q", 0), inFlight: numbered, notes: func() []string { return []string{"three"} }}
		r, took := runAfter(mustNew(t, budget, noSignals, withServer("s", s), withServer("q", q)), time.Minute)
		wantTook(t, took, 6*time.Second+100*time.Millisecond)
		wantExit(t, r, report.ExitInterrupted)
		slices.Sort(d.lines)
		d.want(t, "q graceful 1m2s", "q inflight 1m2s", "q inflight 1m6.1s", "q inflight 1m6s", "q notes 1m6.1s",
			"s graceful 1m2s", "s inflight 1m2s", "s inflight 1m5s", "s inflight 1m6.1s", "s inflight 1m6s", "s notes 1m6.1s", "s stop 1m6s")
		var work []lastcall.Work
		for _, name := range []string{"s", "q"} {
			n := map[string]int{"s": 4, "q": 3}[name] // q has ended when progress is told
			for _, w := range numbered(n) {
				w.Server = name
				work = append(work, w)
			}
		}
		if !slices.Equal(r.Work, work) {
			t.Errorf("the report has the work\n%v, want\n%v", r.Work, work)
		}
		if notes := []report.Note{{Server: "s", Text: "one"}, {Server: "s", Text: "two"}, {Server: "q", Text: "three"}}; !slices.Equal(r.Notes, notes) {
			t.Errorf("the report has the notes %v, want %v", r.Notes, notes)
		}
		if slices.ContainsFunc(r.Steps, func(s report.Step) bool { return s.Op == report.OpInFlight || s.Op == report.OpNotes }) {
			t.Errorf("calls that came back are among the steps\n%v", r)
		}
	})
}

// Work that other code has cut off, before the timer, was stopped and not drained; that of a server
// that stops last is cut when the flushers have run.
func TestWorkThatOtherCodeHasCut(t *testing.T) {
	for name, tt := range map[string]struct {
		last    bool
		outcome report.Outcome
		code    int
	}{
		"cut":             {false, report.OutcomeStopped, report.ExitInterrupted},
		"cut, stops last": {true, report.OutcomeDrained, report.ExitOK},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				s := &telling{server: newServer(d, "s", 0), inFlight: func(int) []lastcall.Work {
					return []lastcall.Work{{Name: "/a.B/C", Kind: lastcall.WorkUnary, Before: 1, Cut: 1}}
				}, notes: func() []string { return nil }}
				var served lastcall.FullServer = s
				if tt.last {
					served = lastcall.Last(s)
				}
				r, _ := runAfter(mustNew(t, budget, noSignals, withServer("s", served)), time.Minute)
				wantExit(t, r, tt.code)
				if r.Outcome != tt.outcome || len(r.Work) != 1 {
					t.Error(r)
				}
			})
		})
	}
}

// answerTime is how long the last line waits for what servers answer.
const answerTime = 500 * time.Millisecond

// G8: InFlight and Notes that hang, panic or exit are in the report, are waited for
// by nothing but the last line, and leave no earlier answer behind.
func TestG8_InFlightFails(t *testing.T) {
	for name, tt := range map[string]struct {
		last   func(hang func())
		result report.Result
		took   time.Duration // after the closer began
	}{
		"hangs":    {func(hang func()) { hang() }, report.ResultTimedOut, answerTime},
		"panics":   {func(func()) { panic("as drawn") }, report.ResultPanicked, 0},
		"exits":    {func(func()) { runtime.Goexit() }, report.ResultGoexit, 0},
		"is slow":  {func(func()) { time.Sleep(2 * answerTime) }, report.ResultTimedOut, answerTime},
		"is quick": {func(func()) { time.Sleep(answerTime - time.Millisecond) }, report.ResultOK, answerTime - time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				var log bytes.Buffer
				s := &telling{server: newServer(d, "s", time.Second), inFlight: func(n int) []lastcall.Work {
					if n == 2 {
						tt.last(hang)
					}
					return numbered(n)
				}, notes: func() []string { tt.last(hang); return []string{"a note"} }}
				c := mustNew(t, budget, noSignals, withServer("s", s), controller.WithLogger(zerolog.New(&log)),
					controller.WithCloser("c", func() { d.note("close") }))
				r, took := runAfter(c, time.Minute)
				wantTook(t, took, 3*time.Second+tt.took)
				synctest.Wait()
				if !slices.Contains(d.lines, "close 1m3s") {
					t.Errorf("the closer had to wait: %q", d.lines)
				}
				if tt.result == report.ResultOK {
					if len(r.Work) != 2 || r.Work[0].Completed != 2 || len(r.Notes) != 1 || !strings.Contains(log.String(), `"completed":2,`) {
						t.Errorf("the report has the work %v and the notes %v, the log is\n%s", r.Work, r.Notes, &log)
					}
					wantExit(t, r, report.ExitOK)
					return
				}
				if tt.result == report.ResultTimedOut {
					wantExit(t, r, report.ExitOK)
				} else {
					wantExit(t, r, report.ExitStep)
				}
				if r.Work != nil || r.Notes != nil || strings.Contains(log.String(), "completed") {
					t.Errorf("the report has the work %v and the notes %v, the log is\n%s", r.Work, r.Notes, &log)
				}
				for _, op := range []report.Op{report.OpInFlight, report.OpNotes} {
					got := step(t, r, op, "s")
					if got.Result != tt.result || got.Abandoned != (tt.result == report.ResultTimedOut) || got.Phase != lastcall.PhaseDrain {
						t.Errorf("%v, abandoned: %v, begun in phase %v", got, got.Abandoned, got.Phase)
					}
					if !strings.Contains(log.String(), fmt.Sprintf(`"message":"%s \"s\" %v"`, op, tt.result)) {
						t.Errorf("the log does not tell of %v:\n%s", got, &log)
					}
				}
				if !strings.Contains(log.String(), fmt.Sprintf(`"exit_code":%d,"message":"shutdown complete`, r.ExitCode())) {
					t.Errorf("the last line has another exit code:\n%s", &log)
				}
			})
		})
	}
}

// G8: a first InFlight that hangs is named, in the order in which things began, and
// takes nothing from the last one.
func TestG8_FirstInFlightHangs(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		s := &telling{server: newServer(d, "s", time.Second), inFlight: func(n int) []lastcall.Work {
			if n == 1 {
				hang()
			}
			return numbered(n)
		}}
		r, took := runAfter(mustNew(t, budget, noSignals, withServer("s", s)), time.Minute)
		wantTook(t, took, 3*time.Second)
		if len(r.Work) != 2 || r.Work[0].Completed != 2 {
			t.Errorf("the report has the work %v", r.Work)
		}
		if got := step(t, r, report.OpInFlight, "s"); !got.Abandoned || got.Phase != lastcall.PhaseDrain {
			t.Errorf("%v, abandoned: %v", got, got.Abandoned)
		}
		if !slices.IsSortedFunc(r.Steps, func(a, b report.Step) int { return a.Start.Compare(b.Start) }) {
			t.Errorf("the steps are out of order: %v", r.Steps)
		}
	})
}

// An answer that comes when the next one has been asked for is not logged.
func TestStaleInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		var log bytes.Buffer
		s := &telling{server: newServer(d, "s", time.Hour), inFlight: func(n int) []lastcall.Work {
			switch n {
			case 1:
				time.Sleep(4*time.Second + 50*time.Millisecond) // till after the timer
			case 2:
				time.Sleep(10 * time.Millisecond)
			}
			return []lastcall.Work{{Name: fmt.Sprintf("/call/%d", n), Kind: lastcall.WorkUnary, Running: n}}
		}}
		s.stop = func() { time.Sleep(100 * time.Millisecond) }
		r, _ := runAfter(mustNew(t, budget, noSignals, withServer("s", s), controller.WithLogger(zerolog.New(&log))), time.Minute)
		if len(r.Work) != 1 || r.Work[0].Running != 3 {
			t.Errorf("the report has the work %v", r.Work)
		}
		if strings.Contains(log.String(), `"message":"in flight"`) || strings.Count(log.String(), `"name":"/call/2","kind":"unary","running":2`) != 1 {
			t.Errorf("the log is\n%s", &log)
		}
	})
}

// What a server does to its slices later is nothing to the report, and what one
// caller does to its report is nothing to the others.
func TestG6_WorkIsCopied(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		work, notes := numbered(7), []string{"a note"}
		s := &telling{server: newServer(d, "s", 0), inFlight: func(int) []lastcall.Work { return work }, notes: func() []string { return notes }}
		c := mustNew(t, budget, noSignals, withServer("s", s), controller.WithCloser("c", func() {
			synctest.Wait() // both have come back
			if work[0].Server != "?" {
				t.Error("the controller has written into a slice of the server's")
			}
			work[0].Completed, notes[0] = 8, "another"
		}))
		r, _ := runAfter(c, time.Minute)
		r.Work[1].Late, r.Notes[0].Server = 9, "another"
		if again, _ := c.Wait(t.Context()); again.Work[0].Completed != 7 || again.Work[1].Late != 7 || again.Notes[0] != (report.Note{Server: "s", Text: "a note"}) {
			t.Errorf("work %v, notes %v", again.Work, again.Notes)
		}
	})
}

// Whatever a server tells, the report can be written.
func TestStrangeWork(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		var log bytes.Buffer
		far := time.Date(20000, 1, 1, 0, 0, 0, 0, time.FixedZone("far", 99*3600))
		s := &telling{server: newServer(d, "s", time.Hour), inFlight: func(int) []lastcall.Work {
			work := []lastcall.Work{
				{Name: "line\nbreak", Kind: "unheard of", Running: 3, Oldest: far, Peer: "a\nb"},
				{Name: "negative", Kind: lastcall.WorkUnary, Running: -1, Completed: -5},
			}
			for i := range 12 {
				work = append(work, lastcall.Work{Name: fmt.Sprintf("/m/%d", i), Kind: lastcall.WorkUnary, Running: i})
			}
			return work
		}, notes: func() []string { return []string{"first\nsecond", ""} }}
		r, _ := runAfter(mustNew(t, budget, noSignals, withServer("s", s), controller.WithLogger(zerolog.New(&log))), time.Minute)
		text, err := json.Marshal(r)
		if err != nil || !strings.Contains(string(text), `"oldest":"19999-12-27T21:00:00Z"`) {
			t.Errorf("%v\n%s", err, text)
		}
		for _, want := range []string{"  running   line | break x3, oldest -", ", peer a | b\n", "  running   /m/11 x11\n", "  note      \"s\": first | second\n"} {
			if !strings.Contains(r.String(), want) {
				t.Errorf("the summary does not say %q:\n%v", want, r)
			}
		}
		synctest.Wait()
		for line := range strings.SplitSeq(log.String(), "\n") {
			if !strings.Contains(line, "still in flight") {
				continue
			}
			if n := strings.Count(line, `"name":`); n != 10 || !strings.Contains(line, `"names_left_out":2`) || !strings.Contains(line, `[{"name":"/m/11","kind":"unary","running":11},`) {
				t.Errorf("the line lists %d names: %s", n, line)
			}
			return
		}
		t.Errorf("the log does not say what is in flight:\n%s", &log)
	})
}

// G9: what a server answers after the summary, with the deadline near, is not in the report
// either: both tell the same.
func TestG9_AnswerAfterTheSummary(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := &telling{server: newServer(d, "s", time.Millisecond), inFlight: func(n int) []lastcall.Work {
			if n == 2 {
				time.Sleep(200 * time.Millisecond)
			}
			return numbered(n)
		}, notes: func() []string { return nil }}
		var summary report.Report
		r, took := runAfter(mustNew(t, lastcall.Budget{Total: 300 * time.Millisecond, Reserve: 100 * time.Millisecond}, noSignals, withServer("s", s),
			controller.WithObserver("o", func(s report.Step) {
				if s.Kind == report.KindSummary {
					summary = *s.Report
				}
			}), controller.WithFlusher("f", func() { time.Sleep(150 * time.Millisecond) })), time.Minute)
		wantTook(t, took, time.Millisecond+299*time.Millisecond/3+150*time.Millisecond)
		if len(r.Steps) == 0 || !slices.Equal(r.Work, summary.Work) {
			t.Errorf("the summary has the work %v, the report %v", summary.Work, r.Work)
		}
		if got := step(t, r, report.OpInFlight, "s"); got.Result != report.ResultTimedOut {
			t.Errorf("%v", got)
		}
	})
}
