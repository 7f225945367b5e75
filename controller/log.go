package controller

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/report"
)

// WithLogger registers a zerolog logger as a log with the name "zerolog": see [WithLog] for
// what it is told, and docs/report.md for the keys.
//
// If a writer refuses a line, zerolog tells only its ErrorHandler, a variable of the whole
// process. WithLogger sets one, once, that counts the error and then calls the handler that was
// there before. So set yours first, and call WithLogger before other goroutines log to writers
// that fail. A refused line of another logger counts as well if it is refused in the same
// moment.
func WithLogger(logger zerolog.Logger) Option {
	if isZero(logger) {
		return register(func(c *config) {
			c.fail("WithLogger was given the zero Logger, which writes nothing; zerolog.Nop() says that there is to be no log")
		})
	}
	countRefused()
	return WithLog("zerolog", func(line report.Line) error {
		before := process.refused.Load()
		write(logger, line)
		if process.refused.Load() > before {
			return errRefused
		}
		return nil
	})
}

// isZero reports whether a logger has nothing to write to. One that zerolog.Nop returned has.
func isZero(logger zerolog.Logger) bool {
	if zerolog.GlobalLevel() > zerolog.ErrorLevel { // then no logger writes
		return false
	}
	logger = logger.Sample(nil).Level(zerolog.ErrorLevel)
	return !logger.WithLevel(zerolog.ErrorLevel).Enabled()
}

// errRefused is what a line ends with that the writer has refused: it is lost.
var errRefused = errors.New("the log's writer has refused the line")

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
	zerolog.ErrorHandler = func(err error) { //nolint:reassign // that is what it is for
		process.refused.Add(1)
		handle(err)
	}
}

// write writes a line.
func write(logger zerolog.Logger, line report.Line) {
	e := logger.WithLevel(levelOf(line.Level))
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
			text, _ := v.MarshalJSON() // it has no errors
			e.RawJSON(key, text)
		default:
			e.Str(key, fmt.Sprint(v))
		}
	}
}

// WithoutStderr keeps the controller from writing to stderr. By default Run writes one line
// before it returns, which tells the reason of an exit code that is not 0, unless a log has told
// that code: a flusher may fail after the log's last line. It also tells why there was no
// shutdown, even if there is a log. Run waits for that write at most 100 ms, and not past the
// deadline. A pipe without a reader does not end the process.
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

// sayReason writes the reason to stderr on a goroutine of its own: a pipe may be full.
func sayReason(r report.Report, then func(failed bool)) {
	line := reason(r)
	go func() { then(writeStderr(line) != nil) }()
}

// saysReason reports whether stderr is told why the shutdown has not ended well: without a log it
// is, and with one if the exit code is not what its last line said, since flushers and servers
// that stop last come behind that.
func (c *config) saysReason(changed bool) bool {
	logs := slices.ContainsFunc(c.observers, func(o observerConfig) bool { return o.op == report.OpLog })
	return !c.noStderr && (changed || !logs)
}

// saying is a line that goes to stderr.
type saying struct{ over, failed bool }

// sayReason writes why the shutdown has not ended well, if nothing else tells.
func (r *run) sayReason() *saying {
	said := &saying{over: true}
	known := r.report()
	if code := known.ExitCode(); code != report.ExitOK && r.config.saysReason(code != r.codeTold) {
		said.over = false
		sayReason(known, func(failed bool) { r.inbox.put(func() { said.over, said.failed = true, failed }) })
	}
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
	sayReason(r, func(bool) { close(over) })
	for began := time.Now(); time.Since(began) < toldTime; {
		until := time.Now().Add(tellTime)
		if foreign.Within(over, tellTime) || time.Since(until) <= grace { // otherwise what writes the line has had no processor either
			return r
		}
	}
	return r
}
