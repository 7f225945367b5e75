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
// the library's own has a method of the user's for that, which gets as long as a call
// may need that takes next to no time: until then observers hear nothing, so that the
// cause is the first thing that they hear.
func (r *run) describeCause(cause error) {
	s := r.newStep(report.KindTrigger, "trigger")
	s.Start, s.Elapsed, s.Remaining = r.at, 0, r.deadline.Sub(r.at)
	s.Err = cause
	r.record.cause = s
	if text, own := ownText(cause); own {
		r.tellCause(text)
		return
	}
	r.record.causeDue = earlier(time.Now().Add(grace), r.share(2)()) // observers need time, too
	c := r.begin(report.OpText, "cause", func() error { return cause }, func(res result) { r.tellCause(res.text) })
	c.quiet = true
}

// giveUpCause has the cause told without its text.
func (r *run) giveUpCause() { r.tellCause("(its Error method has not returned)") }

// causeIsLate reports whether the time for the text of the cause is over.
func (r *run) causeIsLate() bool {
	return r.record.cause != nil && !time.Now().Before(r.record.causeDue)
}

// tellCause takes in the text of the cause, and tells observers why the shutdown
// began, once, and then what has happened since.
func (r *run) tellCause(text string) {
	r.record.causeText = text
	s := r.record.cause
	if s == nil {
		return // told without a text
	}
	known := r.report()
	s.Text, s.Report = text, &known
	r.record.cause, r.record.causeTold = nil, true
	r.tell(*s)
	for _, held := range r.record.held {
		r.record.tell(held)
	}
	r.record.held = nil
}
