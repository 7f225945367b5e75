package viz

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lastcall-go/lastcall/fsm"
)

// Option changes what State draws: Calls, Direction, Note, Path, Title. An option
// that cannot be obeyed makes State return an error that says why; none is
// ignored. Note may be given as often as one likes, the others once.
type Option interface {
	applyState(*stateDiagram) error
}

// SequenceOption changes what Sequence draws. Only Title is one: the others have
// no meaning in a sequence diagram, and the compiler refuses them there.
type SequenceOption interface {
	applySequence(*sequenceDiagram) error
}

type stateOption func(*stateDiagram) error

func (o stateOption) applyState(d *stateDiagram) error { return o(d) }

// Direction says which way the diagram runs: "TB" (top to bottom), "BT", "LR" or
// "RL". Any other text is an error that quotes it. Without this option mermaid
// decides: top to bottom, but mermaid 10 takes over the direction of the diagram
// before it on the same page.
func Direction(direction string) Option {
	return stateOption(func(d *stateDiagram) error {
		switch direction {
		case "TB", "BT", "LR", "RL":
		default:
			return fmt.Errorf("viz: direction %q is none of TB, BT, LR, RL", direction)
		}
		if d.direction != "" {
			return fmt.Errorf("viz: direction %q after direction %q: only one is possible", direction, d.direction)
		}
		d.direction = direction
		return nil
	})
}

// TitleOption is what Title returns: an option of State and of Sequence.
type TitleOption struct{ text string }

// Title writes a title above the diagram. A blank one is an error.
func Title(text string) TitleOption { return TitleOption{text} }

func (o TitleOption) applyState(d *stateDiagram) error { return o.set(&d.title) }

func (o TitleOption) applySequence(d *sequenceDiagram) error { return o.set(&d.title) }

func (o TitleOption) set(title *string) error {
	if strings.TrimSpace(o.text) == "" {
		return errors.New("viz: the title is blank")
	}
	if *title != "" {
		return fmt.Errorf("viz: title %q after title %q: only one is possible", o.text, *title)
	}
	*title = o.text
	return nil
}

// Note writes a note to the right of a state. A state that the table does not
// have and a blank text are errors. Several notes at one state stand in the order
// of the options.
func Note(at fsm.State, text string) Option {
	return stateOption(func(d *stateDiagram) error {
		if !slices.Contains(slices.Collect(d.table.States()), at) {
			return fmt.Errorf("viz: note %q is at %v, which is not a state of the table", text, at)
		}
		if strings.TrimSpace(text) == "" {
			return fmt.Errorf("viz: the note at %v is blank", at)
		}
		d.notes = append(d.notes, note{at, text})
		return nil
	})
}

// Calls shows, behind the label of each arrow, what entering the state at its
// head calls: "Timeout Reached / Stop".
func Calls() Option {
	return stateOption(func(d *stateDiagram) error {
		if d.calls {
			return errors.New("viz: Calls is given twice")
		}
		d.calls = true
		return nil
	})
}

// Path highlights the states of a run, as a report lists them: from the initial
// state on, each reached from the one before it by a row of the table. It need
// not end in a terminal state. No states, a wrong first state and a step without
// a row are errors.
func Path(states ...fsm.State) Option {
	states = slices.Clone(states)
	return stateOption(func(d *stateDiagram) error {
		if len(states) == 0 {
			return errors.New("viz: the path has no states")
		}
		if states[0] != d.table.Initial() {
			return fmt.Errorf("viz: the path begins in %v, the table in %v", states[0], d.table.Initial())
		}
		for i, to := range states[1:] {
			if from := states[i]; !leads(d.table, from, to) {
				return fmt.Errorf("viz: step %d of the path: no row of the table leads from %v to %v", i+1, from, to)
			}
		}
		if d.path != nil {
			return errors.New("viz: a second path: only one is possible")
		}
		d.path = states
		return nil
	})
}

// leads reports whether a row of the table goes from one state to the other.
func leads(t fsm.Table, from, to fsm.State) bool {
	for row := range t.All() {
		if row.From == from && row.To == to {
			return true
		}
	}
	return false
}
