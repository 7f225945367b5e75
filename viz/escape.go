package viz

import (
	"fmt"
	"strings"
	"unicode"
)

// plain are the ASCII characters besides letters and digits that mermaid 10, 11
// and 12 show as they are, except for the two cases in EscapeMermaid.
const plain = " ()-_.,/"

// direction is the word that mermaid's lexer looks for anywhere in a line, in any
// case: with a TB, BT, LR or RL behind it, the whole line is a direction statement.
const direction = "direction"

// EscapeMermaid returns text so that mermaid shows it as it is in a label, a message, a
// note, a task, or the title statement of a sequence diagram. Drawings of this package are
// escaped already.
//
// Control characters become their pictures, and what cannot be printed U+FFFD. An ASCII
// character that is not plain becomes #NN; with its decimal code, also a newline, which
// mermaid shows as white space. Two more are escaped where mermaid would not show them:
//   - an underscore that is not between letters or digits as they are, since 11 and 12 read
//     markdown and take _x_ for emphasis;
//   - the first letter of the word "direction".
//
// Other characters stay as they are.
func EscapeMermaid(text string) string {
	text = visible(text)
	var b strings.Builder
	var before rune
	for i, r := range text {
		edge := r == '_' && (!alphanumeric(before) || i+1 == len(text) || !alphanumeric(rune(text[i+1])) || hasWord(text[i+1:]))
		if r <= unicode.MaxASCII && !isPlain(r) || hasWord(text[i:]) || edge {
			fmt.Fprintf(&b, "#%d;", r)
		} else {
			b.WriteRune(r)
		}
		before = r
	}
	return b.String()
}

// hasWord reports whether a text begins with the word, the first letter of which becomes a code.
func hasWord(text string) bool {
	return len(text) >= len(direction) && strings.EqualFold(text[:len(direction)], direction)
}

// quoteYAML returns text as a double-quoted YAML scalar, for the title in a
// diagram's front matter. Mermaid does not read #NN; there: it would show those
// characters. Everything that EscapeMermaid writes with a code is written with YAML's.
//
// Only < cannot be written that way: mermaid runs the title through an HTML
// sanitizer, after which "a<b" is "a" and "a < b" is "a &lt; b". It gets the form
// into which mermaid itself turns #60; in the rest of a diagram.
func quoteYAML(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range visible(text) {
		switch {
		case r == '<':
			b.WriteString("ﬂ°°60¶ß")
		case isPlain(r) || r > unicode.MaxASCII && unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= unicode.MaxASCII:
			fmt.Fprintf(&b, `\x%02X`, r)
		default: // YAML refuses some of these as they are
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func isPlain(r rune) bool { return alphanumeric(r) || strings.ContainsRune(plain, r) }

// alphanumeric reports whether r is an ASCII letter or digit.
func alphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}
