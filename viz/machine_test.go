package viz_test

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/looplab/fsm"

	ours "github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
	"github.com/lastcall-go/lastcall/viz/testdata/machines"
)

// guide is the state diagram of the gRPC guide, byte for byte.
const guide = `stateDiagram-v2
    [*] --> SERVING : Server Started
    SERVING --> GRACEFUL_SHUTDOWN : Graceful Shutdown Called (with Timeout)
    GRACEFUL_SHUTDOWN --> TERMINATED : In-Flight RPCs Completed (Before Timeout)
    GRACEFUL_SHUTDOWN --> TIMER_EXPIRED : Timeout Reached
    TIMER_EXPIRED --> TERMINATED : Forceful Shutdown Called
`

func draw(t testing.TB, m viz.Machine, f viz.Format) string {
	t.Helper()
	var b strings.Builder
	if err := viz.Draw(&b, m, f); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func edge(from, label, to string) viz.Edge { return viz.Edge{From: from, Label: label, To: to} }

func TestTheTableIsTheGuide(t *testing.T) {
	if got := draw(t, viz.FromTable(transitions.Shutdown()), viz.Mermaid); got != guide {
		t.Errorf("got\n%s\nwant\n%s", got, guide)
	}
}

// TestErr: what cannot be drawn is an error that names the state or the edge, in every
// format, and nothing is written.
func TestErr(t *testing.T) {
	a := viz.Machine{Initial: "a", Edges: []viz.Edge{edge("a", "go", "b")}}
	with := func(change func(*viz.Machine)) viz.Machine {
		m := viz.Machine{Initial: "a", Edges: []viz.Edge{edge("a", "go", "b")}}
		change(&m)
		return m
	}
	tests := map[string]struct {
		m    viz.Machine
		want []string
	}{
		"nothing":                  {viz.Machine{}, []string{"the machine has no states"}},
		"the zero table":           {viz.FromTable(ours.Table{}), []string{"zero fsm.Table"}},
		"an unknown detail":        {viz.FromTable(transitions.Shutdown(), 9), []string{"Detail(9)"}},
		"an edge from nothing":     {viz.FromEvents("a", fsm.Events{{Name: "go", Src: []string{""}, Dst: "b"}}), []string{`edge 1 ("go"): from "" to "b"`}},
		"an edge to nothing":       {viz.FromEvents("a", fsm.Events{{Name: "go", Src: []string{"a"}}}), []string{`edge 1 ("go"): from "a" to ""`}},
		"no initial state":         {viz.FromEvents("", fsm.Events{{Name: "go", Src: []string{"a"}, Dst: "b"}}), []string{"initial state has no name"}},
		"a blank name":             {with(func(m *viz.Machine) { m.States = []viz.State{{Name: "\t"}} }), []string{`name "\t"`}},
		"two states of one name":   {with(func(m *viz.Machine) { m.States = []viz.State{{Name: "b"}, {Name: "b"}} }), []string{`two states have the name "b"`}},
		"one inside the other":     {with(func(m *viz.Machine) { m.States = []viz.State{{Name: "b", States: []viz.State{{Name: "b"}}}} }), []string{`two states have the name "b"`}},
		"an unknown class":         {with(func(m *viz.Machine) { m.States = []viz.State{{Name: "b", Class: 9}} }), []string{`state "b": Class(9)`}},
		"an edge's class":          {with(func(m *viz.Machine) { m.Edges[0].Class = 9 }), []string{`edge 1 ("go"): Class(9)`}},
		"a blank note":             {a.Note("b", " "), []string{`state "b" has a blank note`}},
		"a direction":              {with(func(m *viz.Machine) { m.Direction = "up\n" }), []string{`"up\n" is none of TB, BT, LR, RL`}},
		"a blank initial state":    {with(func(m *viz.Machine) { m.Initial = " " }), []string{`initial state has the name " "`}},
		"entered elsewhere":        {with(func(m *viz.Machine) { m.States = []viz.State{{Name: "b", Initial: "a"}} }), []string{`"b" is entered in "a", which is not inside it`}},
		"a mark at no state":       {a.Mark(viz.Current, "b", "c", "d"), []string{`mark "c": there is no such state`, `mark "d"`}},
		"a note at no state":       {a.Note("c", "x"), []string{`note at "c"`}},
		"inside of no state":       {a.Inside("c", "x"), []string{`inside "c"`}},
		"inside of itself":         {a.Inside("b", "x", "b"), []string{`two states have the name "b"`}},
		"a path that jumps":        {a.Path("b", "a"), []string{`step 1 of the path: no edge leads from "b" to "a"`}},
		"everything, all reported": {viz.Machine{Direction: "x", Edges: []viz.Edge{edge("", "1", "a"), edge("a", "2", "")}}, []string{`"x"`, "edge 1", "edge 2"}},
	}
	for name, tt := range tests {
		for f := viz.Mermaid; f <= viz.ASCII; f++ {
			var w recorder
			err := viz.Draw(&w, tt.m, f)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: error %v does not say %q", name, err, want)
				}
			}
			if w.calls != 0 {
				t.Errorf("%s: something was written", name)
			}
		}
		if err := viz.Check(tt.m); err == nil {
			t.Errorf("%s: Check says nothing", name)
		}
	}
	for _, f := range []viz.Format{0, 99} {
		if err := viz.Draw(io.Discard, a, f); err == nil || !strings.Contains(err.Error(), "is not a format") {
			t.Errorf("format %d: error %v", f, err)
		}
	}
}

