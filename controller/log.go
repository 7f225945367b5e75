package controller

import (
	"fmt"
	"log/slog"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/report"
)

// logger writes the lines of Steps for an operator. It is an observer like any other, up
// to the summary.
type logger struct{ zerolog.Logger }

// observe writes the line that a step is worth.
func (l logger) observe(s report.Step) {
	line := s.Line()
	e := l.WithLevel(levelOf(line.Level))
	for _, a := range line.Attrs {
		field(e, a)
	}
	e.Msg(line.Message)
}

func levelOf(l slog.Level) zerolog.Level {
	switch {
	case l >= slog.LevelError:
		return zerolog.ErrorLevel
	case l >= slog.LevelWarn:
		return zerolog.WarnLevel
	default:
		return zerolog.InfoLevel
	}
}

// field adds an attribute. A duration is there twice: as text for people, and as a number
// of seconds.
func field(e *zerolog.Event, a slog.Attr) {
	key := a.Key
	switch key {
	case "error":
		key = zerolog.ErrorFieldName
	case "stack":
		key = zerolog.ErrorStackFieldName
	}
	switch v := a.Value; v.Kind() {
	case slog.KindString:
		e.Str(key, v.String())
	case slog.KindInt64:
		e.Int64(key, v.Int64())
	case slog.KindBool:
		e.Bool(key, v.Bool())
	case slog.KindTime:
		e.Time(key, v.Time())
	case slog.KindDuration:
		e.Str(key, report.Round(v.Duration())).Float64(key+"_seconds", report.Seconds(v.Duration()))
	default:
		switch v := v.Any().(type) {
		case []string:
			e.Strs(key, v)
		case report.RunningWork:
			e.Array(key, running(v))
		default:
			e.Str(key, fmt.Sprint(v))
		}
	}
}

// running writes a list of work as zerolog has it.
type running report.RunningWork

// MarshalZerologArray writes an object for each name.
func (all running) MarshalZerologArray(list *zerolog.Array) {
	for _, w := range all {
		d := zerolog.Dict().Str("name", w.Name).Int("running", w.Running)
		if w.Oldest != 0 {
			d = d.Str("oldest", report.Round(w.Oldest)).Float64("oldest_seconds", report.Seconds(w.Oldest))
		}
		if w.Peer != "" {
			d = d.Str("peer", w.Peer)
		}
		if w.Path != "" {
			d = d.Str("path", w.Path)
		}
		list.Dict(d)
	}
}
