// Command mermaid prints, as JSON, diagrams that package viz draws and what each
// is meant to say. check.mjs has mermaid read them.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

// Case is a diagram with its meaning.
type Case struct {
	Name      string      `json:"name"`
	Text      string      `json:"text"`
	Guide     string      `json:"guide,omitempty"` // has the same meaning
	Title     string      `json:"title"`
	Direction string      `json:"direction,omitempty"`
	Edges     [][3]string `json:"edges,omitempty"` // from, to, label
	Notes     [][2]string `json:"notes,omitempty"` // state, text
	Taken     []string    `json:"taken,omitempty"`
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
	"direction LR", "Direction\ttb", "a direction  RL b", "redirection BT", "direction direction LR",
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
	all := []Case{
		state("the guide's states", transitions.Shutdown(), Case{Guide: guideState}),
		state("direction and title", transitions.Shutdown(), Case{Direction: "LR", Title: "How it ends"}, viz.Direction("LR"), viz.Title("How it ends")),
		state("path to the end", transitions.Shutdown(), Case{Taken: []string{"SERVING", "GRACEFUL_SHUTDOWN", "TERMINATED", "TIMER_EXPIRED"}},
			viz.Path(fsm.Serving, fsm.GracefulShutdown, fsm.TimerExpired, fsm.Terminated)),
		state("path so far", transitions.Shutdown(), Case{Taken: []string{"SERVING"}}, viz.Path(fsm.Serving)),
		withCalls(),
		everything(),
		sequence("the guide's sequence", Case{Guide: guideSequence}),
		sequence("sequence with a title", Case{Guide: guideSequence, Title: "Who says what"}, viz.Title("Who says what")),
		hostile("a table without labels", ""),
	}
	for _, d := range []string{"TB", "BT", "LR", "RL"} {
		all = append(all, state("direction "+d, transitions.Shutdown(), Case{Direction: d}, viz.Direction(d)))
	}
	letters := ascii()
	for i, text := range append(letters, words...) {
		c := Case{Guide: guideSequence, Title: text, ParseOnly: i >= len(letters)}
		all = append(all, hostile(fmt.Sprintf("state %q", text), text), sequence(fmt.Sprintf("sequence %q", text), c, viz.Title(text)))
	}
	return all
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

// state completes a case with its diagram and, if it says none, the table's edges.
func state(name string, t fsm.Table, c Case, opts ...viz.Option) Case {
	c.Name, c.Text = name, draw(func(w io.Writer) error { return viz.State(w, t, opts...) })
	if c.Edges == nil {
		c.Edges = [][3]string{{"[*]", t.Initial().String(), t.Label()}}
		for row := range t.All() {
			c.Edges = append(c.Edges, [3]string{row.From.String(), row.To.String(), row.Label})
		}
	}
	return c
}

func sequence(name string, c Case, opts ...viz.SequenceOption) Case {
	c.Name, c.Text = name, draw(func(w io.Writer) error { return viz.Sequence(w, opts...) })
	return c
}

func withCalls() Case {
	return state("calls", transitions.Shutdown(), Case{Edges: [][3]string{
		{"[*]", "SERVING", "Server Started"},
		{"SERVING", "GRACEFUL_SHUTDOWN", "Graceful Shutdown Called (with Timeout) / GracefulStop"},
		{"GRACEFUL_SHUTDOWN", "TERMINATED", "In-Flight RPCs Completed (Before Timeout)"},
		{"GRACEFUL_SHUTDOWN", "TIMER_EXPIRED", "Timeout Reached / Stop"},
		{"TIMER_EXPIRED", "TERMINATED", "Forceful Shutdown Called"},
	}}, viz.Calls())
}

// everything uses all options at once.
func everything() Case {
	c := withCalls()
	c.Direction, c.Title, c.Taken = "RL", "All: at once", []string{"SERVING", "GRACEFUL_SHUTDOWN"}
	c.Notes = [][2]string{{"SERVING", "first"}, {"SERVING", "second: x"}, {"TERMINATED", "the end"}}
	return state("everything", transitions.Shutdown(), c, viz.Path(fsm.Serving, fsm.GracefulShutdown), viz.Calls(),
		viz.Note(fsm.Terminated, "the end"), viz.Note(fsm.Serving, "first"), viz.Note(fsm.Serving, "second: x"),
		viz.Title("All: at once"), viz.Direction("RL"))
}

// hostile puts one text into every place that takes one.
func hostile(name, text string) Case {
	t, err := fsm.NewTable(fsm.Serving, text,
		fsm.Transition{From: fsm.Serving, Event: fsm.Timeout, To: fsm.TimerExpired, Label: text, Call: fsm.CallStop},
		fsm.Transition{From: fsm.TimerExpired, Event: fsm.Stopped, To: fsm.Terminated, Label: text},
	)
	if err != nil {
		panic(err)
	}
	if text == "" {
		return state(name, t, Case{})
	}
	return state(name, t, Case{
		Title:     text,
		Direction: "LR",
		Edges:     [][3]string{{"[*]", "SERVING", text}, {"SERVING", "TIMER_EXPIRED", text + " / Stop"}, {"TIMER_EXPIRED", "TERMINATED", text}},
		Notes:     [][2]string{{"SERVING", text}, {"TERMINATED", text}},
		Taken:     []string{"SERVING", "TIMER_EXPIRED"},
	}, viz.Direction("LR"), viz.Title(text), viz.Calls(), viz.Note(fsm.Serving, text), viz.Note(fsm.Terminated, text), viz.Path(fsm.Serving, fsm.TimerExpired))
}

func draw(write func(io.Writer) error) string {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		panic(err)
	}
	return b.String()
}
