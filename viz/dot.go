package viz

import (
	"fmt"
	"strings"
)

// dotStyle returns what a state or an edge of a class looks like. The class itself is
// written too, for a style sheet over an SVG that Graphviz makes.
func dotStyle(c Class, state bool) string {
	if c == Plain {
		return ""
	}
	style := [...]struct{ line, state, edge string }{
		Visited: {`color="#1a7f37", penwidth=2.5`, `, fillcolor="#dafbe1"`, ""},
		Current: {`color="#9a6700", penwidth=3.5`, `, fillcolor="#fff8c5"`, ""},
		Forced:  {`color="#cf222e", penwidth=2.5`, `, fillcolor="#ffebe9"`, `, style=dashed`},
	}[c]
	if state {
		return fmt.Sprintf(`, class="%v", %s%s`, c, style.line, style.state)
	}
	return fmt.Sprintf(`, class="%v", %s%s`, c, style.line, style.edge)
}

// dot writes the machine as a digraph. A state is a node whose name is the state's, or a
// cluster if there are states inside. Edges to a cluster end at an invisible node above
// what is inside, and edges from it begin at one below that, so that clusters stand below
// one another. What this package adds has names that begin with a newline, which no state's does.
func (m Machine) dot() string {
	d := dotGraph{edges: m.levels(), chains: m.chains(), inside: make(map[string]bool), ids: make(map[string]string)}
	walk(m.States, func(s *State, _ string) {
		d.inside[s.Name] = len(s.States) > 0
		d.ids[s.Name] = s.Name
		if visible(s.Name) != s.Name || strings.HasPrefix(s.Name, "\n") {
			d.ids[s.Name] = fmt.Sprintf("\nstate %d", len(d.ids)+1) // others may look the same
		}
	})
	direction := m.Direction
	if direction == "" {
		direction = TopDown
	}
	d.printf("digraph {\n    compound=true\n    rankdir=%s\n", direction)
	if !blank(m.Title) {
		d.printf("    labelloc=t\n    label=%s\n", quoteDOT(m.Title))
	}
	d.printf("    node [shape=box, style=\"rounded,filled\", fillcolor=\"#f6f8fa\", fontname=\"Helvetica,sans-serif\"]\n" +
		"    edge [fontname=\"Helvetica,sans-serif\", fontsize=11]\n    graph [fontname=\"Helvetica,sans-serif\"]\n")
	d.region("    ", State{States: m.States, Initial: m.Initial}, m.Start)
	d.printf("}\n")
	return d.text.String()
}

type dotGraph struct {
	pen
	edges  map[string][]levelEdge
	chains map[string][]string
	inside map[string]bool   // by state: there are states inside
	ids    map[string]string // by state
}

func (d *dotGraph) region(indent string, in State, start string) {
	for _, s := range in.States {
		d.state(indent, s)
		for i, note := range s.Notes {
			id := quoteDOT(fmt.Sprintf("\nnote %d of %s", i+1, d.ids[s.Name]))
			d.printf("%s%s [shape=note, style=filled, fillcolor=\"#fff8c5\", fontsize=11, label=%s]\n", indent, id, quoteDOT(note))
			d.edge(indent, Edge{To: s.Name}, id, "style=dashed, arrowhead=none")
		}
	}
	if in.Initial != "" {
		id := quoteDOT("\nstart of " + d.ids[in.Name])
		d.printf("%s%s [shape=point, width=0.15, fillcolor=black, label=\"\"]\n", indent, id)
		d.edge(indent, Edge{To: in.Initial, Label: start}, id, "")
	}
	for _, e := range d.edges[in.Name] {
		d.edge(indent, e.Edge, d.end(e.From, "out of "), "")
	}
}

func (d *dotGraph) state(indent string, s State) {
	attributes := "label=" + quoteDOT(s.label())
	if s.Terminal {
		attributes += ", peripheries=2"
	}
	attributes += dotStyle(s.Class, true)
	if len(s.States) == 0 {
		d.printf("%s%s [%s]\n", indent, d.end(s.Name, ""), attributes)
		return
	}
	d.printf("%ssubgraph %s {\n%[1]s    graph [style=\"rounded,filled\", fillcolor=\"#ffffff\", %[3]s]\n", indent, d.cluster(s.Name), attributes)
	into, out := d.end(s.Name, "into "), d.end(s.Name, "out of ")
	d.printf("%[1]s    %[2]s [shape=point, style=invis, width=0, label=\"\"]\n%[1]s    %[3]s [shape=point, style=invis, width=0, label=\"\"]\n", indent, into, out)
	for _, in := range s.States {
		d.printf("%s    %s -> %s -> %s [style=invis]\n", indent, into, d.end(in.Name, "into "), d.end(in.Name, "out of "))
		d.printf("%s    %s -> %s [style=invis]\n", indent, d.end(in.Name, "out of "), out)
	}
	d.region(indent+"    ", s, "")
	d.printf("%s}\n", indent)
}

// end returns the node at which edges into, or out of, a state end.
func (d *dotGraph) end(name, where string) string {
	if d.inside[name] {
		return quoteDOT("\n" + where + d.ids[name])
	}
	return quoteDOT(d.ids[name])
}

func (d *dotGraph) cluster(name string) string { return quoteDOT("cluster\n" + d.ids[name]) }

func (d *dotGraph) edge(indent string, e Edge, from, attributes string) {
	var all []string
	if attributes != "" {
		all = append(all, attributes)
	}
	if !blank(e.Label) {
		all = append(all, "label="+quoteDOT(e.Label))
	}
	if d.inside[e.From] && !contains(d.chains, e.From, e.To) {
		all = append(all, "ltail="+d.cluster(e.From))
	}
	if d.inside[e.To] && (e.From == "" || !contains(d.chains, e.To, e.From)) {
		all = append(all, "lhead="+d.cluster(e.To))
	}
	text := strings.TrimPrefix(strings.Join(all, ", ")+dotStyle(e.Class, false), ", ")
	if text != "" {
		text = " [" + text + "]"
	}
	d.printf("%s%s -> %s%s\n", indent, from, d.end(e.To, "into "), text)
}

// quoteDOT returns text as a quoted string, which Graphviz shows as it is: a backslash is
// doubled, since it begins escapes such as \N and \l, and an ampersand is written as an
// entity, since Graphviz reads those.
func quoteDOT(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "&", "&amp;").Replace(visible(text)) + `"`
}
