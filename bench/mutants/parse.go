package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mutant is a change that tests must notice. It is written like this, with an empty line
// behind it; a line that begins with # is a comment:
//
//	G5 Stop is called on servers that have ended
//	in controller
//	test ./controller -run TestG5
//	-		if s.graceful.ended() {
//	+		if false {
//
// The first line is its name, which begins with what it breaks: the guarantee (G), the hazard,
// the ADR, or the package. The lines with "-" are the old text, which must occur once in the
// package and need not be whole lines; those with "+" are the new one. Of several lines "test"
// each is run until one fails. Without such lines, or without "in", those of the mutant above
// hold. A line "equivalent" with the reason is for a mutant that no test can notice.
type mutant struct {
	name, dir, old, new string
	tests               []string // arguments of go test
	equivalent          string   // why no test can notice it; "": one must
}

// read returns the mutants in the files of a folder.
func read(dir string) (all []mutant, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var above mutant
		for entry := range strings.SplitSeq(string(content), "\n\n") {
			m, err := parse(entry, above)
			switch {
			case err != nil:
				return nil, fmt.Errorf("%s: %q: %w", file, m.name, err)
			case m.name == "": // comments
				continue
			case known[m.name]:
				return nil, fmt.Errorf("%s: there are two mutants %q", file, m.name)
			}
			known[m.name], above = true, m
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there are no mutants in %s: run this in the folder bench", dir)
	}
	return all, nil
}

// parse reads one mutant.
func parse(entry string, above mutant) (m mutant, err error) {
	var before, after []string
	for line := range strings.Lines(entry) {
		line = strings.TrimSuffix(line, "\n")
		kind, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '-':
			before = append(before, line[1:])
		case line[0] == '+':
			after = append(after, line[1:])
		case m.name == "":
			m.name = line
		case kind == "in":
			m.dir = rest
		case kind == "test":
			m.tests = append(m.tests, rest)
		case kind == "equivalent":
			m.equivalent = rest
		default:
			return m, fmt.Errorf("unknown line %q", line)
		}
	}
	m.dir = cmp.Or(m.dir, above.dir)
	if len(m.tests) == 0 {
		m.tests = above.tests
	}
	m.old, m.new = strings.Join(before, "\n"), strings.Join(after, "\n")
	if m.name != "" && (m.dir == "" || len(m.tests) == 0 || m.old == "" || m.old == m.new) {
		err = errors.New(`it needs "in", "test", old text and other new text`)
	}
	return m, err
}
