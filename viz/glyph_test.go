package viz

import (
	"slices"
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                 {},
		" \n\t":                            {},
		"short":                            {"short"},
		"one two three":                    {"one two", "three"},
		"enqueue_waiting_for":              {"enqueue_", "waiting_", "for"},
		"a 1234567890123":                  {"a", "1234567890", "123"},
		"a\r\nb\n\nc":                      {"a", "b", "c"},
		"日本語日本語":                           {"日本語日本", "語"},
		"e\u0301e\u0301e\u0301e\u0301e fg": {"e\u0301e\u0301e\u0301e\u0301e fg"},
		"a_very_long-name/x":               {"a_very_", "long-", "name/x"},
		strings.Repeat("x", 25):            {"xxxxxxxxxx", "xxxxxxxxxx", "xxxxx"},
	} {
		got := wrap(text, 10)
		if !slices.Equal(got, want) {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
		for _, line := range got {
			if columns(line) > 10 {
				t.Errorf("%q has the line %q", text, line)
			}
		}
	}
}

// TestVisible: what joins the letters of a word or the parts of an emoji stays, what
// turns the direction of a text or hides in it is shown.
func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"می\u200cخواهم": "می\u200cخواهم", "👩\u200d👧": "👩\u200d👧", "a\u200bb": "a\ufffdb", "\u202eabc": "\ufffdabc", "a\u2028b\tc": "a\nb c", "\x1b[0m": "␛[0m",
	} {
		if got := visible(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if n := columns("می\u200cخواهم"); n != 7 {
		t.Errorf("%d columns", n)
	}
}
