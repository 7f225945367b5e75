package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/transitions"
)

// quietScreen is a screen whose ticker a test turns by hand.
func quietScreen(redraw bool) (*screen, *strings.Builder) {
	var out strings.Builder
	return &screen{out: &out, redraw: redraw, ledger: newLedger()}, &out
}

// steps are those of a shutdown that begins at t.
func steps(t time.Time) []report.Step {
	begun, _ := transitions.Shutdown().Next(fsm.Serving, fsm.GracefulShutdownCalled)
	const total = 6 * time.Second
	at := func(d time.Duration, s report.Step) report.Step {
		s.Start, s.Elapsed, s.Remaining = t.Add(d), d, total-d
		return s
	}
	return []report.Step{
		{Kind: report.KindPhase, State: fsm.Serving, Phase: lastcall.PhaseStart},
		{Kind: report.KindPhase, State: fsm.Serving, Phase: lastcall.PhaseServe},
		at(0, report.Step{Kind: report.KindPhase, State: fsm.Serving, Phase: lastcall.PhaseAnnounce}),
		at(time.Second, report.Step{Kind: report.KindTransition, State: fsm.GracefulShutdown, Phase: lastcall.PhaseDrain, Transition: begun}),
		at(time.Second, report.Step{Kind: report.KindPhase, State: fsm.GracefulShutdown, Phase: lastcall.PhaseDrain}),
		at(0, report.Step{Kind: report.KindCall, State: fsm.Serving, Phase: lastcall.PhaseServe, Duration: 1500 * time.Millisecond, Op: report.OpWork, Name: "jobs", Result: report.ResultFailed, Err: errors.New("no"), Text: "no"}),
		at(0, report.Step{Kind: report.KindCall, Result: report.ResultOK}),
	}
}

func TestScreenLines(t *testing.T) {
	s, out := quietScreen(false)
	s.ledger.enter(place{replicaA, methodCall})
	s.ledger.enter(place{replicaA, methodSlow})
	s.ledger.enter(place{replicaB, methodCall})
	for _, step := range steps(time.Now()) {
		s.step(step)
	}
	want := `SERVING  Server Started
        -        -  serve      2   1  ready
   0.000s   6.000s  announce   2   1  health NOT_SERVING, no new jobs
GRACEFUL_SHUTDOWN  Graceful Shutdown Called (with Timeout)
   1.000s   5.000s  drain      2   1  new connections refused, RPCs finish
   1.500s   4.500s  drain      2   1  worker "jobs" failed: no
`
	if out.String() != want {
		t.Errorf("the screen shows\n%s\nwant\n%s", out, want)
	}
}

// TestScreenInAPipe: between the phases there is a line only if something changed,
// and not too often.
func TestScreenInAPipe(t *testing.T) {
	start := time.Now()
	s, out := quietScreen(false)
	s.show(start) // nothing has begun: nothing to show
	for _, step := range steps(start)[:5] {
		s.step(step)
	}
	before := out.String()
	more := func() string {
		defer func() { before = out.String() }()
		return strings.TrimPrefix(out.String(), before)
	}
	drain := start.Add(time.Second)

	s.show(drain.Add(2 * printEvery))
	if got := more(); got != "" {
		t.Errorf("nothing changed, and it printed %q", got)
	}
	s.ledger.enter(place{replicaB, methodCall})
	s.show(drain.Add(printEvery - 1))
	if got := more(); got != "" {
		t.Errorf("too soon it printed %q", got)
	}
	s.show(drain.Add(printEvery))
	if got, want := more(), "   1.500s   4.500s  drain      0   1  GRACEFUL_SHUTDOWN\n"; got != want {
		t.Errorf("it printed %q, want %q", got, want)
	}
}

// TestScreenOnATerminal: the live line is drawn over itself, and is gone when
// another line comes.
func TestScreenOnATerminal(t *testing.T) {
	start := time.Now()
	s, out := quietScreen(true)
	for _, step := range steps(start)[:5] {
		s.step(step)
	}
	at := out.Len()
	s.show(start.Add(2 * time.Second))
	s.show(start.Add(3 * time.Second))
	s.print("done\n")
	s.print("really\n")
	line := "   3.000s   3.000s  drain      0   0  GRACEFUL_SHUTDOWN"
	want := "\r   2.000s   4.000s  drain      0   0  GRACEFUL_SHUTDOWN\r" + line + "\r" + strings.Repeat(" ", len(line)) + "\rdone\nreally\n"
	if got := out.String()[at:]; got != want {
		t.Errorf("it wrote %q\nwant     %q", got, want)
	}
}
