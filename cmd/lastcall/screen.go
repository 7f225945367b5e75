package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/transitions"
)

const (
	redrawEvery = 100 * time.Millisecond // the live line of a terminal
	printEvery  = 500 * time.Millisecond // lines of a pipe between two phases, at most
)

// screen shows a shutdown while it happens: a line for every transition, phase and
// failure, and in between the RPCs in flight. On a terminal the last line is drawn
// again and again. It may be used by any number of goroutines.
type screen struct {
	out    io.Writer
	redraw bool
	ledger *ledger
	quit   chan struct{}
	ticked chan struct{} // closed when the ticker is gone

	mu       sync.Mutex // guards what is below, and out
	state    fsm.State
	phase    lastcall.Phase
	trigger  time.Time // zero before the trigger
	deadline time.Time
	live     int    // how long the live line is
	last     [2]int // the RPCs in flight that were printed last
	lastAt   time.Time
}

// newScreen starts a screen. On a terminal it redraws, unless something else
// writes there as well.
func newScreen(out io.Writer, l *ledger, mayRedraw bool) *screen {
	s := &screen{out: out, ledger: l, redraw: mayRedraw && isTerminal(out), quit: make(chan struct{}), ticked: make(chan struct{})}
	go s.tick()
	return s
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()))
}

// close ends the live line and its ticker.
func (s *screen) close() {
	close(s.quit)
	<-s.ticked
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

// print shows lines that stay.
func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprint(s.out, text)
}

// step shows what the controller tells its observers.
func (s *screen) step(step report.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if step.Kind != report.KindCall {
		s.state = step.State
		if step.Phase >= lastcall.PhaseAnnounce {
			s.trigger, s.deadline = step.Start.Add(-step.Elapsed), step.Start.Add(step.Remaining)
		}
	}
	if step.Kind == report.KindPhase {
		s.phase = step.Phase
	}
	switch {
	case step.Kind == report.KindTransition:
		s.clear()
		fmt.Fprintf(s.out, "%v  %s\n", step.State, step.Transition.Label)
	case step.Phase == lastcall.PhaseStart && step.Kind == report.KindPhase:
		s.clear()
		fmt.Fprintf(s.out, "%v  %s\n", step.State, transitions.Shutdown().Label())
	case step.Kind == report.KindPhase:
		s.row(step.Start, meaning(step.Phase))
	case step.Failed():
		s.row(step.Start.Add(step.Duration), step.String())
	}
}

// meaning says what a phase does.
func meaning(p lastcall.Phase) string {
	return map[lastcall.Phase]string{
		lastcall.PhaseServe:    "ready",
		lastcall.PhaseAnnounce: "health NOT_SERVING, no new jobs",
		lastcall.PhaseSettle:   "still serving, clients move to b",
		lastcall.PhaseDrain:    "new connections refused, RPCs finish",
		lastcall.PhaseCancel:   "what still runs gets Unavailable, its context ends",
		lastcall.PhaseStop:     "Stop closes what is still open",
		lastcall.PhaseCut:      "connections that survived Stop are closed",
		lastcall.PhaseWait:     "for what was told to end",
		lastcall.PhaseClose:    "dependencies, last opened first",
		lastcall.PhaseFlush:    "logs, traces, metrics",
	}[p]
}

// tick shows the RPCs in flight while nothing else happens.
func (s *screen) tick() {
	defer close(s.ticked)
	ticker := time.NewTicker(redrawEvery)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			s.mu.Lock()
			s.show(now)
			s.mu.Unlock()
		case <-s.quit:
			return
		}
	}
}

// show draws the live line, or in a pipe prints a line if there is news.
func (s *screen) show(now time.Time) {
	if s.phase < lastcall.PhaseServe {
		return
	}
	if s.redraw {
		line := s.line(now, s.state.String())
		fmt.Fprintf(s.out, "\r%-*s", s.live, line)
		s.live = len(line)
		return
	}
	if s.inFlight() != s.last && now.Sub(s.lastAt) >= printEvery {
		s.row(now, s.state.String())
	}
}

// row prints a line that stays.
func (s *screen) row(at time.Time, text string) {
	s.clear()
	s.last, s.lastAt = s.inFlight(), at
	fmt.Fprintln(s.out, s.line(at, text))
}

// clear removes the live line, without control sequences that a console may not
// know.
func (s *screen) clear() {
	if s.live > 0 {
		fmt.Fprintf(s.out, "\r%s\r", strings.Repeat(" ", s.live))
		s.live = 0
	}
}

// screenHead is the head of the lines of the screen.
const screenHead = "  elapsed     left  phase      a   b  (RPCs in flight on replicas a and b)\n"

func (s *screen) line(at time.Time, text string) string {
	elapsed, left := "-", "-"
	if !s.trigger.IsZero() {
		elapsed, left = seconds(at.Sub(s.trigger)), seconds(s.deadline.Sub(at))
	}
	n := s.inFlight()
	return fmt.Sprintf("  %7s  %7s  %-8v %3d %3d  %s", elapsed, left, s.phase, n[0], n[1], text)
}

func (s *screen) inFlight() [2]int {
	return [2]int{s.ledger.running(replicaA), s.ledger.running(replicaB)}
}

// seconds writes a duration as seconds, to the millisecond.
func seconds(d time.Duration) string { return fmt.Sprintf("%.3fs", d.Seconds()) }
