package report

import (
	"log/slog"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
)

// Line is what a log writes for a Step: the same for every logger. docs/report.md lists the
// keys of its attributes; they are an interface, and are not renamed without a new major
// version.
type Line struct {
	At      time.Time
	Level   slog.Level
	Message string
	Attrs   []slog.Attr // strings, numbers, booleans, instants, durations, lists of strings, and a [RunningWork]
}

// IsLogged reports whether the step has a Line. The beginning of a call has none, nor has a
// call that ended well, nor work if none is in flight.
func (s Step) IsLogged() bool {
	switch s.Kind {
	case KindBegin:
		return false
	case KindCall:
		return s.Failed() || s.Err != nil
	case KindWork:
		if s.State == fsm.TimerExpired {
			return len(s.stillRunning()) > 0
		}
		t := Sum(s.Work)
		return t.Running+t.Infrastructure > 0
	case KindProgress:
		return len(StillRunning(s.Work)) > 0
	default:
		return s.Kind != 0
	}
}

// Line returns what a log writes for the step, as an observer gets it. Call it only if IsLogged
// returns true. It calls no user code.
func (s Step) Line() Line {
	l := Line{At: s.Now.At, Level: slog.LevelInfo, Attrs: make([]slog.Attr, 0, 16)} // most lines have fewer
	switch s.Kind {
	case KindTrigger:
		l.trigger(&s)
	case KindTransition:
		if s.Transition.Call == fsm.CallStop {
			l.Level = slog.LevelWarn // it means force
		}
		l.Message = "state " + s.State.String()
		l.where(s.Now)
		l.text("event", s.Transition.Event.String())
		if s.Settle != "" {
			l.text("settle_end", string(s.Settle))
		}
	case KindPhase:
		l.Message = "phase " + s.Phase.String()
		l.where(s.Now)
	case KindCall:
		l.call(&s)
	case KindWork:
		l.work(&s)
	case KindProgress:
		l.progress(&s)
	case KindSummary:
		l.summary(s.Report)
	case KindWarning:
		l.Level, l.Message = slog.LevelWarn, s.Text
		l.where(s.Now)
		l.at(&s)
	case KindRequest:
		if s.Name != "signal" { // one of that name has changed nothing
			l.Level = slog.LevelWarn
		}
		l.Message = s.String()
		l.where(s.Now)
		l.text("request", s.Name)
	default:
		l.Message = s.String()
	}
	return l
}

func (l *Line) add(attrs ...slog.Attr)               { l.Attrs = append(l.Attrs, attrs...) }
func (l *Line) text(key, value string)               { l.add(slog.String(key, value)) }
func (l *Line) number(key string, n int)             { l.add(slog.Int(key, n)) }
func (l *Line) duration(key string, d time.Duration) { l.add(slog.Duration(key, d)) }

// where adds where the shutdown is. Before the trigger there is no time to tell.
func (l *Line) where(now Moment) {
	l.text("state", now.State.String())
	l.text("phase", now.Phase.String())
	if now.Remaining != 0 || now.Elapsed != 0 {
		l.duration("elapsed", now.Elapsed)
		l.duration("remaining", now.Remaining)
	}
}

// trigger says why the server shuts down, and how long that may take.
func (l *Line) trigger(s *Step) {
	known := s.Report
	l.Message = "shutting down"
	if known.Failed {
		l.Level = slog.LevelError
	}
	if ended, ok := s.Err.(*EndedError); ok && ended != nil && ended.Result != ResultOK { //nolint:errorlint // the library's own value, which nothing has wrapped
		l.text("op", string(ended.Op))
		l.text("name", ended.Name)
	}
	l.text("cause", s.Text)
	l.duration("total", known.Budget.Total)
	l.duration("settle", known.Budget.Settle)
	if known.Budget.Quiet > 0 {
		l.duration("quiet", known.Budget.Quiet)
		l.duration("min_settle", known.Budget.MinSettle)
	}
	l.duration("reserve", known.Budget.Reserve)
	l.add(slog.Time("timer_at", known.Timer), slog.Time("deadline", known.Deadline))
	l.text("assumes", "no SIGKILL for "+Round(known.Budget.Total)+" after the trigger")
}

