package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mapping is a YAML mapping, written in the order that it has.
type mapping []field

// field is one line of a mapping, or one with more below it. The value is a
// string, an int, a list of strings, a mapping or a list of mappings.
type field struct {
	key   string
	value any
	note  string // comment above it, of one line or more
}

// write writes the mapping, each line behind indent.
func (m mapping) write(b *strings.Builder, indent string) {
	for _, f := range m {
		if f.note != "" {
			for line := range strings.Lines(comment(f.note)) {
				b.WriteString(indent + line)
			}
		}
		b.WriteString(indent + f.key + ":")
		switch v := f.value.(type) {
		case mapping:
			b.WriteString("\n")
			v.write(b, indent+"  ")
		case []mapping:
			b.WriteString("\n")
			for _, item := range v {
				var lines strings.Builder
				item.write(&lines, indent+"    ")
				b.WriteString(indent + "  - " + strings.TrimPrefix(lines.String(), indent+"    "))
			}
		case []string:
			quoted := make([]string, len(v))
			for i, s := range v {
				quoted[i] = strconv.Quote(s)
			}
			fmt.Fprintf(b, " [%s]\n", strings.Join(quoted, ", "))
		case string:
			fmt.Fprintf(b, " %s\n", scalar(v))
		default:
			fmt.Fprintf(b, " %v\n", v)
		}
	}
}

// scalar quotes a string that YAML would take for something else.
func scalar(s string) string {
	plain := regexp.MustCompile(`^[a-zA-Z/]([-a-zA-Z0-9._/:@]*[a-zA-Z0-9])?$`).MatchString(s)
	other := slices.Contains([]string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}, strings.ToLower(s))
	if plain && !other {
		return s
	}
	return strconv.Quote(s)
}

// comment makes a YAML comment of a text.
func comment(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		b.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
	return b.String()
}
