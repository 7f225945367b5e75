package viz

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rewrite returns a markdown text in which every marked block holds its drawing. A
// block is what stands between two lines such as
//
//	<!-- lastcall:orders -->
//	<!-- /lastcall:orders -->
//
// where orders is the name of one of the drawings. Markers inside a fenced code block
// are text. Outside of the blocks the text stays as it is, byte for byte; a block takes
// the line ending and the indentation of its first line. A text that is up to date comes back unchanged.
//
// It is an error, which names the line, if no drawing has the block's name, if its
// drawing fails, if it has no end marker, if an end marker has no block, or if a line
// that begins like a marker does not end like one. No text comes with an error. Drawings
// without a block are not an error.
func Rewrite(text []byte, drawings map[string]Drawing) ([]byte, error) {
	r := rewriter{drawings: drawings}
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
	drawings map[string]Drawing
	out      bytes.Buffer
	line     int
	open     string // name of the block that the line is in
	openLine int
	item     int    // the column in which the text of the list item begins that the line is in; 0: it is in none
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
		return "", false, fmt.Errorf("%q begins like a marker and does not end like one", line)
	}
	return name, end, nil
}

// begin writes the marker and what the block has to hold.
func (r *rewriter) begin(name, line string) error {
	if r.open != "" {
		return fmt.Errorf("block %q begins before the end marker of block %q", name, r.open)
	}
	d, ok := r.drawings[name]
	if !ok || d == nil {
		return fmt.Errorf("block %q: there is no such drawing, only %q", name, slices.Sorted(maps.Keys(r.drawings)))
	}
	body, err := d.Markdown()
	if err != nil {
		return fmt.Errorf("block %q: %w", name, err)
	}
	body = "\n" + body + "\n"
	for inner := range strings.Lines(body) {
		if in, _, err := marker(inner); in != "" || err != nil {
			return fmt.Errorf("block %q: the drawing has the line %q, which would be read as a marker", name, inner)
		}
	}
	if indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; indent != "" { // it stands in a list
		var b strings.Builder
		for inner := range strings.Lines(body) {
			if inner != "\n" {
				b.WriteString(indent)
			}
			b.WriteString(inner)
		}
		body = b.String()
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

// fenced reports whether the line belongs to a fenced code block. Only a fence of
// the same kind, at least as long and with nothing behind it, ends one, or the end of the
// list item that it is in.
func (r *rewriter) fenced(line string) bool {
	column, text := indented(line, 0)
	if text != "" && column < r.item {
		r.item, r.fence = column, ""
	}
	for r.fence == "" {
		width := itemMark(text)
		if width == 0 || column > r.item+3 {
			break
		}
		r.item, text = indented(text[width:], column+width)
		if text == "" || r.item > column+width+4 { // what follows is below it, or is code
			r.item, text = column+width+1, ""
		}
		column = r.item
	}
	run, info := fenceRun(text)
	if column > r.item+3 {
		run = ""
	}
	if r.fence == "" {
		r.fence = run
		return run != ""
	}
	if strings.HasPrefix(run, r.fence) && info == "" {
		r.fence = ""
	}
	return true
}

// indented returns the column in which the text of a line begins that goes on in a column.
func indented(line string, column int) (int, string) {
	for i, c := range line {
		switch c {
		case ' ':
			column++
		case '\t':
			column += 4 - column%4
		default:
			return column, line[i:]
		}
	}
	return column, ""
}

// itemMark returns the width of the mark with which a text begins a list item, 0 if it
// does not.
func itemMark(text string) int {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	width := digits + 1
	if digits > 9 || len(text) < width || digits == 0 && !strings.ContainsAny(text[:1], "-*+") || digits > 0 && !strings.ContainsAny(text[digits:width], ".)") {
		return 0
	}
	if len(text) > width && text[width] != ' ' && text[width] != '\t' {
		return 0
	}
	return width
}

// fenceRun returns the run of backticks or tildes with which a text begins or ends a
// fenced code block, and what stands behind it. The run is "" in other texts.
func fenceRun(text string) (run, info string) {
	if text == "" || text[0] != '`' && text[0] != '~' {
		return "", ""
	}
	info = strings.TrimLeft(text, text[:1])
	run = text[:len(text)-len(info)]
	if len(run) < 3 || text[0] == '`' && strings.Contains(info, "`") {
		return "", ""
	}
	return run, strings.TrimSpace(info)
}
