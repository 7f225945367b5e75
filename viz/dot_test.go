package viz_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall/viz"
)

// dotGraph is what Graphviz understood.
type dotGraph struct {
	Label   string `json:"label"`
	RankDir string `json:"rankdir"`
	Objects []struct {
		Name    string `json:"name"`
		Label   string `json:"label"`
		Style   string `json:"style"`
		Shape   string `json:"shape"`
		Class   string `json:"class"`
		Members []int  `json:"nodes"`
	} `json:"objects"`
	Edges []struct {
		Tail  int    `json:"tail"`
		Head  int    `json:"head"`
		LTail string `json:"ltail"`
		LHead string `json:"lhead"`
		Label string `json:"label"`
		Style string `json:"style"`
	} `json:"edges"`
}

// graphviz has one dot read all graphs.
func graphviz(t *testing.T, graphs string) (all []dotGraph) {
	t.Helper()
	dot, err := exec.LookPath("dot")
	if err != nil {
		t.Skip("graphviz is not installed")
	}
	command := exec.CommandContext(t.Context(), dot, "-Tdot_json")
	command.Stdin = strings.NewReader(graphs)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("dot: %v\n%s\n%s", err, stderr.String(), graphs)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var g dotGraph
		if err := d.Decode(&g); err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	return all
}

// understood returns the edges with the labels of their ends, and the labels of the states.
func (g dotGraph) understood() (states, edges []string) {
	clusters := map[string]string{}
	label := strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace
	for _, o := range g.Objects {
		switch {
		case o.Members != nil:
			clusters[o.Name] = label(o.Label)
			states = append(states, label(o.Label))
		case o.Shape == "note":
			states = append(states, "note "+label(o.Label))
		case o.Shape != "point":
			states = append(states, label(o.Label))
		}
	}
	for _, e := range g.Edges {
		from, to := g.Objects[e.Tail], g.Objects[e.Head]
		if e.Style == "invis" || from.Shape == "note" {
			continue
		}
		end := func(label, cluster, shape, name string) string {
			if cluster != "" {
				return clusters[cluster]
			}
			for _, prefix := range []string{`\nout of `, `\ninto `} { // the invisible ends inside a cluster
				if state, ok := strings.CutPrefix(name, prefix); ok {
					return clusters[`cluster\n`+state]
				}
			}
			if shape == "point" {
				return "[*]"
			}
			return label
		}
		edges = append(edges, fmt.Sprintf("%q %q %q", end(label(from.Label), e.LTail, from.Shape, from.Name), label(e.Label), end(label(to.Label), e.LHead, to.Shape, to.Name)))
	}
	slices.Sort(states)
	slices.Sort(edges)
	return states, edges
}

// TestDOT: real Graphviz understands every state and every edge, and nothing else.
func TestDOT(t *testing.T) {
	all := samples()
	loop := all["everything"]
	loop.Edges = slices.DeleteFunc(loop.Edges, func(e viz.Edge) bool { return e.From == "outer" && e.To == "outer" })
	all["everything"] = loop // a cluster's edge to itself has no ends that are clusters
	readDOT(t, all)
}

func readDOT(t *testing.T, machines map[string]viz.Machine) {
	t.Helper()
	var graphs strings.Builder
	names := slices.Sorted(maps.Keys(machines))
	for _, name := range names {
		graphs.WriteString(draw(t, machines[name], viz.DOT))
	}
	read := graphviz(t, graphs.String())
	if len(read) != len(names) {
		t.Fatalf("Graphviz read %d graphs of %d", len(read), len(names))
	}
	for i, g := range read {
		states, edges := meant(machines[names[i]])
		gotStates, gotEdges := g.understood()
		if !slices.Equal(gotStates, states) {
			t.Errorf("%q: Graphviz has the states\n%q\nwant\n%q", names[i], gotStates, states)
		}
		if !slices.Equal(gotEdges, edges) {
			t.Errorf("%q: Graphviz has the edges\n%s\nwant\n%s", names[i], strings.Join(gotEdges, "\n"), strings.Join(edges, "\n"))
		}
	}
}

// meant returns what understood should.
func meant(m viz.Machine) (states, edges []string) {
	show := func(text string) string { // Graphviz gives back entities as they are
		text = strings.NewReplacer("&", "&amp;", "\r\n", "\n", "\r", "\n", "\t", " ", "\u2028", "\n").Replace(text)
		return strings.Map(func(r rune) rune {
			if q := []rune(squeeze(string(r))); len(q) == 1 {
				return q[0]
			}
			return r
		}, text)
	}
	label := func(text string) string { // none if it is blank
		if strings.TrimSpace(text) == "" {
			return ""
		}
		return show(text)
	}
	shown := map[string]string{}
	var initials []string
	var add func([]viz.State)
	add = func(list []viz.State) {
		for _, s := range list {
			shown[s.Name] = show(s.Name)
			if l := label(s.Label); l != "" {
				shown[s.Name] = l
			}
			states = append(states, shown[s.Name])
			for _, n := range s.Notes {
				states = append(states, "note "+show(n))
			}
			if s.Initial != "" {
				initials = append(initials, s.Initial)
			}
			add(s.States)
		}
	}
	add(m.States)
	missing := func(n string) {
		if _, ok := shown[n]; !ok && n != "" {
			add([]viz.State{{Name: n}})
		}
	}
	missing(m.Initial)
	for _, e := range m.Edges {
		missing(e.From)
		missing(e.To)
	}
	for _, e := range m.Edges {
		edges = append(edges, fmt.Sprintf("%q %q %q", shown[e.From], label(e.Label), shown[e.To]))
	}
	for _, i := range initials {
		edges = append(edges, fmt.Sprintf("%q %q %q", "[*]", "", shown[i]))
	}
	if m.Initial != "" {
		edges = append(edges, fmt.Sprintf("%q %q %q", "[*]", label(m.Start), shown[m.Initial]))
	}
	slices.Sort(states)
	slices.Sort(edges)
	return states, edges
}
