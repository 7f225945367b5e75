package report_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

var (
	errAsked = errors.New("asked for")
	errDisk  = errors.New("disk full")
	trigger  = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
)

// drained is the report of a shutdown in which all went well.
func drained() report.Report {
	at := func(after time.Duration) time.Time { return trigger.Add(after) }
	return report.Report{
		Cause: errAsked, CauseText: "asked for", Outcome: report.OutcomeDrained, Settle: report.SettleTime,
		Path: []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.Terminated},
		Steps: []report.Step{
			{Kind: report.KindPhase, Name: "announce", State: fsm.Serving, Phase: lastcall.PhaseAnnounce, Start: trigger},
			{Kind: report.KindPhase, Name: "settle", State: fsm.Serving, Phase: lastcall.PhaseSettle, Start: trigger, Duration: 2 * time.Second},
			{Kind: report.KindPhase, Name: "drain", State: fsm.GracefulShutdown, Phase: lastcall.PhaseDrain, Start: at(2 * time.Second), Duration: 1500 * time.Millisecond},
			{Kind: report.KindCall, Name: "grpc", Op: report.OpGracefulStop, State: fsm.GracefulShutdown, Phase: lastcall.PhaseDrain, Start: at(2 * time.Second), Duration: 1500 * time.Millisecond, Result: report.ResultOK},
			{Kind: report.KindPhase, Name: "close", State: fsm.Terminated, Phase: lastcall.PhaseClose, Start: at(3500 * time.Millisecond), Duration: time.Millisecond},
		},
		Work: []lastcall.Work{
			{Server: "grpc", Name: "/a.B/Get", Kind: lastcall.WorkUnary, Served: 9, Before: 3, Arrived: 4, Late: 1, Completed: 5, Running: 2, Oldest: trigger, Peer: "10.0.0.1:80"},
			{Server: "grpc", Name: "/a.B/Watch", Kind: lastcall.WorkBidiStream, Before: 2, Cancelled: 1, Cut: 1, Slowest: [3]lastcall.EndedWork{{Began: trigger.Add(-time.Hour), Ended: at(time.Second), Fate: "cut"}, {Began: trigger, Ended: trigger, Fate: "cancelled"}}},
			{Server: "grpc", Name: "/health", Kind: lastcall.WorkInfra, Before: 1, Running: 1},
			{Server: "web", Name: "GET /", Kind: lastcall.WorkRequest, Arrived: 1, Completed: 1},
		},
		Notes:      []report.Note{{Server: "web", Text: "two\nlines"}},
		Deliveries: []report.Delivery{{Op: report.OpObserve, Name: "metrics", Told: 12}, {Op: report.OpLog, Told: 3, Missed: 2, Busy: true}},
		Budget:     lastcall.Budget{Total: 10 * time.Second, Settle: 2 * time.Second, Reserve: 4 * time.Second},
		Begun:      trigger.Add(-time.Hour), Triggered: trigger, Timer: at(6 * time.Second), Deadline: at(10 * time.Second), Ended: at(3501 * time.Millisecond),
	}
}

// failed returns a call that ended like that.
func failed(op report.Op, name string, result report.Result, err error) report.Step {
	s := report.Step{Kind: report.KindCall, Op: op, Name: name, State: fsm.Terminated, Phase: lastcall.PhaseClose, Start: trigger.Add(3500 * time.Millisecond), Duration: 20 * time.Millisecond, Result: result, Err: err}
	if err != nil {
		s.Text = err.Error()
	}
	return s
}

