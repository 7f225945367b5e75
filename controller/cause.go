package controller

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall/report"
)

// ErrRan is the answer to a second Run, and to an Add after the first.
var ErrRan = errors.New("controller: Run was called before, and a Controller runs once")

// ownText returns the text of a cause if no foreign method has to be called for
// it.
func ownText(cause error) (text string, own bool) {
	switch cause := cause.(type) { //nolint:errorlint // what is wrapped would not do: the wrapper's method is foreign
	case *report.ContextError:
		if cause != nil && (cause.Err == context.Canceled || cause.Err == context.DeadlineExceeded) { //nolint:errorlint // the same
			return cause.Error(), true
		}
	case *report.EndedError:
		if cause != nil {
			return cause.Error(), true
		}
	case *report.SignalError:
		if cause != nil {
			if _, own := cause.Signal.(syscall.Signal); own {
				return cause.Error(), true
			}
		}
	}
	if slices.Contains([]error{report.ErrShutdown, report.ErrForced}, cause) {
		return cause.Error(), true
	}
	return "", false
}

// describeCause has the text of the cause taken, and then told. A cause that is not
// the library's own has a method of the user's for that.
func (r *run) describeCause(cause error) {
	if text, own := ownText(cause); own {
		r.tellCause(text)
		return
	}
	c := r.begin(report.OpText, "cause", func() error { return cause }, func(res result) { r.tellCause(res.text) })
	c.quiet = true
}

// awaitCause waits for the text of the cause, for as long as code may need that takes
// next to no time, and has the cause told without it otherwise. Observers are told the
// cause before anything that came of it.
func (r *run) awaitCause() {
	limit := time.Now().Add(grace)
	r.await(func() bool { return r.record.causeTold }, func() time.Time { return limit })
	if !r.record.causeTold {
		r.tellCause("(its Error method has not returned)")
	}
}

// tellCause takes in the text of the cause, and tells observers why the shutdown
// began, once.
func (r *run) tellCause(text string) {
	r.record.causeText = text
	if r.record.causeTold {
		return
	}
	s := r.newStep(report.KindTrigger, "trigger")
	s.Start, s.Elapsed, s.Remaining = r.at, 0, r.deadline.Sub(r.at)
	known := r.report()
	s.Err, s.Text, s.Report = known.Cause, text, &known
	r.record.causeTold = true
	r.tell(*s)
	for _, held := range r.record.held {
		r.record.tell(held)
	}
	r.record.held = nil
}
