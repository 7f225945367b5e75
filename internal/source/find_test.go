package source_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/looplab/fsm"

	"github.com/lastcall-go/lastcall/internal/source"
	"github.com/lastcall-go/lastcall/internal/source/testdata/idioms"
	"github.com/lastcall-go/lastcall/viz"
	"github.com/lastcall-go/lastcall/viz/testdata/machines"
)

// TestIdioms reads machines that are made in many ways.
func TestIdioms(t *testing.T) {
	machines, unknowns, err := source.Find(t.Context(), "./testdata/idioms")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("found", func(t *testing.T) { testFound(t, machines) })
	t.Run("named", func(t *testing.T) { testNamed(t, unknowns) })
}

// testFound: what is found from the source is what the running machine has.
func testFound(t *testing.T, machines []source.Machine) {
	running := idioms.All()
	for _, m := range machines {
		live, ok := running[m.Name]
		if !ok {
			t.Errorf("%s, %s: idioms.All does not have it", m.At, m.Name)
			continue
		}
		delete(running, m.Name)
		got, want := m.Drawing().Sorted().Edges, viz.FromFSM(live).Sorted().Edges
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s, %s: found %v, the machine has %v", m.At, m.Name, got, want)
		}
		if m.InitialUnknown == "" && m.Initial != live.Current() {
			t.Errorf("%s, %s: found the initial state %q, the machine begins in %q", m.At, m.Name, m.Initial, live.Current())
		}
		if known := !slices.Contains([]string{"idioms.Restored", "idioms.disagreed", "idioms.started", "idioms.Defaulted"}, m.Name); known != (m.InitialUnknown == "") {
			t.Errorf("%s, %s: initial state unknown: %q", m.At, m.Name, m.InitialUnknown)
		}
		text, err := os.ReadFile(strings.Split(m.At, ":")[0])
		if err != nil {
			t.Fatal(err)
		}
		var line int
		if _, err := fmt.Sscan(strings.Split(m.At, ":")[1], &line); err != nil {
			t.Fatal(err)
		}
		if code := bytes.Split(text, []byte("\n"))[line-1]; !regexp.MustCompile(`NewFSM|names\.Make|b\.build|generic\[|lent\(|\.through\(|\.shifted\(|defaulted\(`).Match(code) {
			t.Errorf("%s, %s: that line is %q", m.At, m.Name, code)
		}
	}
	for name := range running {
		t.Errorf("%s was not found", name)
	}
}

// TestPublicMachines: machines of public software are drawn from the source as they are
// from their Events, byte for byte. What mermaid understands of those drawings is checked
// by viz/testdata/mermaid.
func TestPublicMachines(t *testing.T) {
	found, unknowns, err := source.Find(t.Context(), "../../viz/testdata/machines")
	if err != nil || len(unknowns) > 0 {
		t.Fatalf("error %v, not evaluated: %v", err, unknowns)
	}
	drawn := make(map[string]string)
	for _, m := range found {
		drawn[draw(t, m.Drawing())] = m.Name
	}
	all := machines.All()
	for _, m := range all {
		if text := draw(t, viz.FromEvents(m.Initial, m.Events)); drawn[text] == "" {
			t.Errorf("%s is not drawn as from its events:\n%s", m.Name, text)
		}
	}
	if len(drawn) != len(all) || len(all) < 10 {
		t.Errorf("%d machines found, %d are there, 10 at least", len(drawn), len(all))
	}
}

func draw(t *testing.T, m viz.Machine) string {
	t.Helper()
	var b strings.Builder
	if err := viz.Draw(&b, m, viz.Mermaid); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// testNamed: what cannot be evaluated is named with its line. In these files the line that
// is to blame ends in a comment with the function's name.
func testNamed(t *testing.T, unknowns []source.Unknown) {
	want := make(map[string]string)
	for _, file := range []string{"testdata/idioms/unknown.go", "testdata/idioms/shared.go", "testdata/idioms/methods.go", "testdata/idioms/values.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if m := regexp.MustCompile(`// (\w+)$`).FindStringSubmatch(line); m != nil {
				want["idioms."+m[1]] = fmt.Sprintf("%s:%d: ", file, i+1)
			}
		}
	}
	for _, u := range unknowns {
		if !strings.HasPrefix(u.Why, want[u.Name]) || want[u.Name] == "" {
			t.Errorf("%s: %s, want %s", u.Name, u.Why, want[u.Name])
		}
		delete(want, u.Name)
	}
	for name, line := range want {
		t.Errorf("%s %s was not named", line, name)
	}
}

func TestErrors(t *testing.T) {
	for pattern, want := range map[string]string{
		"./testdata/broken":          "testdata/broken/broken.go:5: undefined: Missing",
		"./nowhere":                  `path "./nowhere"`,
		"../../go.mod":               `path "../../go.mod" is not a folder or a Go file`,
		"example.com/nowhere/at/all": "example.com/nowhere/at/all",
		"-json":                      "-json",
	} {
		machines, _, err := source.Find(t.Context(), pattern)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", pattern, err, want)
		}
		if len(machines) > 0 {
			t.Errorf("%s: found %v", pattern, machines)
		}
	}
	if machines, unknowns, err := source.Find(t.Context(), "./testdata/none"); len(machines)+len(unknowns) > 0 || err != nil {
		t.Errorf("none: found %v and %v, error %v", machines, unknowns, err)
	}
}

// TestFile: a file may be named as for the go command, from any folder, also if no folder has
// it for a build constraint.
func TestFile(t *testing.T) {
	file, err := filepath.Abs("testdata/ignored/ignored.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"testdata/ignored/ignored.go", "./testdata/ignored/ignored.go", file} {
		machines, unknowns, err := source.Find(t.Context(), pattern)
		if err != nil || len(unknowns) > 0 || len(machines) != 1 || machines[0].Name != "ignored.main" {
			t.Errorf("%s: found %v and %v, error %v", pattern, machines, unknowns, err)
		}
	}
}

// TestOtherModule: a path may lead into another module, and names may have anything in
// them that a Go string can.
func TestOtherModule(t *testing.T) {
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	events := fsm.Events{
		{Name: "a\"b`\n<b>", Src: []string{"", "日本 😀", "\xff\x00"}, Dst: "#35; -->"},
		{Name: "", Src: nil, Dst: "nowhere"},
		{Name: "[*]", Src: []string{strings.Repeat("x", 300)}, Dst: strings.Repeat("x", 300)},
	}
	for name, text := range map[string]string{
		"go.mod":          strings.Replace(string(mod), "module github.com/lastcall-go/lastcall", "module example.com/other", 1),
		"go.sum":          string(sum),
		"a/v2/machine.go": fmt.Sprintf("package b\n\nimport \"github.com/looplab/fsm\"\n\nvar M = fsm.NewFSM(%q, %s, nil)\n", "日本 😀", strings.ReplaceAll(fmt.Sprintf("%#v", events), "[]string(nil)", "nil")),
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, pattern := range []string{dir + "/...", dir + "/a/v2"} {
		machines, unknowns, err := source.Find(t.Context(), pattern)
		if err != nil || len(unknowns) > 0 || len(machines) != 1 {
			t.Fatalf("%s: found %v and %v, error %v", pattern, machines, unknowns, err)
		}
		if m := machines[0]; m.Name != "b.M" || m.Initial != "日本 😀" || !reflect.DeepEqual(m.Events, events) || !strings.HasSuffix(m.At, "machine.go:5") {
			t.Errorf("%s: found %+v, want the events %+v", pattern, m, events)
		}
	}
}
