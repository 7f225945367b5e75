package viz

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestEscapeASCII tries every ASCII character between letters, where it is plain
// or has its code. Control characters are in TestVisible.
func TestEscapeASCII(t *testing.T) {
	for c := ' '; c < '\x7f'; c++ {
		code, yaml := fmt.Sprintf("#%d;", c), fmt.Sprintf(`\x%02X`, c)
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ()-_.,/", c) {
			code, yaml = string(c), string(c)
		}
		if c == '<' {
			yaml = "ﬂ°°60¶ß"
		}
		if got, want := EscapeMermaid("a"+string(c)+"b"), "a"+code+"b"; got != want {
			t.Errorf("escape of %q is %q, want %q", c, got, want)
		}
		if got, want := quoteYAML("a"+string(c)+"b"), `"a`+yaml+`b"`; got != want {
			t.Errorf("quoteYAML of %q is %q, want %q", c, got, want)
		}
	}
}

func TestEscapeWords(t *testing.T) {
	tests := map[string]string{
		"":                      "",
		"GRACEFUL_SHUTDOWN":     "GRACEFUL_SHUTDOWN",
		"_a_":                   "#95;a#95;",
		"a__b_":                 "a#95;#95;b#95;",
		"a_ _b":                 "a#95; #95;b",
		"é_b":                   "é#95;b",
		"b_é":                   "b#95;é",
		"_":                     "#95;",
		"direction LR":          "#100;irection LR",
		"reDirection DIRECTION": "re#68;irection #68;IRECTION",
		"directio directionn":   "directio #100;irectionn",
		"direct":                "direct",
		"a\r\nb":                "a#10;b",
		"\x1b[1m\u202eb":        "␛#91;1m\ufffdb",
		"#35;":                  "#35;35#59;",
		"é 日本 😀":                "é 日本 😀",
		"a\xffb\xc3":            "a\ufffdb\ufffd",
	}
	for text, want := range tests {
		if got := EscapeMermaid(text); got != want {
			t.Errorf("EscapeMermaid(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestQuoteYAMLWords(t *testing.T) {
	tests := map[string]string{
		"a_b _c_":          `"a_b _c_"`,
		"a\nb":             `"a\x0Ab"`,
		`a"\b`:             `"a\x22\x5Cb"`,
		"é 日本 😀":           `"é 日本 😀"`,
		"a\u0085b":         `"a\x0Ab"`,
		"a\u2028b":         `"a\x0Ab"`,
		"a\u200db":         `"a\U0000200Db"`,
		"\ufeff\U000e0001": "\"\ufffd\ufffd\"",
		"a\xffb":           "\"a\ufffdb\"",
	}
	for text, want := range tests {
		if got := quoteYAML(text); got != want {
			t.Errorf("quoteYAML(%q) = %s, want %s", text, got, want)
		}
	}
}

// FuzzEscape: what is written has no character that mermaid or YAML could take for
// syntax, and decoded it is the text again, as far as it can be seen.
func FuzzEscape(f *testing.F) {
	for _, text := range []string{"", "a: b", "_x_ direction LR", "00_direCtion", "<b>\n\"\\'", "#35; é\xff", "ﬂ°°60¶ß", "\x00\x7f\u2028"} {
		f.Add(text)
	}
	safe := regexp.MustCompile(`^([A-Za-z0-9 ()\-_.,/]|[^\x00-\x7f]|#[0-9]{1,3};)*$`)
	safeYAML := regexp.MustCompile(`^"([A-Za-z0-9 ()\-_.,/]|[^\x00-\x7f]|\\x[0-9A-F]{2}|\\U[0-9A-F]{8})*"$`)
	markdown := regexp.MustCompile(`(^|[^A-Za-z0-9])_|_([^A-Za-z0-9]|$)`)
	statement := regexp.MustCompile(`(?i)direction`)
	code := regexp.MustCompile(`#[0-9]+;`)
	yamlCode := regexp.MustCompile(`\\x..|\\U.{8}`)
	const less = "ﬂ°°60¶ß"
	f.Fuzz(func(t *testing.T, text string) {
		valid := visible(text)
		got := EscapeMermaid(text)
		if !safe.MatchString(got) || markdown.MatchString(got) || statement.MatchString(got) {
			t.Errorf("EscapeMermaid(%q) = %q", text, got)
		}
		back := code.ReplaceAllStringFunc(got, func(s string) string { return decode(t, s[1:len(s)-1], 10) })
		if back != valid {
			t.Errorf("EscapeMermaid(%q) = %q, which says %q", text, got, back)
		}
		got = quoteYAML(text)
		if !safeYAML.MatchString(got) {
			t.Errorf("quoteYAML(%q) = %s", text, got)
		}
		back = yamlCode.ReplaceAllStringFunc(got[1:len(got)-1], func(s string) string { return decode(t, s[2:], 16) })
		if back != strings.ReplaceAll(valid, "<", less) {
			t.Errorf("quoteYAML(%q) = %s, which says %q", text, got, back)
		}
	})
}

func decode(t *testing.T, digits string, base int) string {
	t.Helper()
	r, err := strconv.ParseInt(digits, base, 32)
	if err != nil {
		t.Fatal(err)
	}
	return string(rune(r))
}