// call says how a call ended that did not end well, or that gave an error as it ended
// when it was told to.
func (l *Line) call(s *Step) {
	switch {
	case !s.Failed() && (s.Op == OpWork || s.Op == OpServe): // it has ended as it was told to
	case !s.Failed() || !s.Counts():
		l.Level = slog.LevelWarn
	default:
		l.Level = slog.LevelError
	}
	l.Message = s.Subject() + " " + s.Result.String()
	l.where(s.Now)
	l.text("op", string(s.Op))
	l.text("name", s.Name)
	l.text("result", s.Result.String())
	l.text("began", s.Phase.String())
	if s.Now.Remaining == 0 || s.Remaining != 0 { // one that began before the trigger has lasted since then
		l.duration("duration", s.Duration)
	}
	if s.Text != "" {
		l.text("error", s.Text)
	}
	l.at(s)
	if s.Stack != "" {
		l.text("stack", s.Stack)
	}
}

// at says where a call stands.
func (l *Line) at(s *Step) {
	if len(s.Stacks) > 0 {
		l.text("at", s.Stacks[0].Place())
	}
}

// maxListed is how many names a line lists at most.
const maxListed = 10

// freshCall is how old a call into user code is that stands in a line: younger ones were
// begun for the force.
const freshCall = 10 * time.Millisecond

// stillRunning returns the work that the timer interrupts, most first.
func (s Step) stillRunning() []lastcall.Work {
	return slices.DeleteFunc(StillRunning(s.Work), func(w lastcall.Work) bool {
		return w.Kind == lastcall.WorkCall && s.Now.At.Sub(w.Oldest) < freshCall
	})
}

// work says how much a server has in flight as the drain begins, or which of it the timer
// interrupts: the names with most of it.
func (l *Line) work(s *Step) {
	t := Sum(s.Work)
	l.Message = "in flight"
	l.where(s.Now)
	l.text("server", s.Name)
	l.number("in_flight", t.Running)
	l.number("streams", t.Streams)
	l.number("infrastructure", t.Infrastructure)
	if s.State != fsm.TimerExpired {
		return
	}
	l.Level, l.Message = slog.LevelWarn, "still in flight"
	if t.Running == 0 {
		l.Message = "nothing in flight, but still running" // calls, infrastructure
	}
	l.running(s, s.stillRunning(), false)
}

// progress says what the shutdown waits for. Before the timer there is the time to it.
func (l *Line) progress(s *Step) {
	t := Sum(s.Work)
	l.Message = "progress"
	l.where(s.Now)
	if s.State == fsm.GracefulShutdown {
		l.duration("timer_in", s.Now.Timer)
	}
	l.number("in_flight", t.Running)
	l.number("streams", t.Streams)
	l.number("infrastructure", t.Infrastructure)
	l.running(s, StillRunning(s.Work), true)
}

// running lists the names with most work.
func (l *Line) running(s *Step, all []lastcall.Work, servers bool) {
	var listed RunningWork
	for _, w := range all[:min(len(all), maxListed)] {
		one := Running{Name: w.Name, Kind: w.Kind, Running: w.Running, Peer: w.Peer, Path: w.Path, At: placesOf(s.Stacks, w)}
		if servers {
			one.Server = w.Server
		}
		if !w.Oldest.IsZero() {
			one.Oldest = s.Now.At.Sub(w.Oldest)
		}
		listed = append(listed, one)
	}
	l.add(slog.Any("running", listed))
	if more := len(all) - maxListed; more > 0 {
		l.number("names_left_out", more)
	}
}

func (l *Line) summary(r *Report) {
	switch r.ExitCode() {
	case ExitOK:
	case ExitInterrupted, ExitStep:
		l.Level = slog.LevelWarn
	default:
		l.Level = slog.LevelError
	}
	l.Message = "shutdown complete, flushing"
	l.text("outcome", r.Outcome.String())
	l.add(slog.Bool("forced", r.Forced))
	l.text("cause", r.CauseText)
	l.duration("took", r.Took())
	l.duration("total", r.Budget.Total)
	if r.Suspended > 0 {
		l.duration("suspended", r.Suspended)
	}
	l.add(slog.Any("path", r.pathNames()))
	l.number("failed_steps", len(r.Failures()))
	l.number("exit_code", r.ExitCode())
	if len(r.Work) > 0 { // some server has told
		t := Sum(r.Work)
		l.number("completed", t.Completed)
		l.number("cancelled", t.Cancelled)
		l.number("cut", t.Cut)
		l.number("abandoned", t.Running)
	}
}

// Seconds returns a duration as logs have it in numbers: in seconds, to the microsecond.
func Seconds(d time.Duration) float64 { return float64(d.Round(time.Microsecond).Microseconds()) / 1e6 }
