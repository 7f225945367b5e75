package viz_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
	"github.com/lastcall-go/lastcall/viz/testdata/machines"
)

var update = flag.Bool("update", false, "rewrite testdata/golden")

// samples are machines of 4, 6, 12 and 24 states, with and without all that one can have.
func samples() map[string]viz.Machine {
	all := map[string]viz.Machine{
		"shutdown":   viz.FromTable(transitions.Shutdown(), viz.Calls),
		"phases":     viz.FromTable(transitions.Shutdown(), viz.Phases),
		"forced":     viz.FromTable(transitions.Shutdown()).Path("SERVING", "GRACEFUL_SHUTDOWN", "TIMER_EXPIRED", "TERMINATED").Mark(viz.Forced, "TIMER_EXPIRED"),
		"everything": machines.Everything(),
		"groups":     machines.Groups(),
	}
	for _, m := range machines.All() {
		all[m.Name] = viz.FromEvents(m.Initial, m.Events)
	}
	sideways := all["order"]
	sideways.Direction = viz.LeftRight
	all["order"] = sideways
	return all
}

// TestGolden compares the drawings with those that somebody has looked at; -update
// rewrites them.
func TestGolden(t *testing.T) {
	all := samples()
	for _, name := range []string{"forced", "everything", "groups", "tcp", "order"} {
		for f := viz.Mermaid; f <= viz.ASCII; f++ {
			file := filepath.Join("testdata", "golden", name+"."+f.String())
			got := draw(t, all[name], f)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil || got != strings.ReplaceAll(string(want), "\r\n", "\n") {
				t.Errorf("%s: error %v, or another drawing; look at it, and at what -update makes of it:\n%s", file, err, got)
			}
		}
	}
}

func TestFormats(t *testing.T) {
	for f := viz.Mermaid; f <= viz.ASCII; f++ {
		if got, err := viz.ParseFormat(f.String()); err != nil || got != f {
			t.Errorf("%v is read as %v, error %v", f, got, err)
		}
	}
	if _, err := viz.ParseFormat("pdf"); err == nil || !strings.Contains(err.Error(), `"pdf" is none of mermaid, dot, svg, text, ascii`) {
		t.Errorf("error %v", err)
	}
}

// svgText reads an SVG, and returns what stands in its text elements, one after the other.
func svgText(t testing.TB, svg string) (texts []string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	var in string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			in = token.Name.Local
			if !slices.Contains([]string{"svg", "title", "style", "rect", "g", "path", "circle", "line", "text"}, in) {
				t.Fatalf("there is an element %s", in)
			}
			for _, a := range token.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Value, "url(") || a.Name.Local == "href" {
					t.Fatalf("there is an attribute %s=%q", a.Name.Local, a.Value)
				}
			}
		case xml.EndElement:
			in = ""
		case xml.CharData:
			if in == "text" {
				texts = append(texts, string(token))
			}
		}
	}
}

// words returns everything that a drawing of the machine has to say, without spaces.
func words(m viz.Machine) (all []string) {
	named := map[string]bool{}
	var states func([]viz.State)
	states = func(list []viz.State) {
		for _, s := range list {
			named[s.Name] = true
			if strings.TrimSpace(s.Label) != "" {
				all = append(all, s.Label)
			} else {
				all = append(all, s.Name)
			}
			all = append(all, s.Notes...)
			states(s.States)
		}
	}
	states(m.States)
	add := func(name string) {
		if !named[name] && name != "" {
			named[name] = true
			all = append(all, name)
		}
	}
	add(m.Initial)
	all = append(all, m.Title, m.Start)
	for _, e := range m.Edges {
		add(e.From)
		add(e.To)
		all = append(all, e.Label)
	}
	return all
}

// squeeze leaves out what line breaks may change, and shows what cannot be seen.
func squeeze(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return -1
		case r < ' ':
			return '\u2400' + r
		case r == 0x7f:
			return '\u2421'
		case r != '\u200d' && !unicode.IsGraphic(r):
			return '\ufffd'
		default:
			return r
		}
	}, text)
}

// TestSVG: it is XML of a few elements, without scripts and references, and says
// everything once.
func TestSVG(t *testing.T) {
	for name, m := range samples() {
		if name == "groups" { // it says more: see TestAcross
			continue
		}
		for _, d := range []viz.Direction{"", viz.BottomUp, viz.LeftRight, viz.RightLeft} {
			m.Direction = d
			says(t, name, m)
		}
	}
}

func says(t testing.TB, name string, m viz.Machine) {
	t.Helper()
	svg := draw(t, m, viz.SVG)
	var want, got []rune
	for _, text := range words(m) {
		want = append(want, []rune(squeeze(text))...)
	}
	for _, text := range svgText(t, svg) {
		got = append(got, []rune(squeeze(text))...)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s: the texts have the characters\n%q\nwant\n%q", name, string(got), string(want))
	}
	if !regexp.MustCompile(`prefers-color-scheme:dark`).MatchString(svg) || strings.Contains(strings.ReplaceAll(svg, `"http://www.w3.org/2000/svg"`, ""), "://") {
		t.Errorf("%s: no dark mode, or a link", name)
	}
}

