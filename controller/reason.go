package controller

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/lastcall-go/lastcall/report"
)

// WithoutStderr keeps the controller from writing to stderr. Otherwise, without a log,
// Run writes why its report has any exit code but 0, once and in one line, before it
// returns; and why there was no shutdown, with a log too. It waits 100 ms at most for
// that, and not past the deadline; a pipe that nothing reads any more does not end the
// process.
func WithoutStderr() Option {
	return register(func(c *config) { c.noStderr = true })
}

// maxReason is how long the line is at most, in bytes: a pipe takes that at once. It names
// at most maxReasons steps.
const (
	maxReason  = 1000
	maxReasons = 20
)

// reason returns why a report has its exit code, in one line. It takes no longer for texts
// that are long.
func reason(r report.Report) string {
	code, cut := r.ExitCode(), func(text string) string { return text[:min(len(text), maxReason)] }
	r.CauseText = cut(r.CauseText)
	r.Steps = slices.DeleteFunc(r.Failures(), func(s report.Step) bool { return !s.Counts() })
	r.Steps = r.Steps[:min(len(r.Steps), maxReasons)]
	for i := range r.Steps {
		r.Steps[i].Text = cut(r.Steps[i].Text)
	}
	text := fmt.Sprintf("lastcall: exit code %d: %v", code, r.Err())
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxReason {
		const more = " ..."
		text = strings.ToValidUTF8(text[:maxReason-len(more)], "") + more
	}
	return text + "\n"
}

// saying is a line that goes to stderr.
type saying struct{ over, failed atomic.Bool }

// sayReason writes the reason to stderr on a goroutine of its own: a pipe may be full.
func sayReason(r report.Report, then func()) *saying {
	said := new(saying)
	line := reason(r)
	go func() {
		said.failed.Store(writeStderr(line) != nil)
		said.over.Store(true)
		then()
	}()
	return said
}

// silent reports whether stderr is not told how the shutdown went.
func (c *config) silent() bool {
	return c.noStderr || slices.ContainsFunc(c.observers, func(o observerConfig) bool { return o.op == report.OpLog })
}

// sayReason writes why the shutdown has not ended well, if nothing else tells.
func (r *run) sayReason() *saying {
	if !r.config.silent() {
		if known := r.report(); known.ExitCode() != report.ExitOK {
			return sayReason(known, r.inbox.poke)
		}
	}
	said := new(saying)
	said.over.Store(true)
	return said
}

// notRun returns the report of a Run that was none.
func (c *Controller) notRun(err error) report.Report {
	c.mu.Lock()
	silent := c.config.noStderr
	c.mu.Unlock()
	r := report.Report{NotRun: err}
	if silent {
		return r
	}
	over := make(chan struct{})
	sayReason(r, func() { close(over) })
	for began := time.Now(); time.Since(began) < toldTime; {
		until := time.Now().Add(tellTime)
		select {
		case <-over:
			return r
		case <-time.After(time.Until(until)):
		}
		if time.Since(until) <= grace { // otherwise what writes the line has had no processor either
			return r
		}
	}
	return r
}