// The exit code is the first that fits, in the order that the constants' comment gives.
func TestExitCode(t *testing.T) {
	notRun := func(r *report.Report) { r.NotRun = errors.New("ran before") }
	fail := func(r *report.Report) { r.Failed = true }
	outcome := func(o report.Outcome) func(*report.Report) { return func(r *report.Report) { r.Outcome = o } }
	step := func(s report.Step) func(*report.Report) {
		return func(r *report.Report) { r.Steps = append(r.Steps, s) }
	}
	closer := step(failed(report.OpClose, "db", report.ResultFailed, errDisk))
	for name, tt := range map[string]struct {
		change []func(*report.Report)
		want   int
	}{
		"all well":                  {nil, report.ExitOK},
		"cancelled":                 {[]func(*report.Report){outcome(report.OutcomeCancelled)}, report.ExitInterrupted},
		"stopped":                   {[]func(*report.Report){outcome(report.OutcomeStopped), closer}, report.ExitInterrupted},
		"cut":                       {[]func(*report.Report){outcome(report.OutcomeCut)}, report.ExitInterrupted},
		"abandoned":                 {[]func(*report.Report){outcome(report.OutcomeAbandoned), closer}, report.ExitAbandoned},
		"failed":                    {[]func(*report.Report){fail}, report.ExitFailed},
		"failed and abandoned":      {[]func(*report.Report){fail, outcome(report.OutcomeAbandoned), closer}, report.ExitFailed},
		"not run":                   {[]func(*report.Report){notRun, fail}, report.ExitNotRun},
		"no outcome":                {[]func(*report.Report){outcome(0), fail}, report.ExitNotRun},
		"a closer fails":            {[]func(*report.Report){closer}, report.ExitStep},
		"a closer panics":           {[]func(*report.Report){step(failed(report.OpClose, "db", report.ResultPanicked, nil))}, report.ExitStep},
		"a closer is late":          {[]func(*report.Report){step(failed(report.OpClose, "db", report.ResultTimedOut, nil))}, report.ExitStep},
		"a question is late":        {[]func(*report.Report){step(failed(report.OpInFlight, "grpc", report.ResultTimedOut, nil)), step(failed(report.OpNotes, "grpc", report.ResultTimedOut, nil)), step(failed(report.OpLastArrival, "grpc", report.ResultTimedOut, nil)), step(failed(report.OpText, "cause", report.ResultTimedOut, nil))}, report.ExitOK},
		"a question panics":         {[]func(*report.Report){step(failed(report.OpInFlight, "grpc", report.ResultPanicked, nil))}, report.ExitStep},
		"a call that still runs":    {[]func(*report.Report){step(failed(report.OpServe, "admin", 0, nil))}, report.ExitOK},
		"a phase has no result":     {[]func(*report.Report){step(report.Step{Kind: report.KindPhase, Result: report.ResultFailed})}, report.ExitOK},
		"the begin has no result":   {[]func(*report.Report){step(report.Step{Kind: report.KindBegin, Op: report.OpClose, Result: report.ResultFailed})}, report.ExitOK},
		"a Serve that was told to":  {[]func(*report.Report){step(failed(report.OpServe, "s", report.ResultOK, errDisk))}, report.ExitOK},
		"an abandoned call that is": {[]func(*report.Report){step(report.Step{Kind: report.KindCall, Op: report.OpFlush, Result: report.ResultTimedOut, Abandoned: true})}, report.ExitStep},
	} {
		t.Run(name, func(t *testing.T) {
			r := drained()
			for _, change := range tt.change {
				change(&r)
			}
			if got := r.ExitCode(); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
			if err := r.Err(); (err == nil) != (tt.want == report.ExitOK) {
				t.Errorf("Err() is %v with the exit code %d", err, tt.want)
			}
		})
	}
}

// Err wraps what failed, and the cause only if that is a failure.
func TestErr(t *testing.T) {
	r := drained()
	r.Steps = append(r.Steps, failed(report.OpClose, "db", report.ResultFailed, errDisk), failed(report.OpFlush, "traces", report.ResultTimedOut, nil))
	want := `shutdown: drained in 3.501s of 10s (asked for); "grpc": 1 cancelled, 1 cut, 2 still running, such as /a.B/Get; closer "db" failed: disk full; flusher "traces" timed out`
	if err := r.Err(); err == nil || err.Error() != want || !errors.Is(err, errDisk) || errors.Is(err, errAsked) {
		t.Errorf("Err() is %v", err)
	}
	r.Failed = true
	if err := r.Err(); !errors.Is(err, errDisk) || !errors.Is(err, errAsked) {
		t.Errorf("Err() of a failure is %v", err)
	}
	r.NotRun = errDisk
	if err := r.Err(); err != errDisk { //nolint:errorlint // this very value
		t.Errorf("Err() of what was not run is %v", err)
	}
}

