//go:build unix

package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme: README.md names every test of the checklist and every file of the example
// full, and none that is not there.
func TestReadme(t *testing.T) {
	t.Parallel()
	read := func(pattern string) (text string) {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text += string(content)
		}
		return text
	}
	readme, tests := read("README.md"), read("*_test.go")
	checklist := regexp.MustCompile(`(?m)^func TestChecklist_(\w+)\(`)
	for _, m := range checklist.FindAllStringSubmatch(tests, -1) {
		if !strings.Contains(readme, "`"+m[1]+"`") {
			t.Errorf("README.md does not name TestChecklist_%s", m[1])
		}
	}
	for _, m := range regexp.MustCompile("`(Test\\w+|[A-Z]\\w+)`").FindAllStringSubmatch(section(readme, "## Tests"), -1) {
		if !strings.Contains(tests, "\nfunc "+m[1]+"(") && !strings.Contains(tests, "\nfunc TestChecklist_"+m[1]+"(") {
			t.Errorf("README.md names a test %s, and there is none", m[1])
		}
	}
	files, err := filepath.Glob("full/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.Contains(readme, "\n| "+filepath.Base(file)+" |") {
			t.Errorf("README.md does not explain %s", file)
		}
	}
}

// section returns what is behind a heading.
func section(text, heading string) string {
	_, behind, _ := strings.Cut(text, "\n"+heading+"\n")
	return behind
}
