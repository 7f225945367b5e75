package controller

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/fsm"
)

// logger writes Steps for an operator. It runs on the goroutine of its feed,
// where the writer may do what it likes.
type logger struct{ zerolog.Logger }

func (l *logger) step(s Step) {
	switch s.Kind {
	case KindTransition:
		l.times(l.WithLevel(level(s)), s).Stringer("event", s.Transition.Event).Msg("state " + s.State.String())
	case KindPhase:
		l.times(l.Info(), s).Msg("phase " + s.Phase.String())
	case KindCall:
		if !s.Failed() {
			return
		}
		e := l.times(l.Error(), s).Str("op", string(s.Op)).Str("name", s.Name).
			Stringer("result", s.Result).Str("duration", round(s.Duration))
		if s.Text != "" {
			e = e.Str(zerolog.ErrorFieldName, s.Text)
		}
		if s.Stack != "" {
			e = e.Str(zerolog.ErrorStackFieldName, s.Stack)
		}
		e.Msg(s.subject() + " " + s.Result.String())
	}
}

// level is a warning for the transitions that mean force.
func level(s Step) zerolog.Level {
	if s.Transition.Call == fsm.CallStop {
		return zerolog.WarnLevel
	}
	return zerolog.InfoLevel
}

// times adds where the shutdown is. Before the trigger there is no time to tell.
func (l *logger) times(e *zerolog.Event, s Step) *zerolog.Event {
	e = e.Stringer("state", s.State).Stringer("phase", s.Phase)
	if s.Remaining != 0 || s.Elapsed != 0 {
		at := s.Elapsed
		left := s.Remaining
		if s.Kind == KindCall { // told at its end
			at, left = at+s.Duration, left-s.Duration
		}
		e = e.Str("elapsed", round(at)).Str("remaining", round(left))
	}
	return e
}

func (l *logger) cause(text string) { l.Info().Str("cause", text).Msg("shutting down") }

func (l *logger) summary(r Report) {
	level := zerolog.InfoLevel
	switch r.ExitCode() {
	case ExitOK:
	case ExitForced, ExitStep:
		level = zerolog.WarnLevel
	default:
		level = zerolog.ErrorLevel
	}
	l.WithLevel(level).
		Stringer("outcome", r.Outcome).Bool("forced", r.Forced).Str("cause", r.CauseText).
		Str("took", round(r.Took())).Str("total", r.Budget.Total.String()).
		Strs("path", r.pathNames()).Int("failed_steps", len(r.Failures())).Int("exit_code", r.ExitCode()).
		Msg("shutdown complete, flushing")
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
