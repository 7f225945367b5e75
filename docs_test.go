package lastcall_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/looplab/fsm"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
	"github.com/lastcall-go/lastcall/viz/testdata/machines"
	"github.com/lastcall-go/lastcall/viz/viztest"
)

var update = flag.Bool("update", false, "rewrite the marked blocks in README.md and docs/*.md")

// drawn are the files that have to show the state diagram.
var drawn = []string{"README.md", "docs/states.md"}

// TestDocs: the marked blocks in README.md and docs/*.md hold what the code draws.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, name := range append(pages, "README.md") {
		name = filepath.ToSlash(name)
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		found = true
		want, wrong := page(name, text)
		switch {
		case wrong != "":
			t.Error(wrong)
		case bytes.Equal(want, text):
		case *update:
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Error(err)
			}
		default:
			t.Errorf("%s: a marked block differs from what the code draws; go test . -run TestDocs -update rewrites it", name)
		}
	}
	if !found {
		t.Skip("there is no README.md and no docs/*.md")
	}
}

// drawings are what the blocks of all pages may hold.
func drawings() (map[string]viz.Drawing, error) {
	table, elevator := transitions.Shutdown(), machines.NewElevator()
	if err := elevator.Event(context.Background(), "call above"); err != nil {
		return nil, err
	}
	looplabs, err := fsm.VisualizeForMermaidWithGraphType(elevator, fsm.StateDiagram)
	return map[string]viz.Drawing{
		"state":               viz.FromTable(table),
		"phases":              viz.FromTable(table, viz.Phases),
		"sequence":            viz.Fenced("mermaid", viz.GuideSequence("")),
		"table":               viz.Rows(table),
		"shutdown in text":    viz.FromTable(table).In(viz.Text),
		"elevator":            viz.FromEvents("idle", machines.ElevatorEvents).Mark(viz.Current, elevator.Current()),
		"elevator by looplab": viz.Fenced("mermaid", looplabs),
	}, err
}

// TestDocsPictures: docs/tcp.svg is what the code draws.
func TestDocsPictures(t *testing.T) {
	viztest.KeepFile(t, "docs/tcp.svg", viz.FromEvents("CLOSED", machines.TCPEvents), viz.SVG)
}

// page returns what a file should hold, or what is wrong with it.
func page(name string, text []byte) (want []byte, wrong string) {
	drawings, err := drawings()
	if err != nil {
		return nil, err.Error()
	}
	want, err = viz.Rewrite(text, drawings)
	if err != nil {
		return nil, name + ": " + err.Error()
	}
	var diagram bytes.Buffer
	if err := viz.Draw(&diagram, viz.FromTable(transitions.Shutdown()), viz.Mermaid); err != nil {
		return nil, err.Error()
	}
	lines := bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))
	if slices.Contains(drawn, name) && !bytes.Contains(lines, diagram.Bytes()) {
		return nil, name + " has no state diagram: put <!-- lastcall:state --> and <!-- /lastcall:state --> on two lines of their own, then run go test . -run TestDocs -update"
	}
	return want, ""
}

// TestDocsCanFail shows to page one offence of each kind.
func TestDocsCanFail(t *testing.T) {
	const begin, end = "<!-- lastcall:state -->\n", "<!-- /lastcall:state -->\n"
	fresh, wrong := page("README.md", []byte("# a\n"+begin+end))
	if wrong != "" {
		t.Fatal(wrong)
	}
	tests := map[string]struct {
		name, text string
		wrong, old bool
	}{
		"up to date":                       {"README.md", string(fresh), false, false},
		"an empty block":                   {"README.md", begin + end, false, true},
		"a label that was changed":         {"docs/states.md", string(bytes.Replace(fresh, []byte("Timeout Reached"), []byte("Time Is Up"), 1)), false, true},
		"a README without the diagram":     {"README.md", "# a\n", true, false},
		"states.md without the diagram":    {"docs/states.md", "# a\n", true, false},
		"a diagram in a code block only":   {"README.md", "~~~\n" + begin + end + "~~~\n", true, false},
		"another page without the diagram": {"docs/guarantees.md", "# a\n", false, false},
		"a block without an end":           {"docs/guarantees.md", begin, true, false},
	}
	for name, tt := range tests {
		want, wrong := page(tt.name, []byte(tt.text))
		if (wrong != "") != tt.wrong {
			t.Errorf("%s: %q is said to be wrong", name, wrong)
		}
		if wrong == "" && (string(want) != tt.text) != tt.old {
			t.Errorf("%s: the text becomes\n%s", name, want)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)]*))?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	adr     = regexp.MustCompile(`^(\d{4})-[a-z0-9-]+\.md$`)
)

// TestDocsLinks: links to files and to headings lead somewhere, and every ADR has a
// number of its own, which its title carries.
func TestDocsLinks(t *testing.T) {
	pages := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	for _, pattern := range []string{"docs/*.md", "docs/adr/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	numbers := map[string]string{}
	for _, page := range pages {
		text := read(t, page)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], ":") {
				continue
			}
			target := page
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
			} else if m[2] != "" && !slices.Contains(anchors(read(t, target)), m[2]) {
				t.Errorf("%s: %s has no heading for the link to #%s", page, target, m[2])
			}
		}
		name := filepath.Base(page)
		if m := adr.FindStringSubmatch(name); m != nil {
			if other := numbers[m[1]]; other != "" {
				t.Errorf("%s and %s have the same number", other, name)
			}
			numbers[m[1]] = name
			if number, _ := strconv.Atoi(m[1]); !strings.HasPrefix(text, fmt.Sprintf("# %d. ", number)) {
				t.Errorf("%s: the title does not begin with # %d.", name, number)
			}
		}
	}
	if len(numbers) == 0 {
		t.Error("there are no ADRs: the test does not see them")
	}
}

// anchors returns the names that GitHub gives to the headings of a page.
func anchors(page string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		all = append(all, strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}

// TestDocsTimeline: the timelines have the instants of DefaultBudget, and every phase in
// its order.
func TestDocsTimeline(t *testing.T) {
	b := lastcall.DefaultBudget()
	for _, name := range []string{"controller/doc.go", "docs/timeline.svg"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, left, _ := strings.Cut(string(text), "SERVING")
		in := func(word string) {
			_, after, ok := strings.Cut(left, word)
			if !ok {
				t.Errorf("%s: %q is missing, or not in its place", name, word)
				return
			}
			left = after
		}
		for p := lastcall.PhaseStart; p <= lastcall.PhaseFlush; p++ {
			switch p {
			case lastcall.PhaseAnnounce:
				in("T0")
			case lastcall.PhaseDrain:
				in(fmt.Sprintf("T0 + %g s", b.Settle.Seconds()))
			case lastcall.PhaseCancel:
				in(fmt.Sprintf("T0 + %g s", (b.Total - b.Reserve).Seconds()))
			}
			in(p.String())
		}
		in(fmt.Sprintf("T0 + %g s", b.Total.Seconds()))
	}
}
