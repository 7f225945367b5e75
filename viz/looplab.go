package viz

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/looplab/fsm"
)

// FromEvents makes a Machine from what looplab's NewFSM is given. Each source of an
// event is an edge with the event's name, in the order of the events. An event without
// sources is none, as for NewFSM; Check reports it.
//
// An event that occurs in a state with two targets gives two edges. NewFSM takes the
// last one and says nothing; Check reports them.
func FromEvents(initial string, events fsm.Events) Machine {
	m := Machine{Initial: initial}
	if initial == "" {
		m.errs.add("the initial state has no name")
	}
	for _, event := range events {
		if len(event.Src) == 0 {
			m.lost.add("the event %q to %q leads from no state", event.Name, event.Dst)
		}
		for _, src := range event.Src {
			m.Edges = append(m.Edges, Edge{From: src, To: event.Dst, Label: event.Name})
		}
	}
	return m
}

// FromFSM makes a Machine from a running one, in looplab's order (by source, then by
// event), with its present state marked Current. It has no initial state, because
// looplab does not remember it; set Initial, if you know it. FromEvents knows more.
//
// looplab keeps its transitions to itself. They are read from looplab's own drawing,
// VisualizeForMermaidWithGraphType, so a name with a line break is an error, and no other
// goroutine may fire an event or set the state in the meantime: that drawing takes no
// lock. FromEvents(...).Mark(viz.Current, machine.Current()) has no such limits.
func FromFSM(machine *fsm.FSM) Machine {
	var m Machine
	if machine == nil {
		m.errs.add("the *fsm.FSM is nil")
		return m
	}
	text, err := fsm.VisualizeForMermaidWithGraphType(machine, fsm.FlowChart)
	if err != nil {
		m.errs.add("looplab does not draw the machine: %w", err)
		return m
	}
	node := regexp.MustCompile(`^    id(\d+)\[(.*)\]$`)
	arrow := regexp.MustCompile(`^    id(\d+) --> \|(.*)\| id(\d+)$`)
	var names []string
	name := func(id string) string {
		n, err := strconv.Atoi(id)
		if err != nil || n >= len(names) {
			m.errs.add("looplab's drawing names a state %q that it does not have: a name with a line break?", id)
			return id
		}
		return names[n]
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if n := node.FindStringSubmatch(line); n != nil && n[1] == strconv.Itoa(len(names)) {
			names = append(names, n[2])
		} else if a := arrow.FindStringSubmatch(line); a != nil {
			m.Edges = append(m.Edges, Edge{From: name(a[1]), To: name(a[3]), Label: a[2]})
		} else if line != "" && line != "graph LR" && !strings.HasPrefix(line, "    style ") {
			m.errs.add("looplab's drawing has the line %q: a name with a line break cannot be read back", line)
		}
	}
	current := machine.Current()
	var out []string
	for _, e := range m.Edges {
		if e.From == current {
			out = append(out, e.Label)
		}
	}
	events := machine.AvailableTransitions()
	slices.Sort(out)
	slices.Sort(events)
	if !slices.Equal(out, events) {
		m.errs.add("looplab's drawing has the events %q in %q, the machine %q", out, current, events)
	}
	if !slices.Contains(names, current) {
		m.States = append(m.States, State{Name: current})
	}
	if len(m.errs) > 0 {
		return m
	}
	return m.Mark(Current, current)
}
