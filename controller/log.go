package controller

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

// logger writes Steps for an operator. It is an observer like any other, up to the
// summary.
type logger struct{ zerolog.Logger }

// errRefused is what a line ends with that the writer has refused: it is lost.
var errRefused = errors.New("the log's writer has refused the line")

// tell writes the line of a step, and returns an error if it is lost. zerolog gives the
// error of a writer to its ErrorHandler only, and there is one of that in the process; so
// a line of another logger that was refused in the same moment counts here as well.
func (l logger) tell(s report.Step) error {
	before := process.refused.Load()
	l.observe(s)
	if process.refused.Load() > before {
		return errRefused
	}
	return nil
}

// countRefused has the lines counted that writers refuse. The ErrorHandler that was there
// gets the errors as before, or else they are printed, as zerolog does without one.
func countRefused() {
	process.Lock()
	defer process.Unlock()
	if process.counts {
		return
	}
	process.counts = true
	handle := zerolog.ErrorHandler
	if handle == nil {
		handle = func(err error) { fmt.Fprintf(os.Stderr, "zerolog: could not write event: %v\n", err) }
	}
	zerolog.ErrorHandler = func(err error) {
		process.refused.Add(1)
		handle(err)
	}
}

// isLogged reports whether a step has a line: a call that ended well has none.
func isLogged(s report.Step) bool {
	switch s.Kind {
	case report.KindBegin:
		return false
	case report.KindCall:
		return s.Failed() || s.Err != nil
	default:
		return true
	}
}

// observe writes the line that a step is worth, if it is worth one.
func (l logger) observe(s report.Step) {
	switch s.Kind {
	case report.KindTrigger:
		l.cause(s)
	case report.KindTransition:
		e := l.WithLevel(levelOf(s.Transition))
		e = where(e, s.Now).Stringer("event", s.Transition.Event)
		if s.Settle != "" {
			e = e.Str("settle", string(s.Settle))
		}
		e.Msg("state " + s.State.String())
	case report.KindPhase:
		where(l.Info(), s.Now).Msg("phase " + s.Phase.String())
	case report.KindCall:
		l.call(s)
	case report.KindWork:
		if s.State == fsm.TimerExpired {
			l.stillInFlight(s)
		} else {
			l.inFlight(s)
		}
	case report.KindSummary:
		l.summary(*s.Report)
	case report.KindWarning:
		where(l.Warn(), s.Now).Msg(s.Text)
	case report.KindRequest:
		level := zerolog.WarnLevel
		if s.Name == "signal" { // it has changed nothing
			level = zerolog.InfoLevel
		}
		where(l.WithLevel(level), s.Now).Str("request", s.Name).Msg(s.String())
	case report.KindBegin: // see isLogged
	}
}

// levelOf is a warning for the transition that means force.
func levelOf(row fsm.Transition) zerolog.Level {
	if row.Call == fsm.CallStop {
		return zerolog.WarnLevel
	}
	return zerolog.InfoLevel
}

// where adds where the shutdown is. Before the trigger there is no time to tell.
func where(e *zerolog.Event, now report.Moment) *zerolog.Event {
	e = e.Stringer("state", now.State).Stringer("phase", now.Phase)
	if now.Remaining != 0 || now.Elapsed != 0 {
		e = lasting(lasting(e, "elapsed", now.Elapsed), "remaining", now.Remaining)
	}
	return e
}

// lasting adds a duration: as text for people, and as a number of seconds.
func lasting(e *zerolog.Event, name string, d time.Duration) *zerolog.Event {
	return e.Str(name, report.Round(d)).Float64(name+"_seconds", float64(d.Round(time.Microsecond).Microseconds())/1e6)
}

// cause writes why the server shuts down, and how long that may take.
func (l logger) cause(s report.Step) {
	known := *s.Report
	e := l.Info()
	if known.Failed {
		e = l.Error()
	}
	if ended, ok := s.Err.(*report.EndedError); ok && ended != nil && ended.Result != report.ResultOK { //nolint:errorlint // the library's own value, which nothing has wrapped
		e = e.Str("op", string(ended.Op)).Str("name", ended.Name)
	}
	b := known.Budget
	e = lasting(lasting(e.Str("cause", s.Text), "total", b.Total), "settle", b.Settle)
	if b.Quiet > 0 {
		e = lasting(lasting(e, "quiet", b.Quiet), "min_settle", b.MinSettle)
	}
	lasting(e, "reserve", b.Reserve).Time("timer_at", known.Timer).Time("deadline", known.Deadline).
		Str("assumes", "no SIGKILL for "+report.Round(b.Total)+" after the trigger").Msg("shutting down")
}