// The zero Report is that of no shutdown, and its methods work.
func TestZeroReport(t *testing.T) {
	var none report.Report
	if none.ExitCode() != report.ExitNotRun || none.Err() == nil || none.String() != "report: no shutdown" || none.Took() != 0 || none.Failures() != nil || none.Abandoned() != nil {
		t.Errorf("exit code %d, error %v, %q", none.ExitCode(), none.Err(), none)
	}
	text, err := none.MarshalJSON()
	for _, want := range []string{`"outcome":"none"`, `"path":[]`, `"steps":[]`, `"work":[]`, `"notes":[]`, `"deliveries":[]`, `"abandoned":[]`, `"exit_code":1`} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("the zero Report is %s, error %v; want %s", text, err, want)
		}
	}
}

// A clone shares nothing that can be changed.
func TestClone(t *testing.T) {
	r := drained()
	c := r.Clone()
	c.Path[0], c.Steps[0].Name, c.Work[0].Running, c.Notes[0].Text, c.Deliveries[0].Told = 0, "changed", 99, "changed", 99
	if again := drained(); fmt.Sprint(r) != fmt.Sprint(again) || r.Steps[0].Name != "announce" || r.Path[0] != fsm.Serving || r.Deliveries[0].Told != 12 {
		t.Errorf("changing a clone changed\n%v", r)
	}
}

// The warning of the timer does not say that there is work if only calls or infrastructure are
// left.
func TestWarningOfTheTimer(t *testing.T) {
	for want, kind := range map[string]lastcall.WorkKind{"still in flight": lastcall.WorkUnary, "nothing in flight, but still running": lastcall.WorkInfra} {
		s := report.Step{Kind: report.KindWork, Name: "grpc", Work: []lastcall.Work{{Name: "n", Kind: kind, Running: 1}}, Now: report.Moment{State: fsm.TimerExpired}}
		s.State = fsm.TimerExpired
		if l := s.Line(); l.Message != want || l.Level != slog.LevelWarn || !s.IsLogged() {
			t.Errorf("%s: %q at level %v", kind, l.Message, l.Level)
		}
	}
}

func TestReportString(t *testing.T) {
	r := drained()
	r.Forced = true
	late := failed(report.OpClose, "db", report.ResultTimedOut, nil)
	late.Abandoned = true
	r.Steps = append(r.Steps, late, failed(report.OpClose, "log", report.ResultFailed, errors.New("one\ntwo")))
	want := `shutdown: drained, forced in 3.501s of 10s (asked for), exit code 6
  path      SERVING -> GRACEFUL_SHUTDOWN -> TERMINATED
  phases    announce 0s, settle 2s (full time), drain 1.5s (last: GracefulStop "grpc"), close 1ms
  work      "grpc": 5 in flight at the trigger, 4 arrived (1 late): 5 completed, 1 cancelled, 1 cut, 2 still running
  running   /a.B/Get x2, oldest 3.501s, peer 10.0.0.1:80
  running   /health x1
  work      "web": 0 in flight at the trigger, 1 arrived (0 late): 1 completed, 0 cancelled, 0 cut, 0 still running
  note      "web": two | lines
  failed    closer "db" timed out; begun in phase close, took 20ms, at +3.52s, and has not returned
  failed    closer "log" failed: one | two; begun in phase close, took 20ms, at +3.52s
  delivery  logger has not returned, missed 2, failed 0, told 3
`
	if got := r.String(); got != want {
		t.Errorf("it says\n%s\nwant\n%s", got, want)
	}
	if names := r.Abandoned(); len(names) != 1 || names[0].Name != "db" {
		t.Errorf("abandoned %v", names)
	}
}

