package viz

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// Format is a notation in which Draw writes a Machine. The zero Format is none.
type Format uint8

const (
	_ Format = iota
	// Mermaid: a stateDiagram-v2, for GitHub and everything else that reads mermaid.
	// Mermaid cannot style single arrows, so the label of an edge with a class begins
	// with ✓ (Visited, Current) or ⚡ (Forced).
	Mermaid
	// DOT: for Graphviz.
	DOT
	// SVG: a picture laid out here, without scripts and fonts of others. It follows the
	// reader's light or dark mode.
	SVG
	// Text: for terminals, with Unicode's box drawing characters.
	Text
	// ASCII: as Text, with ASCII characters around the names.
	ASCII
)

// formats are their names, in the order of the constants.
func formats() []string { return []string{"mermaid", "dot", "svg", "text", "ascii"} }

// String returns the name of the format, as ParseFormat reads it, and "Format(n)" for
// a value that is not a format.
func (f Format) String() string {
	if Mermaid <= f && f <= ASCII {
		return formats()[f-1]
	}
	return fmt.Sprintf("Format(%d)", uint8(f))
}

// ParseFormat returns the format of that name: mermaid, dot, svg, text or ascii. The
// error quotes any other name.
func ParseFormat(name string) (Format, error) {
	if i := slices.Index(formats(), name); i >= 0 {
		return Format(i + 1), nil //nolint:gosec // there are five
	}
	return 0, fmt.Errorf("viz: format %q is none of %s", name, strings.Join(formats(), ", "))
}

// Draw writes the machine to w. Equal machines give equal bytes.
//
// It calls w.Write once, with the whole drawing, and blocks as long as that call does.
// If the machine cannot be drawn (see Err), or the format is none, nothing is written.
// An error of w comes back as it is; a write that is short without an error is
// io.ErrShortWrite.
func Draw(w io.Writer, m Machine, f Format) error {
	text, err := m.draw(f)
	if err != nil {
		return err
	}
	n, err := io.WriteString(w, text)
	if err != nil {
		return err
	}
	if n != len(text) {
		return io.ErrShortWrite
	}
	return nil
}

func (m Machine) draw(f Format) (string, error) {
	if err := m.Err(); err != nil {
		return "", err
	}
	whole := m
	whole.States, whole.Edges = m.states(), distinct(m.Edges)
	switch f {
	case Mermaid:
		return whole.mermaid(), nil
	case DOT:
		return whole.dot(), nil
	case SVG:
		return whole.svg(), nil
	case Text:
		return whole.text(unicodeStrokes()), nil
	case ASCII:
		return whole.text(asciiStrokes()), nil
	default:
		return "", fmt.Errorf("viz: %v is not a format", f)
	}
}

// pen collects text.
type pen struct{ text strings.Builder }

func (p *pen) printf(format string, args ...any) { fmt.Fprintf(&p.text, format, args...) }

// distinct leaves out edges that are in the list already: the same ends, label and
// class.
func distinct(edges []Edge) (all []Edge) {
	seen := make(map[Edge]bool)
	for _, e := range edges {
		if !seen[e] {
			all = append(all, e)
		}
		seen[e] = true
	}
	return all
}

// Drawing is what stands in a block of a markdown file.
type Drawing interface {
	// Markdown returns the block's text, which ends in a newline, or what is wrong
	// with it.
	Markdown() (string, error)
}

// mermaidLimit is mermaid's maxTextSize, as GitHub has it, in characters of JavaScript, of
// which an emoji has two. Of a longer text it shows an error.
const mermaidLimit = 50_000

type drawing func() (string, error)

func (d drawing) Markdown() (string, error) { return d() }

// Markdown returns the machine as a mermaid diagram in a fenced code block.
func (m Machine) Markdown() (string, error) { return m.In(Mermaid).Markdown() }

// In returns the machine as a Drawing in another format, in a fenced code block. An SVG
// is an error: markdown shows pictures from files of their own (see viztest.KeepFile).
func (m Machine) In(f Format) Drawing {
	return drawing(func() (string, error) {
		text, err := m.draw(f)
		if err != nil {
			return "", err
		}
		switch f {
		case Mermaid:
			if n := len(utf16.Encode([]rune(text))); n > mermaidLimit {
				return "", fmt.Errorf("viz: the diagram has %d characters, and mermaid draws at most %d", n, mermaidLimit)
			}
			return fence(f.String(), text), nil
		case SVG:
			return "", errors.New("viz: an SVG cannot stand in a block; write it to a file of its own")
		case ASCII:
			return fence(Text.String(), text), nil
		default:
			return fence(f.String(), text), nil
		}
	})
}

// Fenced returns a text that is drawn elsewhere as a Drawing: a fenced code block with
// the language, usually "mermaid".
func Fenced(language, text string) Drawing {
	return drawing(func() (string, error) { return fence(language, text), nil })
}

// fence puts the text between fences that are longer than any in it.
func fence(language, text string) string {
	marks := "```"
	for strings.Contains(text, marks) {
		marks += "`"
	}
	return marks + language + "\n" + strings.TrimSuffix(text, "\n") + "\n" + marks + "\n"
}
