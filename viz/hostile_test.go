package viz_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/lastcall-go/lastcall/viz"
)

// hostileTexts mean something to one of the formats, to a terminal, or to HTML.
var hostileTexts = []string{
	"a", `"`, `\`, `\N`, `a\n`, `\"`, `"; x -> y; "`, "<b>", "<<b>x</b>>", "#35;", "&amp;", "&#60;", "&lt;", "]]>", "<!-- x -->", "--> b", "[*]", "{", "}", "]", "[",
	"😀", "👩‍👩‍👧", "日本語", "é", "e\u0301", "a\nb", "a\r\nb", "\n", "\x00", "\x1b[31mred", "\u202eabc", "\u2028", "\ufeff", "a\xffb", "\ufffe",
	"digraph", "node", "edge", "graph", "subgraph", "strict", "cluster", "cluster\na", "\ncluster a", "state", "end", "note", "direction LR", "svg", "</svg>", "</style><script>alert(1)</script>",
	"│ a │", "◀─┘", "  a  ", "\t", strings.Repeat("x", 300), strings.Repeat("long name ", 30), strings.Repeat("😀", 150), "lastcall:x", "%%", "---", "`a`", "$x$", "%d", "%!s",
	"\nstate 2", "\nnote 1 of a", "\nstart of ", "state_1", "-->", "==", ":::", "\\l", "a:b", "a|b", "'", "*_~",
}

// hostile puts a text into every place of a machine that takes one.
func hostile(text string) viz.Machine {
	name := text
	if strings.TrimSpace(name) == "" {
		name = "x" + name
	}
	return viz.Machine{
		Title: text, Initial: name, Start: text,
		States: []viz.State{
			{Name: name, Notes: []string{name, "b" + text}, Class: viz.Forced, Terminal: true},
			{Name: name + "2", Label: text, Initial: name + "3", States: []viz.State{{Name: name + "3"}, {Name: name + "4", Label: "x"}}},
		},
		Edges: []viz.Edge{
			{From: name, To: name + "2", Label: text}, {From: name, To: name, Label: text, Class: viz.Visited},
			{From: name + "3", To: name + "4", Label: text}, {From: name + "2", To: name + "5", Label: text},
		},
	}
}

// TestHostileTexts: what is in a name is shown, and is never syntax. Mermaid's own parser is
// asked in testdata/mermaid.
func TestHostileTexts(t *testing.T) {
	all := make(map[string]viz.Machine)
	for _, text := range hostileTexts {
		harmless(t, text)
		all[text] = hostile(text)
	}
	readDOT(t, all)
}

func FuzzTexts(f *testing.F) {
	for _, text := range hostileTexts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) < 1000 {
			harmless(t, text)
		}
	})
}

// harmless compares the drawings with those of a harmless text: they have the same lines,
// or the same elements.
func harmless(t *testing.T, text string) {
	t.Helper()
	m := hostile(text)
	says(t, text, hostile(strings.ToValidUTF8(text, "\ufffd")))
	for _, f := range []viz.Format{viz.Mermaid, viz.DOT} {
		var want []int
		for _, other := range []string{"harmless text", "plain", ""} { // mermaid declares the first alone, and the last has no title
			want = append(want, strings.Count(draw(t, hostile(other), f), "\n"))
		}
		if got := strings.Count(draw(t, m, f), "\n"); !slices.Contains(want, got) {
			t.Errorf("%v of %q has %d lines, want one of %d", f, text, got, want)
		}
	}
	for _, f := range []viz.Format{viz.Text, viz.ASCII} {
		got := draw(t, m, f)
		for _, r := range got {
			if r != '\n' && r != '\u200d' && !unicode.IsGraphic(r) {
				t.Fatalf("%v of %q has the character %q", f, text, r)
			}
		}
		if got, want := strings.Count(got, "◀")+strings.Count(got, "<"), strings.Count(text, "◀")+strings.Count(text, "<"); got < 3 || want == 0 && got > 20 {
			t.Errorf("%v of %q has %d arrows", f, text, got)
		}
	}
}
