package shutdowntest

import (
	"fmt"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// seen is what a check has seen by itself: the rules judge that.
type seen struct {
	mu      sync.Mutex
	plan    *plan
	calm    time.Duration
	planned time.Time // when the trigger was planned

	ready     time.Time // when the controller said that it was
	asked     time.Time // when the trigger was pulled
	announced time.Time // when workers were told to claim no more
	settling  time.Time // when announce was over
	drained   time.Time // when the drain began
	forced    time.Time // when the check forced the shutdown
	hurried   time.Time // when it brought the timer forward in another way, or may have
	cut       time.Time // the deadline that it gave to Shorten
	gaveUp    time.Time // when the check waited no longer for that
	ended     time.Time // when Run, or the stop function, returned

	budget    lastcall.Budget // what counts: the controller's, or that of the plan
	report    *report.Report  // nil without a controller
	listeners []*listener
	conns     []*serverConn
	calls     []*call
	claims    []*claim
	flushes   []*flush
	once      map[string]time.Time // see Env.Once
	twice     string               // what was done twice, and when; the first such thing
	watched   []*Watched
	probes    []probed
	health    []probed
	left      []string // goroutines that were left
	files     []string // that it has left open
	open      []*serverConn
	unclosed  []string // listeners
	notes     []string
	events    []event
	starved   time.Duration // in real time: for how long the machine ran no timers
}

type event struct {
	at   time.Time
	text string
}

// probed is what a probe heard.
type probed struct {
	name string
	at   time.Time
	up   bool
	over bool // of health: the stream has ended
	aged bool // and its connection had a GOAWAY before the drain
	down bool // of a probe: the controller says that it has to be down
}

// do runs f while nothing else changes.
func (s *seen) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// event notes something for the story of the check. It is called in do.
func (s *seen) event(format string, args ...any) {
	s.events = append(s.events, event{time.Now(), fmt.Sprintf(format, args...)})
}

// note notes an instant, once.
func (s *seen) note(which *time.Time, text string) {
	s.do(func() {
		if which.IsZero() {
			*which = time.Now()
			if text != "" {
				s.event("%s", text)
			}
		}
	})
}

// timer returns when the timer fires, or the check forces the shutdown.
func (s *seen) timer() time.Time {
	at := s.began().Add(s.budget.Total - s.budget.Reserve)
	for _, force := range []time.Time{s.forced, s.hurried} {
		if !force.IsZero() && force.Before(at) {
			at = force
		}
	}
	return at
}

// until says when the timer fires: what a stop function has of its deadline is a timer to
// the rules, and not to its author.
func (s *seen) until() string {
	if s.report == nil {
		return fmt.Sprintf("%s (its deadline at %s, less a reserve of %v)", s.since(s.timer()), s.since(s.deadline()), s.budget.Reserve)
	}
	return "the timer at " + s.since(s.timer())
}

// count and were say how many, in words that fit.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func were(n int, what string) string {
	if n == 1 {
		return count(n, what) + " was"
	}
	return count(n, what) + " were"
}

// hurry reports whether the check has forced the shutdown, or may have.
func (s *seen) hurry() bool { return !s.forced.IsZero() || !s.hurried.IsZero() }

// deadline returns the instant by which Run has to return.
func (s *seen) deadline() time.Time {
	at := s.began().Add(s.budget.Total)
	if force := s.forced.Add(s.budget.Reserve); !s.forced.IsZero() && force.Before(at) {
		at = force
	}
	if !s.cut.IsZero() && s.cut.Before(at) {
		at = s.cut
	}
	return at
}

// began returns when the shutdown began: when the check asked for it, or earlier, if the
// service has done so by itself.
func (s *seen) began() time.Time {
	if s.report != nil && !s.report.Triggered.IsZero() && s.report.Triggered.Before(s.asked) {
		return s.report.Triggered
	}
	return s.asked
}

// drain returns when the drain began; the end, if it is not known to have begun.
func (s *seen) drain() time.Time {
	if s.drained.IsZero() {
		return s.ended
	}
	return s.drained
}

// since returns an instant as a text: how long after the trigger.
func (s *seen) since(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	d := at.Sub(s.began())
	if d < 0 {
		return d.String()
	}
	return "+" + d.String()
}

// end says when something ended.
func (s *seen) end(at time.Time) string {
	if at.IsZero() {
		return "did not end"
	}
	return "ended at " + s.since(at)
}

// story returns what happened, in order.
func (s *seen) story() (lines []string) {
	const most = 60
	for i, e := range s.events {
		if i == most {
			return append(lines, fmt.Sprintf("  and %d more", len(s.events)-most))
		}
		lines = append(lines, fmt.Sprintf("  %12s  %s", s.since(e.at), e.text))
	}
	return lines
}
