package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/report/draw"
	"github.com/lastcall-go/lastcall/viz"
)

const drawHelp = `usage: lastcall draw [flags] file

Draws what happened in a shutdown, as mermaid text. The file is a report, as
json.Marshal(report) writes it, or the JSON lines of report.Recorder; - is stdin.

  path      the state diagram, with the way that was taken and its times
  sequence  who called whom, when, and how that ended
  gantt     the phases, a bar for every call, the timer and the deadline
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
		case len(args) != 1:
			return 0, usageError{errors.New("name one file, or - for stdin")}
		}
		var text []byte
		if args[0] == "-" {
			text, err = io.ReadAll(os.Stdin)
		} else {
			text, err = os.ReadFile(args[0])
		}
		if err != nil {
			return 0, usageError{err}
		}
		r, err := readReport(text)
		if err != nil {
			return 0, usageError{fmt.Errorf("%s: %w", args[0], err)}
		}
		drawn, err := drawReport(r, *as, f)
		if err != nil {
			return 0, usageError{fmt.Errorf("%s: %w", args[0], err)}
		}
		_, err = io.WriteString(sh.stdout, drawn)
		return 0, err
	}
}

// readReport reads a report, or lines of Steps.
func readReport(text []byte) (r report.Report, err error) {
	var one struct {
		Outcome *string
		Kind    *string
	}
	switch err := json.NewDecoder(bytes.NewReader(text)).Decode(&one); {
	case errors.Is(err, io.EOF):
		return r, errors.New("it is empty")
	case err != nil:
		return r, fmt.Errorf("it is neither a report nor lines of steps: %w", err)
	case one.Kind != nil:
		return report.ReadRecord(bytes.NewReader(text))
	case one.Outcome == nil:
		return r, errors.New("it is neither a report, which has an outcome, nor lines of steps, which have a kind")
	}
	err = json.Unmarshal(text, &r)
	return r, err
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
