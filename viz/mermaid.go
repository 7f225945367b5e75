package viz

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// mermaid draws no arrow to [*] from states that are not marked Terminal: the guide has
// none. Its source, content/en/docs/guides/server-graceful-stop.md in grpc/grpc.io (read
// at commit 028a1d2a6d59, 2026-07-06), has the arrow from [*] to SERVING and the four
// between the states, and nothing else.
func (m Machine) mermaid() string {
	d := mermaidDiagram{ids: make(map[string]string), edges: make(map[string][]levelEdge)}
	chains := m.chains()
	for _, e := range m.Edges {
		in, on := level(chains, e)
		if on.across() {
			in = "" // elsewhere mermaid would move its ends
		}
		d.edges[in] = append(d.edges[in], on)
	}
	walk(m.States, func(s *State, _ string) {
		d.ids[s.Name] = s.Name
		if !plainID(s.Name) || s.label() != s.Name {
			d.ids[s.Name] = fmt.Sprintf("state_%d", len(d.ids)+1)
		}
	})
	if m.Title != "" {
		// stateDiagram-v2 has no title statement: mermaid would draw a state of that name.
		d.printf("---\ntitle: %s\n---\n", quoteYAML(m.Title))
	}
	d.printf("stateDiagram-v2\n")
	if m.Direction != "" {
		d.printf("    direction %s\n", m.Direction)
	}
	d.region("    ", State{States: m.States, Initial: m.Initial}, m.Start)
	d.notes(m.States, m.Edges)
	d.classes(m.States)
	return d.text.String()
}

type mermaidDiagram struct {
	pen
	ids   map[string]string // by state
	edges map[string][]levelEdge
}

// region writes what is inside a state: the start, the states that no arrow introduces, the
// arrows, the ends. Mermaid 10 and 11 lay a circle of states out from the one that they read
// first: the initial one, unless it has or is in a block, to which it would not belong then.
func (d *mermaidDiagram) region(indent string, in State, start string) {
	named := map[string]bool{in.Initial: true}
	for _, e := range d.edges[in.Name] {
		named[e.From], named[e.To] = true, true
	}
	begin := func() { d.arrow(indent, "[*]", d.ids[in.Initial], start) }
	first := slices.ContainsFunc(in.States, func(s State) bool { return s.Name == in.Initial && len(s.States) == 0 })
	if first {
		begin()
	}
	for _, s := range in.States {
		id := d.ids[s.Name]
		as := "state " + id
		if len(s.States) == 0 {
			as = id
		}
		if id != s.Name {
			as = fmt.Sprintf("state \"%s\" as %s", EscapeMermaid(s.label()), id)
		}
		switch {
		case len(s.States) > 0:
			d.printf("%s%s {\n", indent, as)
			d.region(indent+"    ", s, "")
			d.printf("%s}\n", indent)
		case id != s.Name || !named[s.Name]:
			d.printf("%s%s\n", indent, as)
		}
	}
	if in.Initial != "" && !first {
		begin()
	}
	for _, e := range d.edges[in.Name] {
		mark := [...]string{Visited: "✓ ", Current: "✓ ", Forced: "⚡ "}[e.Class]
		d.arrow(indent, d.ids[e.From], d.ids[e.To], mark+e.Label)
	}
	for _, s := range in.States {
		if s.Terminal {
			d.arrow(indent, d.ids[s.Name], "[*]", "")
		}
	}
}

// arrow writes one arrow. Mermaid 12 leaves out a label that is blank, 10 and 11 draw an
// empty one; without the colon there is none.
func (d *mermaidDiagram) arrow(indent, from, to, label string) {
	d.printf("%s%s --> %s", indent, from, to)
	if !blank(label) {
		d.printf(" : %s", EscapeMermaid(label))
	}
	d.printf("\n")
}

// notes also names all but the last of a state's loops to itself, if it has several:
// mermaid 11 and 12 show the last one alone.
func (d *mermaidDiagram) notes(states []State, edges []Edge) {
	walk(states, func(s *State, _ string) {
		notes := slices.Clone(s.Notes)
		var loops []string
		for _, e := range edges {
			if e.From == s.Name && e.To == s.Name && !blank(e.Label) {
				loops = append(loops, e.Label)
			}
		}
		if n := len(loops) - 1; n > 0 {
			notes = append(notes, "also to itself: "+strings.Join(loops[:n], ", "))
		}
		for _, note := range notes {
			d.printf("    note right of %s : %s\n", d.ids[s.Name], EscapeMermaid(note))
		}
	})
}

// classes gives states their colours, which have names because mermaid takes a # as the
// beginning of an escape.
func (d *mermaidDiagram) classes(states []State) {
	members := make(map[Class][]string)
	walk(states, func(s *State, _ string) { members[s.Class] = append(members[s.Class], d.ids[s.Name]) })
	style := [...]string{Visited: "fill:lightgreen,stroke:darkgreen", Current: "fill:gold,stroke:darkorange", Forced: "fill:lightsalmon,stroke:darkred"}
	for class := Visited; class <= Forced; class++ {
		if ids := members[class]; len(ids) > 0 {
			d.printf("    classDef %[1]v %[2]s,stroke-width:3px,color:black\n    class %[3]s %[1]v\n", class, style[class], strings.Join(ids, ","))
		}
	}
}

// plainID reports whether a name can be an id in mermaid as it is: letters, digits and
// underscores, and not a word of mermaid's or a property of JavaScript's objects. Names
// of the form that this package makes itself are none.
func plainID(name string) bool {
	for i, r := range name {
		if !alphanumeric(r) && r != '_' || i == 0 && !unicode.IsLetter(r) {
			return false
		}
	}
	switch lower := strings.ToLower(name); lower {
	case "state", "note", "end", "class", "style", "click", "as", "default", "hide", "scale", "title", "href", "root",
		"fork", "join", "choice", "left", "right", "of", "classdef", "direction", "interpolate", "linkstyle",
		"constructor", "prototype", "tostring", "valueof", "hasownproperty", "isprototypeof", "propertyisenumerable", "tolocalestring":
		return false
	default:
		return len(name) <= 60 && !strings.HasPrefix(lower, "state") && !strings.HasPrefix(lower, "root") &&
			!strings.HasSuffix(lower, "_start") && !strings.HasSuffix(lower, "_end") && !strings.Contains(lower, "direction") && !strings.HasPrefix(lower, "acc") && !strings.HasPrefix(lower, "end") && !strings.HasPrefix(lower, "note")
	}
}
