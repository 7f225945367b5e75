package viztest_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall/viz"
	"github.com/lastcall-go/lastcall/viz/viztest"
)

// That a user's test has this flag, too, must not be a panic, and it rewrites as well.
var _ = flag.Bool("update", false, "a user's own")

// failures is a test that remembers how it failed.
type failures []string

func (f *failures) Helper() {}

func (f *failures) Errorf(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

func with(t *testing.T, name string) {
	t.Helper()
	if err := flag.Set(name, "true"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(name, "false") })
}

func drawings() map[string]viz.Drawing {
	return map[string]viz.Drawing{"door": viz.Machine{Initial: "closed", Edges: []viz.Edge{{From: "closed", To: "open", Label: "push"}}}}
}

const (
	empty  = "# Door\r\n\r\n<!-- lastcall:door -->\r\n<!-- /lastcall:door -->\r\nthe end"
	kept   = "# Door\r\n\r\n<!-- lastcall:door -->\r\n\r\n```mermaid\r\nstateDiagram-v2\r\n    [*] --> closed\r\n    closed --> open : push\r\n```\r\n\r\n<!-- /lastcall:door -->\r\nthe end"
	absent = "# Door\n"
)

func TestKeep(t *testing.T) {
	for name, tt := range map[string]struct {
		text, flag string
		drawings   map[string]viz.Drawing
		after      string
		want       []string // what each failure says
	}{
		"true":               {kept, "", drawings(), kept, nil},
		"old":                {empty, "", drawings(), empty, []string{"run the test with -viz.update\nline 4 is \"<!-- /lastcall:door -->\\r\"\nand should be \"\\r\""}},
		"old, and rewritten": {empty, "viz.update", drawings(), kept, nil},
		"their flag":         {empty, "update", drawings(), kept, nil},
		"not there":          {absent, "viz.update", drawings(), absent, []string{"shows no drawing \"door\": write these two lines"}},
		"unknown":            {kept, "viz.update", map[string]viz.Drawing{}, kept, []string{`block "door": there is no such drawing`}},
		"wrong":              {kept, "viz.update", map[string]viz.Drawing{"door": viz.Machine{}}, kept, []string{"the machine has no states"}},
		"nil":                {kept, "viz.update", map[string]viz.Drawing{"door": nil}, kept, []string{"the drawing is nil"}},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.flag != "" {
				with(t, tt.flag)
			}
			file := filepath.Join(t.TempDir(), "README.md")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var got failures
			viztest.Keep(&got, file, tt.drawings)
			if len(got) != len(tt.want) {
				t.Fatalf("failures %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.Contains(got[i], tt.want[i]) {
					t.Errorf("failure %q does not say %q", got[i], tt.want[i])
				}
			}
			after, err := os.ReadFile(file)
			if err != nil || string(after) != tt.after {
				t.Errorf("error %v, the file is\n%q\nwant\n%q", err, after, tt.after)
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("error %v, the file's mode is %v", err, info.Mode())
			}
		})
	}
	var got failures
	if viztest.Keep(&got, filepath.Join(t.TempDir(), "none.md"), drawings()); len(got) != 1 {
		t.Errorf("without a file: failures %q", got)
	}
}

func TestKeepFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "door.svg")
	door := drawings()["door"].(viz.Machine)
	keep := func(m viz.Machine) failures {
		var got failures
		viztest.KeepFile(&got, file, m, viz.SVG)
		return got
	}
	if got := keep(door); len(got) != 1 || !strings.Contains(got[0], "-viz.update") {
		t.Errorf("without a file: failures %q", got)
	}
	t.Run("update", func(t *testing.T) {
		with(t, "viz.update")
		if got := keep(door); got != nil {
			t.Errorf("failures %q", got)
		}
	})
	if got := keep(door); got != nil {
		t.Errorf("failures %q", got)
	}
	if got := keep(door.Note("open", "come in")); len(got) != 1 || !strings.Contains(got[0], "is not what the code draws") {
		t.Errorf("another machine: failures %q", got)
	}
	if got := keep(viz.Machine{}); len(got) != 1 {
		t.Errorf("no machine: failures %q", got)
	}
}
