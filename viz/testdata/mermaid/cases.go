// Command mermaid prints, as JSON, diagrams that package viz draws and what each
// is meant to say. check.mjs has mermaid read them.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
	"github.com/lastcall-go/lastcall/viz/testdata/machines"
)

// Case is a diagram with its meaning. States are called by what the diagram shows for
// them, and the start and the end by [*].
type Case struct {
	Name      string      `json:"name"`
	Text      string      `json:"text"`
	Guide     string      `json:"guide,omitempty"` // has the same meaning
	Title     string      `json:"title"`
	Direction string      `json:"direction,omitempty"`
	States    [][2]string `json:"states,omitempty"`     // what it is inside of, name
	Edges     [][3]string `json:"edges,omitempty"`      // from, to, label
	Notes     [][2]string `json:"notes,omitempty"`      // state, text
	Classes   [][2]string `json:"classes,omitempty"`    // state, class
	Hidden    []string    `json:"hidden,omitempty"`     // labels that some versions do not show
	ParseOnly bool        `json:"parse_only,omitempty"` // to save time: what the SVG shows has been seen in other cases
}

// The diagrams of https://grpc.io/docs/guides/server-graceful-stop/.
const (
	guideState = `stateDiagram-v2
    [*] --> SERVING : Server Started
    SERVING --> GRACEFUL_SHUTDOWN : Graceful Shutdown Called (with Timeout)
    GRACEFUL_SHUTDOWN --> TERMINATED : In-Flight RPCs Completed (Before Timeout)
    GRACEFUL_SHUTDOWN --> TIMER_EXPIRED : Timeout Reached
    TIMER_EXPIRED --> TERMINATED : Forceful Shutdown Called
`
	guideSequence = `sequenceDiagram
Client->>Server: New RPC Request 1
Client->>Server: New RPC Request 2
Server-->>Server: Graceful Shutdown Invoked
Server->>Client: Continues Processing In-Flight RPCs
Client->>Client: Detects server shutdown and finds other servers if available
alt RPCs complete within timeout
    Server->>Client: Completes RPC 1
    Server->>Client: Completes RPC 2
    Server-->>Server: Graceful Shutdown Complete
else Timeout reached
    Server->>Client: Forceful Shutdown Invoked, terminating pending RPCs
    Server-->>Server: Forceful Shutdown Complete
end
`
)

// words are texts that mean something to mermaid, to markdown, to YAML or to HTML.
var words = []string{
	"direction LR", "Direction\ttb", "a direction  RL b", "redirection BT", "direction direction LR", "00_direCtion LR",
	"_a_", "__a__ b", "a_b", "a__b", "_", "__", "GRACEFUL_SHUTDOWN", "a_ b _c", "(_a_)", "é_b_é",
	"end", "end note", "state x", "note right of SERVING", "[*]", "[*] --> X : y", "classDef a fill:red", "class SERVING x",
	"title x", "accTitle: x", "wrap: x", "nowrap: x", "as x", "default", "style a:#b;", "scale 5 width", "<<fork>>",
	"1. a", "12) a", "- a", "-- a", "---", "...", "    a", "# a", "> a", "* a", "**a**", "`a`", "```", "$$x^2$$", "![a](b)",
	"%% a", "%%{init: {}}%%", "//", "http://a.b/c", "www.a.com", "fa:fa-car", ":::x", "\\n", "\\", "\\\\", "'", "\"",
	"<b>a</b>", "a < b", "a<b", "a<=>b", "<", "<script>alert(1)</script>", "<br/>", "&lt;", "&amp;", "#35;", "#quot;", "#9829;",
	"null", "true", "0x10", "2026-01-01", "~", "{a}", "[a]", "- a: b", "!x", "&x", "*x", "|", "@a",
	"a\nb", "a\r\nb", "a\n\nb", "\na\n", "a\n---\nb", "a\n    b --> c", "a\tb", "a  b",
	"é 日本 😀", "a\u00a0b", "a\u0080b", "a\u0085b", "a\u2028b", "a\ufeffb", "a\ufffeb", "\u202ea", "\U000e0001a",
}

