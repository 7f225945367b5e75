package viz

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible returns text in which every character can be seen, and none does anything else
// to a terminal or to a parser: control characters become their pictures, and what cannot be
// printed becomes U+FFFD. A tab becomes a space, and every kind of line end a newline.
func visible(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case '\n' <= r && r <= '\r' || r == '\u0085' || r == '\u2028' || r == '\u2029':
			return '\n'
		case r < ' ':
			return '\u2400' + r
		case r == 0x7f:
			return '\u2421'
		case zeroWidth(r) || unicode.IsGraphic(r):
			return r
		default:
			return utf8.RuneError
		}
	}, text)
}

// zeroWidth reports whether a character only joins or parts its neighbours: those of emoji,
// and of words in Persian or Hindi.
func zeroWidth(r rune) bool { return r == '\u200c' || r == '\u200d' }

// columns returns how many columns of a terminal a text takes: two for the wide characters
// of East Asia and for emoji, none for those that combine with the one before them.
func columns(text string) (n int) {
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me) || zeroWidth(r):
		return 0
	case 0x1100 <= r && r <= 0x115f, 0x2e80 <= r && r <= 0x303e, 0x3041 <= r && r <= 0xa4cf, 0xac00 <= r && r <= 0xd7a3,
		0xf900 <= r && r <= 0xfaff, 0xfe30 <= r && r <= 0xfe6f, 0xff00 <= r && r <= 0xff60, 0xffe0 <= r && r <= 0xffe6,
		0x1f300 <= r && r <= 0x1f64f, 0x1f680 <= r && r <= 0x1f6ff, 0x1f900 <= r && r <= 0x1faff, 0x20000 <= r && r <= 0x3fffd,
		strings.ContainsRune("⌚⌛⏩⏪⏫⏬⏰⏳◽◾☔☕♿⚓⚡⚪⚫⚽⚾⛄⛅⛎⛔⛪⛲⛳⛵⛺⛽✅✊✋✨❌❎❓❔❕❗➕➖➗➰➿⬛⬜⭐⭕", r):
		return 2
	default:
		return 1
	}
}

// wrap breaks a text into lines of at most limit columns: at its own line ends, then at
// spaces, and in the middle of a word that is longer than a line, if possible behind a mark.
func wrap(text string, limit int) (lines []string) {
	for paragraph := range strings.SplitSeq(visible(text), "\n") {
		line := ""
		for word := range strings.FieldsSeq(paragraph) {
			if line != "" && columns(line)+1+columns(word) > limit {
				lines, line = append(lines, line), ""
			}
			if line != "" {
				line += " "
			}
			for part := range parts(word, limit) {
				if line != "" && columns(line)+columns(part) > limit {
					lines, line = append(lines, line), ""
				}
				for _, r := range part {
					if columns(line)+runeColumns(r) > limit {
						lines, line = append(lines, line), ""
					}
					line += string(r)
				}
			}
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// parts yields a word as it is or, if it is longer than a line, in pieces that end in a
// mark.
func parts(word string, limit int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for columns(word) > limit {
			end := strings.IndexAny(word, "_-./:,;")
			if end < 0 {
				break
			}
			if !yield(word[:end+1]) {
				return
			}
			word = word[end+1:]
		}
		yield(word)
	}
}

// width returns how wide a text is in a sans-serif font of size 1, at most: the widths are
// those of DejaVu Sans, which is wider than other fonts that readers have.
func width(text string) (w float64) {
	for _, r := range text {
		switch {
		case r >= 0x300:
			w += 0.72 * float64(runeColumns(r))
		case strings.ContainsRune("ijl'|!.,:; I", r):
			w += 0.33
		case strings.ContainsRune("mwMW@%", r):
			w += 0.99
		case strings.ContainsRune("frt()[]-/\\\"{}*", r):
			w += 0.45
		case unicode.IsUpper(r), strings.ContainsRune("#+=<>~&", r):
			w += 0.79
		default:
			w += 0.64
		}
	}
	return w
}
