package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const public = "../../viz/testdata/machines"

// TestDiagramOfPackages: each machine with its name and place, in every format that there is.
func TestDiagramOfPackages(t *testing.T) {
	code, stdout, stderr := runCommand(t.Context(), "diagram", public)
	if code != 0 || stderr != "" || strings.Count(stdout, "stateDiagram-v2\n") < 10 || !strings.HasPrefix(stdout, "%% machines.NewBGP, ../../viz/testdata/machines/bgp.go:34\n") {
		t.Errorf("exit code %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
	code, stdout, stderr = runCommand(t.Context(), "diagram", "-machine", "machines.NewPod", "-title", "a pod", "-direction", "LR", public)
	if code != 0 || stderr != "" || strings.Count(stdout, "stateDiagram-v2\n") != 1 || !strings.HasPrefix(stdout, "---\ntitle: \"a pod\"\n") || !strings.Contains(stdout, "direction LR") {
		t.Errorf("exit code %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
	out := filepath.Join(t.TempDir(), "pod.mmd")
	code, stdout, _ = runCommand(t.Context(), "diagram", "-machine", "machines.NewPod", "-o", out, public)
	if text, err := os.ReadFile(out); code != 0 || stdout != "" || err != nil || !strings.Contains(string(text), "[*] --> Pending") {
		t.Errorf("-o: exit code %d, stdout %q, error %v, file %q", code, stdout, err, text)
	}
	code, stdout, stderr = runCommand(t.Context(), "diagram", "../../internal/source/testdata/idioms")
	if code != 0 || !strings.Contains(stdout, "%% idioms.Literal, ") ||
		!strings.Contains(stderr, "not drawn: ../../internal/source/testdata/idioms/unknown.go:16: idioms.Loop: ../../internal/source/testdata/idioms/unknown.go:14: ") ||
		!strings.Contains(stderr, "without its initial state: ") {
		t.Errorf("exit code %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
}

// TestDiagramsThatCannotBeDrawn: one that cannot does not keep the others from the page.
func TestDiagramsThatCannotBeDrawn(t *testing.T) {
	const undrawn = "../../internal/source/testdata/undrawn"
	code, stdout, stderr := runCommand(t.Context(), "diagram", undrawn)
	if code != 0 || !strings.HasPrefix(stdout, "%% undrawn.Fine, ") || !strings.Contains(stderr, "not drawn: "+undrawn+"/undrawn.go:8: undrawn.Nameless: viz: ") {
		t.Errorf("exit code %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
	code, stdout, stderr = runCommand(t.Context(), "diagram", "-machine", "undrawn.Nameless", undrawn)
	if code != exitUsage || stdout != "" || !strings.Contains(stderr, `-machine "undrawn.Nameless" is none of undrawn.Fine`) {
		t.Errorf("exit code %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
}

// TestDiagramCheck: a page that is true passes; one that is not fails with a diff and is
// mended by -update.
func TestDiagramCheck(t *testing.T) {
	page := filepath.Join(t.TempDir(), "README.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const empty = "# a\n<!-- lastcall:machines.NewRaft -->\n<!-- /lastcall:machines.NewRaft -->\nb\n"
	write(empty)
	code, stdout, stderr := runCommand(t.Context(), "diagram", "-check", page, public)
	if code != 1 || !strings.Contains(stdout, "@@ -3,0 +3,") || !strings.Contains(stdout, "+    [*] --> follower") || !strings.Contains(stderr, "-update") {
		t.Errorf("an empty block: exit code %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
	if text, _ := os.ReadFile(page); string(text) != empty {
		t.Errorf("-check has changed the page:\n%s", text)
	}
	if code, stdout, stderr := runCommand(t.Context(), "diagram", "-update", page, public); code != 0 || stdout+stderr != "" {
		t.Errorf("-update: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if code, stdout, stderr := runCommand(t.Context(), "diagram", "-check", page, public); code != 0 || stdout+stderr != "" {
		t.Errorf("-check after -update: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	text, _ := os.ReadFile(page)
	write(strings.Replace(string(text), "follower", "disciple", 1))
	code, stdout, _ = runCommand(t.Context(), "diagram", "-check", page, public)
	if code != 1 || !strings.Contains(stdout, "-    [*] --> disciple\n+    [*] --> follower\n") || strings.Count(stdout, "\n") != 5 {
		t.Errorf("a page with another state: exit code %d, stdout\n%s", code, stdout)
	}
}

func TestDiagramOfPackagesRefuses(t *testing.T) {
	page := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(page, []byte("# nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(wrong, []byte("<!-- lastcall:order.Gone -->\n<!-- /lastcall:order.Gone -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no such folder":            {[]string{"./nowhere"}, `path "./nowhere"`},
		"a compile error":           {[]string{"../../internal/source/testdata/broken"}, "broken.go:5: undefined: Missing"},
		"no machine":                {[]string{"../../internal/source/testdata/none"}, "../../internal/source/testdata/none: no call of NewFSM of github.com/looplab/fsm (files of tests are not read)"},
		"-o in no folder":           {[]string{"-machine", "machines.NewPod", "-o", "/no/such/folder/x", public}, "/no/such/folder/x"},
		"an empty package":          {[]string{""}, `"" is not a package`},
		"a flag behind":             {[]string{public, "-check", "x"}, `"-check" stands behind the packages`},
		"a flag of the other":       {[]string{"-calls", public}, "-calls is for the diagram of a shutdown"},
		"a flag without packages":   {[]string{"-check", "x"}, "-check is for the machines in packages"},
		"an unknown format":         {[]string{"-format", "png", public}, `"png" is none of mermaid`},
		"an unknown direction":      {[]string{"-direction", "up", public}, `-direction "up" is none of TB`},
		"a blank title":             {[]string{"-title", " ", public}, "-title is blank"},
		"a title for many":          {[]string{"-title", "x", public}, "11 machines"},
		"an unknown machine":        {[]string{"-machine", "x.Y", public}, `-machine "x.Y" is none of machines.NewBGP`},
		"-check and -update":        {[]string{"-check", "a", "-update", "b", public}, "-check and -update: only one"},
		"-check of nothing":         {[]string{"-check", "", public}, `-check "" is not a file`},
		"-check of no file":         {[]string{"-check", "/no/such.md", public}, "/no/such.md"},
		"a page without blocks":     {[]string{"-check", page, public}, page + " has no block for any of machines.NewBGP"},
		"a block that has no match": {[]string{"-check", wrong, public}, `block "order.Gone"`},
		"and what to do then":       {[]string{"-check", wrong, public}, "name the packages of all its blocks;"},
		"a page of one machine":     {[]string{"-check", wrong, "-machine", "machines.NewPod", public}, "name the packages of all its blocks, and leave out -machine;"},
	} {
		code, stdout, stderr := runCommand(t.Context(), append([]string{"diagram"}, tt.args...)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q, want %q", name, code, stdout, stderr, tt.want)
		}
	}
}

func TestDiff(t *testing.T) {
	for name, tt := range map[string]struct{ have, want, diff string }{
		"nothing":       {"a\nb\n", "a\nb\n", ""},
		"in the middle": {"a\nb\nc\n", "a\nx\ny\nc\n", "@@ -2,1 +2,2 @@\n-b\n+x\n+y\n"},
		"two places":    {"a\nb\nc\nd\ne\n", "A\nb\nc\nd\nE\n", "@@ -1,1 +1,1 @@\n-a\n+A\n@@ -5,1 +5,1 @@\n-e\n+E\n"},
		"at the end":    {"a\n", "a\nb", "@@ -2,0 +2,1 @@\n+b\n"},
		"one of two":    {"a\na\n", "a\n", "@@ -2,1 +2,0 @@\n-a\n"},
		"two of one":    {"a\n", "a\na\n", "@@ -2,0 +2,1 @@\n+a\n"},
		"from nothing":  {"", "a\n", "@@ -1,0 +1,1 @@\n+a\n"},
	} {
		if got := diff(tt.have, tt.want); got != tt.diff {
			t.Errorf("%s: %q, want %q", name, got, tt.diff)
		}
	}
}