func main() {
	if err := json.NewEncoder(os.Stdout).Encode(cases()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func cases() []Case {
	shutdown := viz.FromTable(transitions.Shutdown())
	titled := shutdown
	titled.Direction, titled.Title = viz.LeftRight, "How it ends"
	guide := state("the guide's states", shutdown)
	guide.Guide = guideState
	all := []Case{
		guide,
		state("direction and title", titled),
		state("path to the end", shutdown.Path("SERVING", "GRACEFUL_SHUTDOWN", "TIMER_EXPIRED", "TERMINATED").Mark(viz.Forced, "TIMER_EXPIRED")),
		state("path so far", shutdown.Path("SERVING")),
		state("calls", viz.FromTable(transitions.Shutdown(), viz.Calls)),
		state("phases", viz.FromTable(transitions.Shutdown(), viz.Phases)),
		state("everything", machines.Everything()),
		state("groups", machines.Groups()),
		sequence("the guide's sequence", ""),
		sequence("sequence with a title", "Who says what"),
		state("no labels", hostile("")),
	}
	for _, d := range []viz.Direction{viz.TopDown, viz.BottomUp, viz.LeftRight, viz.RightLeft} {
		m := shutdown
		m.Direction = d
		all = append(all, state("direction "+string(d), m))
	}
	for _, m := range machines.All() {
		all = append(all, state(m.Name, viz.FromEvents(m.Initial, m.Events)))
	}
	letters := append(ascii(), strings.Repeat("long ", 60), strings.Repeat("x", 300))
	for i, text := range append(letters, words...) {
		c := state(fmt.Sprintf("state %q", text), hostile(text))
		s := sequence(fmt.Sprintf("sequence %q", text), text)
		c.ParseOnly, s.ParseOnly = i >= len(letters), i >= len(letters)
		all = append(all, c, s)
	}
	for i := range 60 {
		text := nasty(rand.New(rand.NewPCG(uint64(i), 12)))
		c := state(fmt.Sprintf("nasty %q", text), hostile(text))
		c.ParseOnly = i%4 > 0
		all = append(all, c)
	}
	return append(all, state("ids", ids()))
}

// nasty returns a text of pieces that mean something.
func nasty(r *rand.Rand) string {
	text := ""
	for range 1 + r.IntN(6) {
		piece := words[r.IntN(len(words))]
		if r.IntN(3) == 0 {
			piece = string(rune(33 + r.IntN(94)))
		}
		text += piece
	}
	return text
}

// ascii returns texts that have every ASCII character at the beginning or the end
// of a word, between letters and alone, and one that has them in order.
func ascii() []string {
	var texts []string
	var all string
	for c := rune(0); c < 128; c += 4 {
		var text string
		for _, r := range []rune{c, c + 1, c + 2, c + 3} {
			s := string(r)
			text += s + "a" + s + "b" + s + " " + s + " "
			all += s
		}
		texts = append(texts, text)
	}
	return append(texts, all)
}

// state returns a case whose meaning is read from the machine.
func state(name string, m viz.Machine) Case {
	c := Case{Name: name, Title: m.Title, Direction: string(m.Direction)}
	label, parent := map[string]string{}, map[string]string{}
	var add func(states []viz.State, in string)
	add = func(states []viz.State, in string) {
		for _, s := range states {
			shown := s.Label
			if shown == "" {
				shown = s.Name
			}
			label[s.Name], parent[s.Name] = shown, in
			c.States = append(c.States, [2]string{in, shown})
			if s.Initial != "" {
				defer func() { c.Edges = append(c.Edges, [3]string{"[*]", label[s.Initial], ""}) }()
			}
			if s.Terminal {
				defer func() { c.Edges = append(c.Edges, [3]string{label[s.Name], "[*]", ""}) }()
			}
			for _, n := range s.Notes {
				c.Notes = append(c.Notes, [2]string{shown, n})
			}
			if s.Class != viz.Plain {
				c.Classes = append(c.Classes, [2]string{shown, s.Class.String()})
			}
			add(s.States, shown)
		}
	}
	add(m.States, "")
	missing := func(name string) {
		if _, ok := label[name]; !ok && name != "" {
			add([]viz.State{{Name: name}}, "")
		}
	}
	missing(m.Initial)
	for _, e := range m.Edges {
		missing(e.From)
		missing(e.To)
	}
	if m.Initial != "" {
		c.Edges = append(c.Edges, [3]string{"[*]", label[m.Initial], m.Start})
	}
	mark := map[viz.Class]string{viz.Visited: "✓ ", viz.Current: "✓ ", viz.Forced: "⚡ "}
	for _, e := range m.Edges {
		c.Edges = append(c.Edges, [3]string{label[e.From], label[e.To], mark[e.Class] + e.Label})
	}
	for name, shown := range label {
		var loops []string
		for _, e := range m.Edges {
			if e.From == name && e.To == name {
				loops = append(loops, e.Label)
			}
		}
		if n := len(loops); n > 1 { // mermaid 11 and 12 show the last one alone
			c.Notes = append(c.Notes, [2]string{shown, "also to itself: " + strings.Join(loops[:n-1], ", ")})
			c.Hidden = append(c.Hidden, loops[:n-1]...)
		}
	}
	var b strings.Builder
	if err := viz.Draw(&b, m, viz.Mermaid); err != nil {
		panic(fmt.Sprintf("%s: %v", name, err))
	}
	c.Text = b.String()
	return c
}

func sequence(name, title string) Case {
	return Case{Name: name, Text: viz.GuideSequence(title), Guide: guideSequence, Title: title}
}

// ids has names that mean something to mermaid or to JavaScript, or that mermaid makes.
func ids() viz.Machine {
	m := viz.Machine{Initial: "root_start", States: []viz.State{{Name: "SERVING", Initial: "x", States: []viz.State{{Name: "x"}}}}}
	for _, name := range []string{
		"root_start", "root_end", "root", "SERVING_start", "SERVING_end", "state_1", "state_2", "state", "State", "end", "End", "note", "class",
		"classDef", "style", "click", "as", "direction", "mydirection", "constructor", "toString", "prototype", "hasOwnProperty", "__proto__",
		"fork", "join", "choice", "left", "of", "title", "accTitle", "scale", "hide", "default", "endnote", "end_note", "notes", "stated", "a__b", "a_", "1",
		"LR", "TB", "BT", "and", "divider", "parent", "floating", "undefined", "null", "NaN", "true", "link", "href", "call", "onclick", "subgraph", "graph",
	} {
		m.Edges = append(m.Edges, viz.Edge{From: name, To: "SERVING", Label: name})
	}
	return m
}

// hostile puts one text into every place that takes one.
func hostile(text string) viz.Machine {
	m := viz.Machine{
		Initial: "a", Start: text,
		States: []viz.State{{Name: "a"}, {Name: "b", Class: viz.Visited}, {Name: "c", Terminal: true}},
		Edges:  []viz.Edge{{From: "a", To: "b", Label: text}, {From: "b", To: "c", Label: text, Class: viz.Forced}},
	}
	if strings.TrimSpace(text) == "" {
		return m
	}
	m.Title, m.Direction = text, viz.LeftRight
	m.States[0].Notes, m.States[1].Label = []string{text}, text
	m.States = append(m.States, viz.State{Name: text + "!", Initial: text, States: []viz.State{{Name: text, Class: viz.Current}}})
	m.Edges = append(m.Edges, viz.Edge{From: text + "!", To: "c"}, viz.Edge{From: text, To: text, Label: text})
	return m
}