// TestOddButDrawn: what is suspicious has a picture all the same.
func TestOddButDrawn(t *testing.T) {
	m := viz.Machine{
		Initial: "a",
		States:  []viz.State{{Name: "alone"}},
		Edges:   []viz.Edge{edge("a", "go", "b"), edge("a", "go", "c"), edge("b", "", "b"), edge("x", "never", "a"), edge("a", "go", "b")},
	}
	want := "stateDiagram-v2\n    [*] --> a\n    alone\n    a --> b : go\n    a --> c : go\n    b --> b\n    x --> a : never\n"
	if got := draw(t, m, viz.Mermaid); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCheck(t *testing.T) {
	m := viz.Machine{
		Initial: "a",
		States:  []viz.State{{Name: "alone"}, {Name: "outer", Initial: "in", States: []viz.State{{Name: "in"}, {Name: "lost"}}}},
		Edges: []viz.Edge{
			edge("a", "go", "b"), edge("a", "go", "outer"), edge("x", "never", "a"), edge("a", "go", "b"),
			edge("b", "round", "c"), edge("c", "round", "b"), edge("a", "end", "A "), edge("outer", "", "a"),
		},
	}
	got := strings.Split(viz.Check(m).Error(), "\n")
	want := []string{
		`viz: "a" and "A " differ only in case or in spaces`,
		`viz: "go" has two targets in "a": "b" and "outer"`,
		`viz: the edge "go" from "a" to "b" is there twice`,
		`viz: "alone" cannot be reached from "a"`,
		`viz: no path leads from "b" to an end (alone, A )`,
		`viz: "x" cannot be reached from "a"`,
		`viz: no path leads from "c" to an end (alone, A )`,
		`viz: "lost" cannot be reached from "a"`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	marked := viz.Machine{Initial: "a", States: []viz.State{{Name: "b", Terminal: true}}, Edges: []viz.Edge{edge("a", "x", "b"), edge("b", "y", "c"), edge("a", "z", "d")}}
	for _, want := range []string{`"b" is terminal, but an edge leaves it`, `"c" is a dead end`, `"d" is a dead end`} {
		if err := viz.Check(marked); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %s", err, want)
		}
	}
	for name, fine := range map[string]viz.Machine{
		"groups":           machines.Groups(),
		"the shutdown":     viz.FromTable(transitions.Shutdown(), viz.Phases),
		"runs for ever":    {Initial: "a", Edges: []viz.Edge{edge("a", "x", "b"), edge("b", "x", "a"), edge("b", "y", "b")}},
		"two labels":       {Initial: "a", Edges: []viz.Edge{edge("a", "x", "b"), edge("a", "y", "b")}},
		"without an event": {Initial: "a", Edges: []viz.Edge{edge("a", "", "b"), edge("a", "", "c")}},
	} {
		if err := viz.Check(fine); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAcross: an edge across a border is drawn to the border, and says where it leads.
func TestAcross(t *testing.T) {
	texts := svgText(t, draw(t, machines.Groups(), viz.SVG))
	for _, want := range []string{"(→ working)", "(working → waiting)", "(waiting → bad)", "(worse → busy)", "(slow → waiting)"} {
		if !slices.Contains(texts, want) {
			t.Errorf("the SVG does not say %s: %q", want, texts)
		}
	}
	unreached := machines.Groups()
	unreached.Edges = unreached.Edges[:2]
	for _, want := range []string{`"sick" cannot be reached`, `"bad" cannot be reached`, `"killed" cannot be reached`} {
		if err := viz.Check(unreached); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %s", err, want)
		}
	}
}

// TestCopies: no method changes the machine that it is called on.
func TestCopies(t *testing.T) {
	m := viz.FromTable(transitions.Shutdown(), viz.Phases).Note("SERVING", "x")
	before := draw(t, m, viz.Mermaid)
	_ = m.Mark(viz.Forced, "start").Note("SERVING", "y").Inside("drain", "z").Path("SERVING", "GRACEFUL_SHUTDOWN").Sorted()
	for f := viz.Mermaid; f <= viz.ASCII; f++ {
		draw(t, m, f)
	}
	if after := draw(t, m, viz.Mermaid); after != before {
		t.Errorf("it became\n%s\nfrom\n%s", after, before)
	}
}

func TestPath(t *testing.T) {
	m := viz.Machine{Initial: "a", Edges: []viz.Edge{edge("a", "x", "b"), edge("b", "y", "a"), edge("b", "1", "c"), edge("b", "2", "c")}}
	classes := func(m viz.Machine) (all []viz.Class) {
		for _, e := range m.Edges {
			all = append(all, e.Class)
		}
		for _, s := range m.States {
			all = append(all, s.Class)
		}
		return all
	}
	const v, c = viz.Visited, viz.Current
	if got := classes(m.Path("a", "b", "a", "b")); !slices.Equal(got, []viz.Class{v, v, 0, 0, v, c, 0}) {
		t.Errorf("a run that is not over has the classes %v", got)
	}
	if got := classes(m.Path("a", "b", "c")); !slices.Equal(got, []viz.Class{v, 0, 0, 0, v, v, v}) {
		t.Errorf("a run that is over has the classes %v", got) // and it is not known which way it took at last
	}
}

// TestFromAMap: Sorted gives the same drawing each time.
func TestFromAMap(t *testing.T) {
	rules := map[string]map[string]string{"a": {"x": "b", "y": "c"}, "b": {"x": "c", "z": "a"}, "c": {"x": "a"}}
	build := func() viz.Machine {
		return viz.From("a", maps.All(rules), func(from string, events map[string]string) (all []viz.Edge) {
			for event, to := range events {
				all = append(all, edge(from, event, to))
			}
			return all
		}).Sorted()
	}
	want := draw(t, build(), viz.Mermaid)
	for range 20 {
		if got := draw(t, build(), viz.Mermaid); got != want {
			t.Fatalf("got\n%s\nand\n%s", got, want)
		}
	}
}

// recorder is a writer that keeps what it is given and answers as it is told.
type recorder struct {
	calls int
	text  []byte
	short int // how many bytes it says it did not take
	err   error
}

func (r *recorder) Write(p []byte) (int, error) {
	r.calls++
	r.text = append(r.text, p...)
	return len(p) - r.short, r.err
}

func TestOneWrite(t *testing.T) {
	full := errors.New("disk full")
	for f := viz.Mermaid; f <= viz.ASCII; f++ {
		for manner, tt := range map[string]struct {
			writer recorder
			want   error
		}{
			"all taken":         {recorder{}, nil},
			"an error":          {recorder{err: full}, full},
			"short, an error":   {recorder{err: full, short: 1}, full},
			"short, no error":   {recorder{short: 1}, io.ErrShortWrite},
			"nothing, no error": {recorder{short: 50}, io.ErrShortWrite},
		} {
			if err := viz.Draw(&tt.writer, viz.FromTable(transitions.Shutdown()), f); err != tt.want { //nolint:errorlint // the error of the writer comes back as it is
				t.Errorf("%v, %s: error %v, want %v", f, manner, err, tt.want)
			}
			if tt.writer.calls != 1 || !strings.HasSuffix(string(tt.writer.text), "\n") {
				t.Errorf("%v, %s: %d calls of Write, want one with everything", f, manner, tt.writer.calls)
			}
		}
	}
}
