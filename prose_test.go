package lastcall_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	docGuarantee  = regexp.MustCompile(`(?ms)^(G\d+) ([^:\n]+): (.*?)\n\n`)
	pageGuarantee = regexp.MustCompile(`(?m)^\*\*(G\d+) ([^*]+)\.\*\* (.*)$`)
	goBlock       = regexp.MustCompile("(?ms)^(?:<!-- example: (\\S+) (\\S+) -->\n)?```go\n(.*?)^```$")
)

// TestGuarantees: docs/guarantees.md says what the package documentation of
// controller says, and each guarantee has a test that carries its number.
func TestGuarantees(t *testing.T) {
	doc := regexp.MustCompile(`(?m)^// ?`).ReplaceAllString(read(t, "controller/doc.go"), "")
	doc = strings.ReplaceAll(doc, "package controller\n", "\n\n")
	files, err := filepath.Glob("controller/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := ""
	for _, file := range files {
		tests += read(t, file)
	}
	said := guarantees(pageGuarantee, read(t, "docs/guarantees.md"))
	want := guarantees(docGuarantee, doc)
	if len(want) != 15 {
		t.Fatalf("controller/doc.go has %d guarantees, want G1 to G15: %q", len(want), want)
	}
	for i, text := range want {
		if i >= len(said) || said[i] != text {
			t.Errorf("docs/guarantees.md differs from controller/doc.go, which says:\n%s", text)
		}
		if name := fmt.Sprintf("func TestG%d_", i+1); !strings.Contains(tests, name) {
			t.Errorf("controller has no test %s", name)
		}
	}
}

// guarantees returns what a text guarantees, each in one line.
func guarantees(pattern *regexp.Regexp, text string) []string {
	var all []string
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		words := strings.Join(strings.Fields(m[3]), " ")
		all = append(all, m[1]+" "+m[2]+": "+strings.ToLower(words[:1])+words[1:])
	}
	return all
}

// TestSnippets: Go code in README.md and docs/*.md is part of an Example function,
// so it compiles. The line before it says which: <!-- example: file function -->, or
// <!-- example: file * --> for a part of the file outside of its functions.
func TestSnippets(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "README.md") {
		for _, m := range goBlock.FindAllStringSubmatch(read(t, page), -1) {
			found++
			if m[1] == "" {
				t.Errorf("%s: a go block has no <!-- example: file function --> before it:\n%s", page, m[3])
				continue
			}
			source := read(t, m[1])
			if m[2] != "*" {
				source = body(source, m[2])
			}
			if !strings.Contains(source, m[3]) {
				t.Errorf("%s: this is not part of %s in %s:\n%s", page, m[2], m[1], m[3])
			}
		}
	}
	if found == 0 {
		t.Error("README.md has no go block")
	}
}

// hazardRows is how many rows the table of hazards has.
const hazardRows = 34

// TestHazardsAreTold: each hazard has a test that carries its number, and its place
// in docs/hazards.md.
func TestHazardsAreTold(t *testing.T) {
	var files []string
	for _, pattern := range []string{"grpcadapter/hazards/*_test.go", "xdstest/*_test.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	tests := ""
	for _, file := range files {
		tests += read(t, file)
	}
	page := read(t, "docs/hazards.md")
	for row := range hazardRows {
		name := fmt.Sprintf("func TestHazard%02d_", row+1)
		if !strings.Contains(tests, name) {
			t.Errorf("there is no %s", name)
		}
		if told := fmt.Sprintf("[%d]", row+1); !strings.Contains(page, told) && !strings.Contains(page, fmt.Sprintf("| %d |", row+1)) {
			t.Errorf("docs/hazards.md has no %s", told)
		}
	}
	for _, m := range regexp.MustCompile(`\[(\d+)\][^(]`).FindAllStringSubmatch(page, -1) {
		if row, err := strconv.Atoi(m[1]); err != nil || row < 1 || row > hazardRows {
			t.Errorf("docs/hazards.md speaks of [%s], and the rows are 1 to %d", m[1], hazardRows)
		}
	}
}

// body returns the lines of a function, or of a type's method, without their first
// tab.
func body(source, function string) string {
	start := "func " + function + "("
	if typ, method, ok := strings.Cut(function, "."); ok {
		start = "func (" + typ + ") " + method + "("
	}
	_, rest, _ := strings.Cut(source, "\n"+start)
	_, rest, _ = strings.Cut(rest, " {\n")
	text, _, _ := strings.Cut(rest, "\n}\n")
	return strings.ReplaceAll("\n"+text+"\n", "\n\t", "\n")
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