// Each duration in JSON is a number of seconds, with the unit in its name.
func TestReportJSON(t *testing.T) {
	r := drained()
	r.Steps = append(r.Steps, failed(report.OpClose, "db", report.ResultFailed, errDisk))
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"outcome": "drained", "exit_code": "6", "cause": "asked for", "forced": "false", "settle": "full time",
		"path": "[SERVING GRACEFUL_SHUTDOWN TERMINATED]", "took_seconds": "3.501", "abandoned": "[]",
		"budget": "map[min_settle_seconds:0 quiet_seconds:0 reserve_seconds:4 settle_seconds:2 total_seconds:10]",
		"begun":  "2026-08-01T11:00:00Z", "triggered": "2026-08-01T12:00:00Z", "deadline": "2026-08-01T12:00:10Z", "ended": "2026-08-01T12:00:03.501Z",
		"notes": "[map[server:web text:two\nlines]]",
	} {
		if fmt.Sprint(got[key]) != want {
			t.Errorf("%s is %v, want %s", key, got[key], want)
		}
	}
	for _, want := range []string{
		`{"kind":"phase","name":"settle","state":"SERVING","phase":"settle","start":"2026-08-01T12:00:00Z","elapsed_seconds":0,"remaining_seconds":0,"duration_seconds":2}`,
		`{"kind":"call","name":"db","op":"closer","state":"TERMINATED","phase":"close","start":"2026-08-01T12:00:03.5Z","elapsed_seconds":0,"remaining_seconds":0,"duration_seconds":0.02,"result":"failed","error":"disk full"}`,
		`{"server":"grpc","name":"/a.B/Get","kind":"unary","running":2,"oldest":"2026-08-01T12:00:00Z","peer":"10.0.0.1:80","served":9,"before":3,"arrived":4,"late":1,"completed":5,"cancelled":0,"cut":0}`,
		`{"op":"logger","told":3,"failed":0,"missed":2,"busy":true}`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("it lacks %s:\n%s", want, text)
		}
	}
	if n := len(got["steps"].([]any)); n != len(r.Steps) {
		t.Errorf("%d steps, want %d", n, len(r.Steps))
	}
}