// TestClasses: what is visited, current or forced says so in every format.
func TestClasses(t *testing.T) {
	m := machines.Everything()
	for f, marks := range map[viz.Format][]string{
		viz.Mermaid: {"class state_2 visited", "class state_3 current", "class in2 forced", ": ✓ go", ": ⚡ deeper"},
		viz.DOT:     {`"a" [label="An <b>a</b>", class="visited"`, `label="out er", class="current"`, `"in2" [label="in2", peripheries=2, class="forced"`, `[label="go", lhead="cluster\nouter", class="visited"`},
		viz.SVG:     {`<g class="lcv-state lcv-visited">`, `<g class="lcv-state lcv-current">`, `<g class="lcv-state lcv-forced">`, `<g class="lcv-edge lcv-visited">`, `<g class="lcv-edge lcv-forced">`},
		viz.Text:    {"✓ An <b>a</b>", "▶ out er", "! in2 ◉", "✓ go", "! deeper"},
		viz.ASCII:   {"* An <b>a</b>", "@ out er", "! in2 (end)", "* go", "! deeper"},
	} {
		for _, mark := range marks {
			if got := draw(t, m, f); !strings.Contains(got, mark) {
				t.Errorf("%v has no %s:\n%s", f, mark, got)
			}
		}
	}
}

// TestOneLine: edges between the same states in one direction share a line, and so do
// loops, of whatever class.
func TestOneLine(t *testing.T) {
	if n := strings.Count(draw(t, machines.Everything(), viz.SVG), `class="lcv-edge`); n != 10 {
		t.Errorf("%d lines, want 10: three from starts, two between a and outer, one to end, one to in2, three loops", n)
	}
}

// TestText follows every line of a drawing, from an edge's label to the state at which its
// arrow ends. ASCII has the same lines.
func TestText(t *testing.T) {
	for name, m := range samples() {
		var want []string
		for _, e := range m.Edges {
			want = append(want, e.Label+": "+e.To)
		}
		initials := []string{m.Initial}
		if name == "everything" {
			initials = append(initials, "in 1", "deep")
		}
		for _, s := range m.States {
			if name != "everything" && s.Initial != "" {
				initials = append(initials, s.Initial)
			}
		}
		for i, initial := range initials {
			want = append(want, ": "+initial)
			if i == 0 {
				want[len(want)-1] = m.Start + want[len(want)-1]
			}
		}
		text := draw(t, m, viz.Text)
		got := follow(t, text)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the lines say\n%q\nwant\n%q\n%s", name, got, want, text)
		}
		if name != "everything" && name != "forced" { // their marks have other widths
			r := strings.NewReplacer("─", "-", "┼", "|", "│", "|", "┐", "+", "┘", "+", "┤", "+", "┌", "+", "└", "+", "├", "+", "◀", "<", "●", "o")
			if ascii := draw(t, m, viz.ASCII); ascii != r.Replace(text) {
				t.Errorf("%s: in ASCII it is\n%s", name, ascii)
			}
		}
	}
}

var (
	tail = regexp.MustCompile(`^(?:│  )*(?: [├└]|●) ?(.*?) ?(─[─┼]*[┐┘┤])`)
	box  = regexp.MustCompile(`^(?:│  )*│ (.*?) *│(◀[─┼]*[┐┘┤])`)
)

// follow returns "label: state" for each line of a drawing with box characters.
func follow(t *testing.T, text string) (all []string) {
	t.Helper()
	shown := strings.NewReplacer("✓ ", "", "▶ ", "", "! ", "", " ◉", "", "not well", "sick", "An <b>a</b>", "a", "out er", "outer")
	rows := strings.Split(text, "\n")
	grid := make([][]rune, len(rows))
	for y, row := range rows {
		grid[y] = []rune(row)
	}
	at := func(y, x int) string {
		if y < 0 || y >= len(grid) || x >= len(grid[y]) {
			return " "
		}
		return string(grid[y][x])
	}
	end := func(row string, found []int) int { return len([]rune(row[:found[5]])) - 1 } // the lane's column
	for y, row := range rows {
		found := tail.FindStringSubmatchIndex(row)
		if found == nil {
			continue
		}
		x := end(row, found)
		var targets []string
		for _, step := range []int{-1, 1} {
			leaves, enters := "┘┤┼│", "┐┤┼│"
			if step > 0 {
				leaves, enters = enters, leaves
			}
			for v := y; strings.Contains(leaves, at(v, x)) && strings.Contains(enters, at(v+step, x)); v += step {
				if b := box.FindStringSubmatchIndex(rows[v+step]); b != nil && end(rows[v+step], b) == x {
					targets = append(targets, shown.Replace(rows[v+step][b[2]:b[3]]))
				}
			}
		}
		label := shown.Replace(row[found[2]:found[3]])
		if len(targets) != 1 {
			t.Errorf("the line of %q leads to %q", label, targets)
			continue
		}
		all = append(all, label+": "+targets[0])
	}
	return all
}
