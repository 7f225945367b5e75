package viz_test

import (
	"encoding/json"
	"fmt"
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

func graphviz(t testing.TB, text string) dotGraph {
	t.Helper()
	dot, err := exec.LookPath("dot")
	if err != nil {
		t.Skip("graphviz is not installed")
	}
	command := exec.CommandContext(t.Context(), dot, "-Tdot_json")
	command.Stdin = strings.NewReader(text)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("dot: %v\n%s\n%s", err, stderr.String(), text)
	}
	var g dotGraph
	if err := json.Unmarshal(out, &g); err != nil {
		t.Fatal(err)
	}
	return g
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
	for name, m := range all {
		readDOT(t, name, m)
	}
}

func readDOT(t testing.TB, name string, m viz.Machine) {
	t.Helper()
	g := graphviz(t, draw(t, m, viz.DOT))
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
	shown, states, edges := map[string]string{}, []string{}, []string{}
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
	gotStates, gotEdges := g.understood()
	if !slices.Equal(gotStates, states) {
		t.Errorf("%s: Graphviz has the states\n%q\nwant\n%q", name, gotStates, states)
	}
	if !slices.Equal(gotEdges, edges) {
		t.Errorf("%s: Graphviz has the edges\n%s\nwant\n%s", name, strings.Join(gotEdges, "\n"), strings.Join(edges, "\n"))
	}
}
