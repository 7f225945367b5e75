package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the blocks in ../../docs/*.md that are marked as output of a command")

// outputBlock is a fenced block of text behind a line that says which command
// prints it.
var outputBlock = regexp.MustCompile("(?ms)^<!-- output: ([^\n]*) -->\n```(\\w+)\n(.*?)^```$")

// TestPages: the blocks in docs/*.md that are marked as output of a command hold
// what it prints.
func TestPages(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, name := range pages {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, found, err := page(text, func(args []string) (int, string, string) { return runCommand(t.Context(), args...) })
		blocks += found
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case bytes.Equal(want, text):
		case *update:
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Error(err)
			}
		default:
			t.Errorf("%s: a block differs from what its command prints; go test ./cmd/lastcall -run TestPages -update rewrites it", name)
		}
	}
	if blocks == 0 {
		t.Error("no page has output of a command")
	}
}

// page returns what a page should hold, and how many blocks it has.
func page(text []byte, run func([]string) (code int, stdout, stderr string)) (want []byte, blocks int, err error) {
	if markers := bytes.Count(text, []byte("<!-- output:")); markers != len(outputBlock.FindAll(text, -1)) {
		return nil, 0, fmt.Errorf("not each of %d markers has a fenced block on the next line", markers)
	}
	want = outputBlock.ReplaceAllFunc(text, func(block []byte) []byte {
		m := outputBlock.FindSubmatch(block)
		blocks++
		code, stdout, stderr := run(strings.Fields(string(m[1])))
		if code != 0 {
			err = fmt.Errorf("lastcall %s: exit code %d: %s", m[1], code, stderr)
		}
		return fmt.Appendf(nil, "<!-- output: %s -->\n```%s\n%s```", m[1], m[2], stdout)
	})
	return want, blocks, err
}

// TestPagesCanFail shows to page what it has to refuse, and what to rewrite.
func TestPagesCanFail(t *testing.T) {
	run := func(args []string) (int, string, string) {
		if args[0] != "say" {
			return exitUsage, "", "no such command"
		}
		return 0, strings.Join(args[1:], " ") + "\n", ""
	}
	for text, want := range map[string]string{
		"a\n<!-- output: say hi you -->\n```text\nhi you\n```\nb\n":    "a\n<!-- output: say hi you -->\n```text\nhi you\n```\nb\n",
		"<!-- output: say hi -->\n```text\nho\n```\n```text\nb\n```\n": "<!-- output: say hi -->\n```text\nhi\n```\n```text\nb\n```\n",
		"<!-- output: say a$1 -->\n```yaml\n```\n":                     "<!-- output: say a$1 -->\n```yaml\na$1\n```\n",
		"<!-- output: shout -->\n```text\n```\n":                       "",
		"<!-- output: say hi -->\n\n```text\nhi\n```\n":                "",
		"<!-- output: say hi -->\n```text\nhi\n":                       "",
	} {
		got, _, err := page([]byte(text), run)
		if (err != nil) != (want == "") || want != "" && string(got) != want {
			t.Errorf("page makes of %q %q, %v; want %q", text, got, err, want)
		}
	}
}
