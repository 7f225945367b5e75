package controller

import (
	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
	"time"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/fsm"
)

// logger writes Steps for an operator. It runs on the goroutine of its feed,
// where the writer may do what it likes.
type logger struct{ zerolog.Logger }

// step writes a step. Its times are those in which it is told: now is a step that
// begins then.
func (l *logger) step(s, now report.Step) {
	switch s.Kind {
	case report.KindTransition:
		e := where(l.WithLevel(level(s)), now).Stringer("event", s.Transition.Event)
		if s.settle != "" {
			e = e.Str("settle", string(s.settle))
		}
		e.Msg("state " + s.State.String())
	case report.KindPhase:
		where(l.Info(), now).Msg("phase " + s.Phase.String())
	case report.KindCall:
		if !s.Failed() && s.Err == nil {
			return
		}
		e := l.Error()
		switch {
		case !s.Failed(): // a worker or a Serve that gave an error as it ended, as it was told to
			e = l.Info()
		case !s.counts():
			e = l.Warn()
		}
		e = where(e, now).Str("op", string(s.Op)).Str("name", s.Name).Stringer("result", s.Result).Stringer("began", s.Phase)
		if !s.beganBefore(now) {
			e = e.Str("duration", round(s.Duration))
		}
		if s.Text != "" {
			e = e.Str(zerolog.ErrorFieldName, s.Text)
		}
		if s.Stack != "" {
			e = e.Str(zerolog.ErrorStackFieldName, s.Stack)
		}
		e.Msg(s.subject() + " " + s.Result.String())
	}
}

// beganBefore says whether a step began before the trigger, when later is one that
// began after it: how long it took says nothing about the shutdown then.
func (s report.Step) beganBefore(later report.Step) bool {
	return later.Remaining != 0 && s.Start.Before(later.Start.Add(-later.Elapsed))
}

// level is a warning for the transitions that mean force.
func level(s report.Step) zerolog.Level {
	if s.Transition.Call == fsm.CallStop {
		return zerolog.WarnLevel
	}
	return zerolog.InfoLevel
}

// where adds where the shutdown is. Before the trigger there is no time to tell.
func where(e *zerolog.Event, now report.Step) *zerolog.Event {
	e = e.Stringer("state", now.State).Stringer("phase", now.Phase)
	if now.Remaining != 0 || now.Elapsed != 0 {
		e = e.Str("elapsed", round(now.Elapsed)).Str("remaining", round(now.Remaining))
	}
	return e
}

// cause writes why the server shuts down, and how long that may take.
func (l *logger) cause(cause error, failed bool, text string, b lastcall.Budget, timer time.Time) {
	e := l.Info()
	if failed {
		e = l.Error()
	}
	if ended, ok := cause.(*EndedError); ok && ended != nil && ended.Result != report.ResultOK { //nolint:errorlint // our own value, which nobody has wrapped
		e = l.Error().Str("op", string(ended.Op)).Str("name", ended.Name)
	}
	e = e.Str("cause", text).Stringer("total", b.Total).Stringer("settle", b.Settle)
	if b.Quiet > 0 {
		e = e.Stringer("quiet", b.Quiet).Stringer("min_settle", b.MinSettle)
	}
	e.Stringer("reserve", b.Reserve).Time("timer_at", timer).Msg("shutting down")
}

func (l *logger) summary(r report.Report) {
	level := zerolog.InfoLevel
	switch r.ExitCode() {
	case report.ExitOK:
	case report.ExitForced, report.ExitStep:
		level = zerolog.WarnLevel
	default:
		level = zerolog.ErrorLevel
	}
	e := l.WithLevel(level).
		Stringer("outcome", r.Outcome).Bool("forced", r.Forced).Str("cause", r.CauseText).
		Str("took", round(r.Took())).Str("total", r.Budget.Total.String()).
		Strs("path", r.pathNames()).Int("failed_steps", len(r.Failures())).Int("exit_code", r.ExitCode())
	became(e, r.Work).Msg("shutdown complete, flushing")
}

// round makes a duration readable: full milliseconds from one second on.
func round(d time.Duration) string {
	switch {
	case d >= time.Second || d <= -time.Second:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(time.Microsecond).String()
	}
}