// Words of the package: each value has one, and a value that is not one says so.
func TestWords(t *testing.T) {
	for want, got := range map[string]fmt.Stringer{
		"transition": report.KindTransition, "phase": report.KindPhase, "call": report.KindCall, "trigger": report.KindTrigger, "begin": report.KindBegin,
		"work": report.KindWork, "summary": report.KindSummary, "warning": report.KindWarning, "request": report.KindRequest, "Kind(0)": report.Kind(0), "progress": report.KindProgress, "Kind(11)": report.Kind(11), "Kind(255)": report.Kind(255),
		"ok": report.ResultOK, "failed": report.ResultFailed, "panicked": report.ResultPanicked, "called runtime.Goexit": report.ResultGoexit, "timed out": report.ResultTimedOut,
		"Result(0)": report.Result(0), "Result(6)": report.Result(6),
		"drained": report.OutcomeDrained, "cancelled": report.OutcomeCancelled, "stopped": report.OutcomeStopped, "cut": report.OutcomeCut, "abandoned": report.OutcomeAbandoned, "expired: idle peers": report.OutcomeIdle,
		"Outcome(0)": report.Outcome(0), "Outcome(7)": report.Outcome(7),
	} {
		if got.String() != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, s := range map[string]report.Step{
		"no step":                          {},
		"phase drain":                      {Kind: report.KindPhase, Phase: lastcall.PhaseDrain},
		"TERMINATED on drained":            {Kind: report.KindTransition, State: fsm.Terminated, Transition: fsm.Transition{Event: fsm.Drained}},
		`closer "db" failed: one | two`:    {Kind: report.KindCall, Op: report.OpClose, Name: "db", Result: report.ResultFailed, Text: "one\ntwo\n"},
		`closer "db" begins`:               {Kind: report.KindBegin, Op: report.OpClose, Name: "db"},
		"triggered: asked | for":           {Kind: report.KindTrigger, Text: "asked\nfor"},
		`work of "grpc"`:                   {Kind: report.KindWork, Name: "grpc"},
		"summary":                          {Kind: report.KindSummary},
		"warning: PID 1 is a shell":        {Kind: report.KindWarning, Text: "PID 1 is a shell"},
		"Shorten: spot | gone":             {Kind: report.KindRequest, Name: "Shorten", Text: "spot\ngone"},
		`GracefulStop "grpc" timed out`:    {Kind: report.KindCall, Op: report.OpGracefulStop, Name: "grpc", Result: report.ResultTimedOut},
		`worker "w" called runtime.Goexit`: {Kind: report.KindCall, Op: report.OpWork, Name: "w", Result: report.ResultGoexit},
	} {
		if got := s.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Causes say what happened, and can be taken apart.
func TestCauses(t *testing.T) {
	for want, err := range map[string]error{
		"signal: terminated":                      &report.SignalError{Signal: fakeSignal{}},
		"signal: nil":                             &report.SignalError{},
		"the context of Run ended: disk full":     &report.ContextError{Err: errDisk},
		`Serve "s" ended by itself`:               &report.EndedError{Op: report.OpServe, Name: "s", Result: report.ResultOK},
		`Serve "s" ended by itself: disk full`:    &report.EndedError{Op: report.OpServe, Name: "s", Result: report.ResultFailed, Err: errDisk, Text: "disk full"},
		`worker "w" ended by itself: panicked: x`: &report.EndedError{Op: report.OpWork, Name: "w", Result: report.ResultPanicked, Text: "x"},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
		if wraps := strings.Contains(want, "disk full"); errors.Is(err, errDisk) != wraps {
			t.Errorf("%v wraps its error: %v", err, !wraps)
		}
	}
}

type fakeSignal struct{}

func (fakeSignal) Signal()        {}
func (fakeSignal) String() string { return "terminated" }

var _ os.Signal = fakeSignal{}

// Sum adds up the work that a service is for; infrastructure and calls are apart.
func TestSum(t *testing.T) {
	got := report.Sum([]lastcall.Work{
		{Kind: lastcall.WorkUnary, Before: 1, Arrived: 2, Late: 3, Completed: 4, Cancelled: 5, Cut: 6, Running: 7},
		{Kind: lastcall.WorkBidiStream, Before: 10, Running: 20},
		{Kind: lastcall.WorkRequest, Arrived: 100}, {Kind: lastcall.WorkConn, Running: 200}, {Kind: lastcall.WorkTask, Cut: 300},
		{Kind: lastcall.WorkInfra, Before: 1000, Running: 2000}, {Kind: lastcall.WorkCall, Running: 5000},
	})
	if want := (report.Total{Before: 11, Arrived: 102, Late: 3, Completed: 4, Cancelled: 5, Cut: 306, Running: 227, Streams: 20, Infrastructure: 2000}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// StillRunning has what runs, most first, and leaves the slice that it was given alone.
func TestStillRunning(t *testing.T) {
	all := []lastcall.Work{{Name: "a", Running: 1}, {Name: "b"}, {Name: "c", Running: 3}, {Name: "d", Running: -1}, {Name: "e", Running: 1}}
	var names []string
	for _, w := range report.StillRunning(all) {
		names = append(names, w.Name)
	}
	if got := strings.Join(names, " "); got != "c a e" || all[0].Name != "a" || all[2].Name != "c" {
		t.Errorf("%q of %v", got, all)
	}
}

func TestRound(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "1µs": 1499, "2µs": 1501, "999.999ms": 999999400, "1s": time.Second, "1.235s": 1234567890, "-1.235s": -1234567890, "-20ms": -20 * time.Millisecond, "1h0m0s": time.Hour,
	} {
		if got := report.Round(d); got != want {
			t.Errorf("%v is shown as %q, want %q", d, got, want)
		}
	}
}

// A suspension is in the text and in the JSON, and costs no exit code.
func TestSuspended(t *testing.T) {
	r := drained()
	r.Suspended = 1500 * time.Millisecond
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		r.String():   "drained in 3.501s of 10s, suspended for 1.5s (asked for), exit code 0",
		string(text): `"suspended_seconds":1.5`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\ndoes not have %s", got, want)
		}
	}
}
