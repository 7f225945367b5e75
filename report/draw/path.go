package draw

import (
	"fmt"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

// Path returns the state diagram of a shutdown with the way that was taken: each
// transition with its time, each state with how long the shutdown was in it. From the
// timer on, states and transitions have the class Forced.
func Path(r report.Report) (viz.Machine, error) {
	if err := check(r); err != nil {
		return viz.Machine{}, err
	}
	m := viz.FromTable(transitions.Shutdown())
	m.Title = headline(r)
	class := viz.Visited
	in, since := fsm.Serving, r.Triggered
	leave := func(t time.Time) {
		text := ms(t.Sub(since))
		if in == fsm.Serving {
			text += " after the trigger"
		}
		m = m.Mark(class, in.String()).Note(in.String(), text)
	}
	for _, s := range r.Steps {
		if s.Kind != report.KindTransition {
			continue
		}
		leave(s.Start)
		if s.Transition.Event == fsm.Timeout {
			class = viz.Forced
		}
		row, ok := transitions.Shutdown().Next(in, s.Transition.Event)
		if !ok || row.To != s.State {
			return viz.Machine{}, fmt.Errorf("draw: the report goes from %v to %v on %v, and the table has no such row", in, s.State, s.Transition.Event)
		}
		i := slices.IndexFunc(m.Edges, func(e viz.Edge) bool {
			return e.From == row.From.String() && e.To == row.To.String() && e.Label == row.Label
		})
		m.Edges[i].Class = class
		m.Edges[i].Label += ", " + at(r, s.Start)
		in, since = s.State, s.Start
	}
	leave(r.Ended)
	if !in.Terminal() {
		m = m.Mark(viz.Current, in.String())
	}
	return m, nil
}