// call writes how a call ended that did not end well, or that gave an error as it
// ended when it was told to.
func (l logger) call(s report.Step) {
	e := l.Error()
	switch {
	case !s.Failed():
		e = l.Info()
	case !s.Counts():
		e = l.Warn()
	}
	e = where(e, s.Now).Str("op", string(s.Op)).Str("name", s.Name).Stringer("result", s.Result).Stringer("began", s.Phase)
	if s.Now.Remaining == 0 || s.Remaining != 0 { // one that began before the trigger has lasted since then
		e = lasting(e, "duration", s.Duration)
	}
	if s.Text != "" {
		e = e.Str(zerolog.ErrorFieldName, s.Text)
	}
	if s.Stack != "" {
		e = e.Str(zerolog.ErrorStackFieldName, s.Stack)
	}
	e.Msg(s.Subject() + " " + s.Result.String())
}

// maxListed is how many names a line lists at most.
const maxListed = 10

// inFlight writes how much work a server has when the drain begins, if it has any.
func (l logger) inFlight(s report.Step) {
	t := report.Sum(s.Work)
	if t.Running+t.Infrastructure > 0 {
		counts(where(l.Info(), s.Now), s.Name, t).Msg("in flight")
	}
}

// stillInFlight writes which work of a server the timer interrupts, if there is any:
// the names with most of it.
func (l logger) stillInFlight(s report.Step) {
	running := slices.DeleteFunc(report.StillRunning(s.Work), func(w lastcall.Work) bool {
		return w.Kind == lastcall.WorkCall && s.Now.At.Sub(w.Oldest) < grace // it was begun for the force
	})
	if len(running) == 0 {
		return
	}
	list := zerolog.Arr()
	for _, w := range running[:min(len(running), maxListed)] {
		d := zerolog.Dict().Str("name", w.Name).Int("running", w.Running)
		if !w.Oldest.IsZero() {
			d = lasting(d, "oldest", s.Now.At.Sub(w.Oldest))
		}
		if w.Peer != "" {
			d = d.Str("peer", w.Peer)
		}
		list = list.Dict(d)
	}
	e := counts(where(l.Warn(), s.Now), s.Name, report.Sum(s.Work)).Array("running", list)
	if more := len(running) - maxListed; more > 0 {
		e = e.Int("names_left_out", more)
	}
	e.Msg("still in flight")
}

// counts adds whose work it is and how much of it runs.
func counts(e *zerolog.Event, server string, t report.Total) *zerolog.Event {
	return e.Str("server", server).Int("in_flight", t.Running).Int("streams", t.Streams).Int("infrastructure", t.Infrastructure)
}

func (l logger) summary(r report.Report) {
	level := zerolog.InfoLevel
	switch r.ExitCode() {
	case report.ExitOK:
	case report.ExitForced, report.ExitStep:
		level = zerolog.WarnLevel
	default:
		level = zerolog.ErrorLevel
	}
	e := l.WithLevel(level).Stringer("outcome", r.Outcome).Bool("forced", r.Forced).Str("cause", r.CauseText)
	e = lasting(lasting(e, "took", r.Took()), "total", r.Budget.Total)
	var path []string
	for _, s := range r.Path {
		path = append(path, s.String())
	}
	e = e.Strs("path", path).Int("failed_steps", len(r.Failures())).Int("exit_code", r.ExitCode())
	became(e, r.Work).Msg("shutdown complete, flushing")
}

// became adds what became of all work, if any server has told.
func became(e *zerolog.Event, work []lastcall.Work) *zerolog.Event {
	if len(work) == 0 {
		return e
	}
	t := report.Sum(work)
	return e.Int("completed", t.Completed).Int("cancelled", t.Cancelled).Int("cut", t.Cut).Int("abandoned", t.Running)
}
