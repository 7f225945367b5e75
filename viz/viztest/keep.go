// Package viztest keeps the drawings in markdown files, and drawings that are files, equal
// to the code, in a test:
//
//	func TestDiagrams(t *testing.T) {
//		viztest.Keep(t, "README.md", map[string]viz.Drawing{"orders": viz.FromEvents("pending", events)})
//	}
//
// The test fails when a drawing differs. To rewrite the file:
//
//	go test -run TestDiagrams -viz.update
//
// The flag has a name of its own, since a second flag named -update would end the test
// program with a panic. If the program has a flag -update of its own, that one
// rewrites, too.
package viztest

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/lastcall-go/lastcall/viz"
)

var update = flag.Bool("viz.update", false, "rewrite the drawings in markdown files that viztest.Keep checks")

// TB is what Keep needs of a *testing.T.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
}

// Keep fails the test if a marked block of the markdown file does not hold its drawing,
// or if the file has no block for one of them. viz.Rewrite says what a block is. The name
// of the file is relative to the folder of the test's package.
//
// With -viz.update it rewrites the blocks, and nothing else in the file. It does not
// write a file that is up to date or has a wrong block. Tests of the same file must not
// run in parallel then.
func Keep(t TB, file string, drawings map[string]viz.Drawing) {
	t.Helper()
	text, err := os.ReadFile(file) //nolint:gosec // the name is the test's own
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	used := make(map[string]bool)
	counted := make(map[string]viz.Drawing)
	for name, d := range drawings {
		counted[name] = drawn{d, name, used}
	}
	want, err := viz.Rewrite(text, counted)
	if err != nil {
		t.Errorf("%s: %v", file, err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(drawings)) {
		if !used[name] {
			t.Errorf("%s shows no drawing %q: write these two lines where it belongs, then run the test with -viz.update\n<!-- lastcall:%s -->\n<!-- /lastcall:%s -->", file, name, name, name)
		}
	}
	keep(t, file, text, want)
}

// KeepFile fails the test if the file does not hold the machine in that format: an SVG for
// a README, for example. With -viz.update it writes the file.
func KeepFile(t TB, file string, m viz.Machine, f viz.Format) {
	t.Helper()
	var want bytes.Buffer
	if err := viz.Draw(&want, m, f); err != nil {
		t.Errorf("%s: %v", file, err)
		return
	}
	have, err := os.ReadFile(file) //nolint:gosec // the same
	if err != nil && (!updating() || !errors.Is(err, fs.ErrNotExist)) {
		t.Errorf("%v; run the test with -viz.update to write it", err)
		return
	}
	keep(t, file, have, want.Bytes())
}

func keep(t TB, file string, have, want []byte) {
	t.Helper()
	switch {
	case bytes.Equal(have, want):
	case updating():
		if err := os.WriteFile(file, want, 0o644); err != nil { //nolint:gosec // a file of the docs; an existing one keeps its mode
			t.Errorf("%v", err)
		}
	default:
		t.Errorf("%s is not what the code draws; run the test with -viz.update\n%s", file, difference(have, want))
	}
}

// drawn is a drawing that remembers that a block asked for it.
type drawn struct {
	viz.Drawing
	name string
	used map[string]bool
}

func (d drawn) Markdown() (string, error) {
	d.used[d.name] = true
	if d.Drawing == nil {
		return "", fmt.Errorf("the drawing is nil")
	}
	return d.Drawing.Markdown()
}

func updating() bool {
	theirs := flag.Lookup("update")
	return *update || theirs != nil && theirs.Value.String() == "true"
}

// difference shows the first line that differs.
func difference(have, want []byte) string {
	h, w := bytes.Split(have, []byte("\n")), bytes.Split(want, []byte("\n"))
	n := 0
	for n < len(h) && n < len(w) && bytes.Equal(h[n], w[n]) {
		n++
	}
	at := func(lines [][]byte) string {
		if n < len(lines) {
			return strconv.Quote(string(lines[n]))
		}
		return "the end"
	}
	return fmt.Sprintf("line %d is %s\nand should be %s", n+1, at(h), at(w))
}
