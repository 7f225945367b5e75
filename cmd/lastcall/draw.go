package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/report/draw"
	"github.com/lastcall-go/lastcall/viz"
)

const drawHelp = `usage: lastcall draw [flags] file

Draws what happened in a shutdown, as mermaid text.
` + fileHelp + `

  path      the state diagram, with the way that was taken and its times
  sequence  who called whom, when, and how that ended
  gantt     the phases, a bar for every call, the slowest work, the timer and the deadline
`

// What -as and -draw may be; path is the default.
const (
	asPath     = "path"
	asSequence = "sequence"
	asGantt    = "gantt"
)

func drawings() []string { return []string{asPath, asSequence, asGantt} }

func bindDraw(flags *flag.FlagSet) func(context.Context, shell, []string) (int, error) {
	as := flags.String("as", asPath, "`kind` of drawing: "+strings.Join(drawings(), ", ")+" (default "+asPath+")")
	format := flags.String("format", viz.Mermaid.String(), "`format` of the path: mermaid, dot, svg, text or ascii (default mermaid)")
	return func(_ context.Context, sh shell, args []string) (int, error) {
		f, err := viz.ParseFormat(*format)
		if err == nil && f != viz.Mermaid && *as != asPath {
			err = fmt.Errorf("-format %s is for -as %s, not for -as %s", f, asPath, *as)
		}
		switch {
		case !slices.Contains(drawings(), *as):
			return 0, usageError{unknown("-as", *as, drawings())}
		case err != nil:
			return 0, usageError{err}
		}
		r, err := readFile(args)
		if err != nil {
			return 0, err
		}
		drawn, err := drawReport(r, *as, f)
		if err != nil {
			return 0, usageError{fmt.Errorf("%s: %w", args[0], err)}
		}
		_, err = io.WriteString(sh.stdout, drawn)
		return 0, err
	}
}

// drawReport draws a report in one of the kinds of drawings.
func drawReport(r report.Report, as string, f viz.Format) (string, error) {
	switch as {
	case asSequence:
		return draw.Sequence(r)
	case asGantt:
		return draw.Gantt(r)
	case asPath:
		m, err := draw.Path(r)
		if err != nil {
			return "", err
		}
		var b strings.Builder
		err = viz.Draw(&b, m, f)
		return b.String(), err
	default:
		return "", unknown("-as", as, drawings())
	}
}
