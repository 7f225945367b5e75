package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lastcall-go/lastcall/report"
)

const reportHelp = `usage: lastcall report [flags] file

Prints what happened in a shutdown: a summary, and every step with its times.
` + fileHelp + `

On a terminal it is in colour, unless NO_COLOR is set, and fits its width.
docs/report.md explains the words. The exit code is not that of the shutdown.
`

// How narrow a page can be, and how wide it is on a terminal that does not tell.
const (
	leastWidth     = 40
	defaultColumns = 80
)

func bindReport(flags *flag.FlagSet) func(context.Context, shell, []string) (int, error) {
	width := flags.Int("width", 0, "`columns` that lines may have; 0: those of the terminal, or any number (default 0)")
	return func(_ context.Context, sh shell, args []string) (int, error) {
		if *width != 0 && *width < leastWidth {
			return 0, usageError{fmt.Errorf("-width %d is less than %d", *width, leastWidth)}
		}
		r, err := readFile(args)
		if err != nil {
			return 0, err
		}
		p := printout{width: *width, colour: isColoured(sh.stdout)}
		if f, ok := sh.stdout.(*os.File); ok && *width == 0 && isTerminal(f) {
			p.width = max(leastWidth, columns(f))
		}
		p.report(r)
		_, err = io.WriteString(sh.stdout, p.text.String())
		return 0, err
	}
}

// isColoured reports whether colours fit: https://no-color.org.
func isColoured(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// printout is a report for people.
type printout struct {
	width  int // 0: lines are as long as they are
	colour bool
	text   strings.Builder
}

// The colours, as numbers of ANSI escape sequences.
const (
	plain  = 0
	bold   = 1
	dim    = 2
	red    = 31
	green  = 32
	yellow = 33
)

// report writes the summary and the steps.
func (p *printout) report(r report.Report) {
	head, rest, _ := strings.Cut(r.String(), "\n")
	p.line("", plain, head, colourOf(r.ExitCode()))
	const labels = 12 // the width of the labels in the summary
	for line := range strings.Lines(rest) {
		if len(line) < labels { // a file can have anything
			p.line("", plain, line, plain)
			continue
		}
		colour := plain
		switch strings.TrimSpace(line[:labels]) {
		case "failed", "delivery":
			colour = red
		case "running", "idle", "request", "suspended":
			colour = yellow
		}
		p.line(line[:labels], dim, line[labels:], colour)
	}
	if len(r.Steps) == 0 {
		return
	}
	p.line("", plain, "", plain)
	p.line(fmt.Sprintf("%10s  %10s  ", "at", "took"), dim, "step", dim)
	for _, s := range r.Steps {
		at, took := "before", ""
		if !r.Triggered.IsZero() && !s.Start.Before(r.Triggered) {
			at = "+" + short(s.Start.Sub(r.Triggered))
		}
		if s.Kind == report.KindPhase || s.Kind == report.KindCall {
			took = short(s.Duration)
		}
		text, colour := s.String(), plain
		switch {
		case s.Kind == report.KindTransition || s.Kind == report.KindPhase:
			colour = bold
		case s.Abandoned:
			text, colour = s.Subject()+" has not returned", red
			if s.Failed() {
				text = s.String() + ", and has not returned"
			}
		case s.Failed():
			colour = red
		case s.Kind == report.KindRequest:
			colour = yellow
		}
		if s.Kind == report.KindCall || s.Kind == report.KindRequest {
			text = "  " + text
		}
		p.line(fmt.Sprintf("%10s  %10s  ", at, took), dim, text, colour)
		for line := range strings.Lines(s.Stack) {
			p.line(strings.Repeat(" ", 26), plain, strings.ReplaceAll(line, "\t", "    "), dim)
		}
	}
}

// short returns a duration in at most 9 letters, if need be in hours.
func short(d time.Duration) string {
	for _, text := range []string{report.Round(d), d.Round(time.Second).String()} {
		if len(text) <= 9 {
			return text
		}
	}
	return fmt.Sprintf("%.0fh", d.Hours())
}

// colourOf returns the colour of an exit code.
func colourOf(code int) int {
	switch code {
	case report.ExitOK:
		return green
	case report.ExitInterrupted, report.ExitStep:
		return yellow
	default:
		return red
	}
}

// line writes a label and a text, and breaks the text where the line is full: between
// words, or in a word that is longer than a line.
func (p *printout) line(label string, labelColour int, text string, colour int) {
	label, text = printable(label), printable(strings.TrimRight(text, "\r\n"))
	indent := min(4, len(text)-len(strings.TrimLeft(text, " ")))
	label, text = label+text[:indent], text[indent:]
	room := p.width - utf8.RuneCountInString(label)
	for first := true; first || text != ""; first = false {
		now := text
		if end := cut(text, room); p.width > 0 && end < len(text) {
			now = text[:end]
			if i := strings.LastIndexByte(now, ' '); i > 0 && text[end] != ' ' {
				now = now[:i]
			}
		}
		text = strings.TrimLeft(text[len(now):], " ")
		p.text.WriteString(strings.TrimRight(p.paint(label, labelColour)+p.paint(strings.TrimRight(now, " "), colour), " ") + "\n")
		label = strings.Repeat(" ", utf8.RuneCountInString(label))
	}
}

// cut returns how many bytes the first n runes of a text have.
func cut(text string, n int) int {
	for i := range text {
		if n--; n < 0 {
			return i
		}
	}
	return len(text)
}

// printable returns a text without control characters, which a terminal could obey: they
// become question marks.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\t':
			return ' '
		case unicode.IsControl(c), unicode.Is(unicode.Cf, c):
			return '?'
		default:
			return c
		}
	}, strings.ToValidUTF8(text, "?"))
}

func (p *printout) paint(text string, colour int) string {
	if !p.colour || colour == plain || strings.TrimSpace(text) == "" {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, text)
}
