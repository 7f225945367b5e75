package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

const diagramHelp = `usage: lastcall diagram [flags]

Prints a diagram as mermaid text, for a page or editor that draws mermaid: the
states of a shutdown and the transitions between them, or the sequence diagram of
the gRPC guide on graceful shutdown. Without flags it is the guide's state diagram.
`

// What -kind may be; state is the default.
const (
	kindState    = "state"
	kindSequence = "sequence"
)

func bindDiagram(flags *flag.FlagSet) func(context.Context, shell, []string) (int, error) {
	kind := flags.String("kind", kindState, "`kind` of diagram: state or sequence (default state)")
	direction := flags.String("direction", "", "`way` the state diagram runs: TB, BT, LR or RL (default: mermaid decides)")
	title := flags.String("title", "", "`text` above the diagram")
	calls := flags.Bool("calls", false, "show which call each transition of the state diagram makes")
	notes := flags.Bool("notes", false, "note at each state of the state diagram the phases that it has")
	return func(_ context.Context, sh shell, _ []string) (int, error) {
		given := make(map[string]bool)
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })

		var b bytes.Buffer
		var err error
		switch *kind {
		case kindState:
			var opts []viz.Option
			if given["direction"] {
				opts = append(opts, viz.Direction(*direction))
			}
			if given["title"] {
				opts = append(opts, viz.Title(*title))
			}
			if *calls {
				opts = append(opts, viz.Calls())
			}
			if *notes {
				opts = append(opts, phaseNotes()...)
			}
			err = viz.State(&b, transitions.Shutdown(), opts...)
		case kindSequence:
			for _, name := range []string{"direction", "calls", "notes"} {
				if given[name] {
					err = errors.Join(err, fmt.Errorf("-%s is for -kind state, not for -kind sequence", name))
				}
			}
			var opts []viz.SequenceOption
			if given["title"] {
				opts = append(opts, viz.Title(*title))
			}
			err = errors.Join(err, viz.Sequence(&b, opts...))
		default:
			err = unknown("-kind", *kind, []string{kindState, kindSequence})
		}
		if err != nil { // every error so far is one of the flags
			return 0, usageError{err}
		}
		_, err = sh.stdout.Write(b.Bytes())
		return 0, err
	}
}

// phasesOf are the phases that a state is divided into.
func phasesOf(s fsm.State) []lastcall.Phase {
	switch s {
	case fsm.Serving:
		return []lastcall.Phase{lastcall.PhaseStart, lastcall.PhaseServe, lastcall.PhaseAnnounce, lastcall.PhaseSettle}
	case fsm.GracefulShutdown:
		return []lastcall.Phase{lastcall.PhaseDrain}
	case fsm.TimerExpired:
		return []lastcall.Phase{lastcall.PhaseCancel, lastcall.PhaseStop, lastcall.PhaseCut, lastcall.PhaseWait}
	case fsm.Terminated:
		return []lastcall.Phase{lastcall.PhaseClose, lastcall.PhaseFlush}
	default:
		return nil
	}
}

func phaseNotes() []viz.Option {
	var notes []viz.Option
	for _, s := range slices.Collect(transitions.Shutdown().States()) {
		var names []string
		for _, p := range phasesOf(s) {
			names = append(names, p.String())
		}
		if len(names) > 0 {
			notes = append(notes, viz.Note(s, "phases ("+strings.Join(names, ", ")+")"))
		}
	}
	return notes
}
