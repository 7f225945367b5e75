package viz

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/lastcall-go/lastcall/fsm"
)

// Rewrite returns a markdown text in which every marked block holds what the code
// draws for the table now. A block is what stands between two lines such as
//
//	<!-- lastcall:state -->
//	<!-- /lastcall:state -->
//
// with the name state (the diagram of State), sequence (that of Sequence) or table
// (Table). Markers inside a fenced code block are text. Outside of the blocks the
// text stays as it is, byte for byte; a block takes the line ending of its first
// line. A text that is up to date comes back unchanged.
//
// It is an error, which names the line, if a block has an unknown name or no end
// marker, if an end marker has no block, or if a line that begins like a marker
// does not end like one. The zero Table is an error, too. No text comes with an
// error.
func Rewrite(text []byte, t fsm.Table) ([]byte, error) {
	if err := known(t); err != nil {
		return nil, err
	}
	r := rewriter{table: t}
	for line := range bytes.Lines(text) {
		r.line++
		if err := r.read(string(line)); err != nil {
			return nil, fmt.Errorf("viz: line %d: %w", r.line, err)
		}
	}
	if r.open != "" {
		return nil, fmt.Errorf("viz: line %d: block %q has no end marker", r.openLine, r.open)
	}
	return r.out.Bytes(), nil
}

// rewriter reads a text line by line.
type rewriter struct {
	table    fsm.Table
	out      bytes.Buffer
	line     int
	open     string // name of the block that the line is in
	openLine int
	fence    string // what began the code block that the line is in
}

func (r *rewriter) read(line string) error {
	if r.open == "" && r.fenced(strings.TrimRight(line, "\r\n")) {
		r.out.WriteString(line)
		return nil
	}
	name, end, err := marker(line)
	switch {
	case err != nil:
		return err
	case name == "" && r.open == "":
		r.out.WriteString(line)
		return nil
	case name == "":
		return nil // what the block has held so far
	case end:
		return r.end(name, line)
	default:
		return r.begin(name, line)
	}
}

// marker takes the name of a block out of the line that begins or ends it. The
// name is "" if the line is not a marker.
func marker(line string) (name string, end bool, err error) {
	line = strings.TrimSpace(line)
	rest, comment := strings.CutPrefix(line, "<!--")
	rest, end = strings.CutPrefix(strings.TrimSpace(rest), "/")
	rest, ours := strings.CutPrefix(rest, "lastcall:")
	if !comment || !ours {
		return "", false, nil
	}
	name, closed := strings.CutSuffix(rest, "-->")
	name = strings.TrimRight(name, " \t")
	if !closed || name == "" {
		return "", false, fmt.Errorf("%q begins like a marker and is none", line)
	}
	return name, end, nil
}

// begin writes the marker and what the block has to hold.
func (r *rewriter) begin(name, line string) error {
	if r.open != "" {
		return fmt.Errorf("block %q begins before the end marker of block %q", name, r.open)
	}
	body, err := block(name, r.table)
	if err != nil {
		return err
	}
	if strings.HasSuffix(line, "\r\n") {
		body = strings.ReplaceAll(body, "\n", "\r\n")
	}
	r.open, r.openLine = name, r.line
	r.out.WriteString(line + body)
	return nil
}

func (r *rewriter) end(name, line string) error {
	if r.open != name {
		return fmt.Errorf("end marker of block %q, which has not begun", name)
	}
	r.open = ""
	r.out.WriteString(line)
	return nil
}

// block returns what stands between the markers of the block with this name.
func block(name string, t fsm.Table) (string, error) {
	var b bytes.Buffer
	var err error
	frame := "\n```mermaid\n%s```\n\n"
	switch name {
	case "state":
		err = State(&b, t)
	case "sequence":
		err = Sequence(&b)
	case "table":
		frame, err = "\n%s\n", Table(&b, t)
	default:
		err = fmt.Errorf("there is no block %q", name)
	}
	return fmt.Sprintf(frame, b.String()), err
}

// fenced reports whether the line belongs to a fenced code block. Only a fence of
// the same kind, at least as long and with nothing behind it, ends one.
func (r *rewriter) fenced(line string) bool {
	run, info := fence(line)
	if r.fence == "" {
		r.fence = run
		return run != ""
	}
	if strings.HasPrefix(run, r.fence) && info == "" {
		r.fence = ""
	}
	return true
}

// fence returns the run of backticks or tildes with which a line begins or ends a
// fenced code block, and what stands behind it. The run is "" in other lines.
func fence(line string) (run, info string) {
	text := strings.TrimLeft(line, " ")
	if len(line)-len(text) > 3 || text == "" || text[0] != '`' && text[0] != '~' {
		return "", ""
	}
	info = strings.TrimLeft(text, text[:1])
	run = text[:len(text)-len(info)]
	if len(run) < 3 || text[0] == '`' && strings.Contains(info, "`") {
		return "", ""
	}
	return run, strings.TrimSpace(info)
}
