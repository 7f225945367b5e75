package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

const diagramHelp = `usage: lastcall diagram [flags]
       lastcall diagram [flags] packages

Prints a diagram of a shutdown: its states and the transitions between them, or the
sequence diagram of the gRPC guide on graceful shutdown. Without flags it is the
guide's state diagram, as mermaid text.

With packages (./..., as for the go command) it draws the state machines in them: each
call of NewFSM of github.com/looplab/fsm, from the source, without running it. What it
cannot evaluate it names on stderr, with file and line. Files of tests are not read.

A block of a markdown file is what stands between two lines with a machine's name:

  <!-- lastcall:order.New -->
  <!-- /lastcall:order.New -->

-update writes the drawings into the blocks; -check exits with 1 and a diff if one of
them differs from the code.
`

// What -kind may be; state is the default.
const (
	kindState    = "state"
	kindSequence = "sequence"
)

func bindDiagram(flags *flag.FlagSet) func(context.Context, shell, []string) (int, error) {
	kind := flags.String("kind", kindState, "`kind` of diagram: state or sequence (default state)")
	format := flags.String("format", viz.Mermaid.String(), "`format` of a state diagram: mermaid, dot, svg, text or ascii (default mermaid)")
	direction := flags.String("direction", "", "`way` a state diagram runs: TB, BT, LR or RL (default: top to bottom, or what mermaid decides)")
	title := flags.String("title", "", "`text` above the diagram")
	calls := flags.Bool("calls", false, "show which call each transition of the state diagram makes")
	phases := flags.Bool("phases", false, "show inside each state of the state diagram the phases that it has")
	packages := bindPackages(flags)
	return func(ctx context.Context, sh shell, args []string) (int, error) {
		given := make(map[string]bool)
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		if len(args) > 0 {
			packages.format, packages.direction, packages.title = *format, *direction, *title
			return packages.run(ctx, sh, args, given)
		}

		err := misplaced(given, "the machines in packages: name the packages behind the flags", "machine", "o", "check", "update")
		if given["title"] && strings.TrimSpace(*title) == "" {
			err = errors.New("-title is blank")
		}
		var b strings.Builder
		switch *kind {
		case kindState:
			var details []viz.Detail
			if *calls {
				details = append(details, viz.Calls)
			}
			if *phases {
				details = append(details, viz.Phases)
			}
			machine := viz.FromTable(transitions.Shutdown(), details...)
			machine.Title, machine.Direction = *title, viz.Direction(*direction)
			if given["direction"] && *direction == "" {
				err = errors.Join(err, errors.New(`-direction "" is none of TB, BT, LR, RL`))
			}
			f, unknown := viz.ParseFormat(*format)
			if err = errors.Join(err, unknown); err == nil {
				err = viz.Draw(&b, machine, f)
			}
		case kindSequence:
			err = errors.Join(err, misplaced(given, "-kind state, not for -kind sequence", "format", "direction", "calls", "phases"))
			b.WriteString(viz.GuideSequence(*title))
		default:
			err = errors.Join(err, unknown("-kind", *kind, []string{kindState, kindSequence}))
		}
		if err != nil { // every error so far is one of the flags
			return 0, usageError{err}
		}
		_, err = sh.stdout.Write([]byte(b.String()))
		return 0, err
	}
}

// misplaced returns an error for each of the flags that is given, since it is for something else.
func misplaced(given map[string]bool, other string, flags ...string) (err error) {
	for _, name := range flags {
		if given[name] {
			err = errors.Join(err, fmt.Errorf("-%s is for %s", name, other))
		}
	}
	return err
}
