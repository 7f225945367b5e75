package viz_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

const (
	stateBlock    = "<!-- lastcall:state -->\n\n```mermaid\n" + guide + "```\n\n<!-- /lastcall:state -->\n"
	sequenceBlock = "<!-- lastcall:sequence -->\n\n```mermaid\n" + sequence + "```\n\n<!-- /lastcall:sequence -->\n"
)

func tableBlock(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := viz.Table(&b, transitions.Shutdown()); err != nil {
		t.Fatal(err)
	}
	return "<!-- lastcall:table -->\n\n" + b.String() + "\n<!-- /lastcall:table -->\n"
}

func TestRewrite(t *testing.T) {
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	tests := map[string]struct{ text, want string }{
		"nothing":               {"", ""},
		"no block":              {"# a\n\n<!-- a comment -->\nlastcall:state\n`<!-- lastcall:x -->` b", "# a\n\n<!-- a comment -->\nlastcall:state\n`<!-- lastcall:x -->` b"},
		"an empty block":        {"<!-- lastcall:state -->\n<!-- /lastcall:state -->\n", stateBlock},
		"an old block":          {"a\n<!-- lastcall:state -->\n```mermaid\nold\n```\n~~~\n<!-- /lastcall:state -->\nb", "a\n" + stateBlock + "b"},
		"no line at the end":    {"<!-- lastcall:state -->\n<!-- /lastcall:state -->", strings.TrimSuffix(stateBlock, "\n")},
		"all blocks, one twice": {"<!-- lastcall:state -->\n<!-- /lastcall:state -->\na\n<!-- lastcall:sequence -->\n<!-- /lastcall:sequence -->\n<!-- lastcall:table -->\n<!-- /lastcall:table -->\n<!-- lastcall:state -->\n<!-- /lastcall:state -->\n", stateBlock + "a\n" + sequenceBlock + tableBlock(t) + stateBlock},
		"other white space":     {"  <!--lastcall:state-->\t\n<!-- /lastcall:state  -->\n", strings.Replace(strings.Replace(stateBlock, "<!-- lastcall:state -->", "  <!--lastcall:state-->\t", 1), "<!-- /lastcall:state -->", "<!-- /lastcall:state  -->", 1)},
		"lines of Windows":      {"a\r\n<!-- lastcall:state -->\r\nx\r\n<!-- /lastcall:state -->\r\n", "a\r\n" + crlf(stateBlock)},
		"in a code block":       {"```markdown\n<!-- lastcall:state -->\n```\n" + stateBlock, "```markdown\n<!-- lastcall:state -->\n```\n" + stateBlock},
		"in a long code block":  {"~~~~\n~~~\n````\n~~~~ x\n<!-- lastcall:x -->\n~~~~~\n" + stateBlock, "~~~~\n~~~\n````\n~~~~ x\n<!-- lastcall:x -->\n~~~~~\n" + stateBlock},
		"behind inline code":    {"```a```\n    ```\n<!-- lastcall:state -->\n<!-- /lastcall:state -->\n", "```a```\n    ```\n" + stateBlock},
	}
	for name, tt := range tests {
		got, err := viz.Rewrite([]byte(tt.text), transitions.Shutdown())
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: error %v, got\n%q\nwant\n%q", name, err, got, tt.want)
			continue
		}
		again, err := viz.Rewrite(got, transitions.Shutdown())
		if err != nil || !bytes.Equal(again, got) {
			t.Errorf("%s: a text that is up to date is changed: error %v\n%q", name, err, again)
		}
	}
}

func TestRewriteRefuses(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"an unknown name":         {"a\n<!-- lastcall:bogus -->\n<!-- /lastcall:bogus -->\n", `line 2: there is no block "bogus"`},
		"a name with more":        {"<!-- lastcall:state LR -->\n<!-- /lastcall:state LR -->\n", `line 1: there is no block "state LR"`},
		"no end":                  {"a\n\n<!-- lastcall:state -->\nb\n", `line 3: block "state" has no end marker`},
		"no end, then another":    {"<!-- lastcall:state -->\n<!-- lastcall:table -->\n<!-- /lastcall:table -->\n", `line 2: block "table" begins before the end marker of block "state"`},
		"the same again":          {"<!-- lastcall:state -->\n<!-- lastcall:state -->\n<!-- /lastcall:state -->\n", `line 2: block "state" begins before`},
		"an end alone":            {"<!-- /lastcall:state -->\n", `line 1: end marker of block "state", which has not begun`},
		"the end of another":      {"<!-- lastcall:state -->\n<!-- /lastcall:table -->\n", `line 2: end marker of block "table", which has not begun`},
		"an end in a code block":  {"<!-- lastcall:state -->\n```\n", `line 1: block "state" has no end marker`},
		"text behind the marker":  {"<!-- lastcall:state --> x\n", `line 1: "<!-- lastcall:state --> x" begins like a marker and is none`},
		"a comment of many lines": {"<!-- lastcall:state\n-->\n", "line 1: "},
		"no name":                 {"<!-- lastcall: -->\n", "line 1: "},
		"an error behind a block": {stateBlock + "<!-- /lastcall:table -->\n", `line 13: end marker`},
	}
	for name, tt := range tests {
		got, err := viz.Rewrite([]byte(tt.text), transitions.Shutdown())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v does not say %q", name, err, tt.want)
		}
		if got != nil {
			t.Errorf("%s: there is a text with the error: %q", name, got)
		}
	}
}
