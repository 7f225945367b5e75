package lastcall_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
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

// page returns what a file should hold, or what is wrong with it.
func page(name string, text []byte) (want []byte, wrong string) {
	want, err := viz.Rewrite(text, transitions.Shutdown())
	if err != nil {
		return nil, name + ": " + err.Error()
	}
	var diagram bytes.Buffer
	if err := viz.State(&diagram, transitions.Shutdown()); err != nil {
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
