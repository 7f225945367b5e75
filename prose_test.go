package lastcall_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
	tests := read(t, "controller/guarantees_test.go")
	said := guarantees(pageGuarantee, read(t, "docs/guarantees.md"))
	want := guarantees(docGuarantee, doc)
	if len(want) != 11 {
		t.Fatalf("controller/doc.go has %d guarantees, want G1 to G11: %q", len(want), want)
	}
	for i, text := range want {
		if i >= len(said) || said[i] != text {
			t.Errorf("docs/guarantees.md differs from controller/doc.go, which says:\n%s", text)
		}
		if name := fmt.Sprintf("func TestG%d_", i+1); !strings.Contains(tests, name) {
			t.Errorf("controller/guarantees_test.go has no %s", name)
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
// so it compiles. The line before it says which: <!-- example: file function -->.
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
			if !strings.Contains(body(read(t, m[1]), m[2]), m[3]) {
				t.Errorf("%s: this is not part of %s in %s:\n%s", page, m[2], m[1], m[3])
			}
		}
	}
	if found == 0 {
		t.Error("README.md has no go block")
	}
}

// body returns a function's lines without their first tab.
func body(source, function string) string {
	_, rest, _ := strings.Cut(source, "\nfunc "+function+"() {\n")
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
