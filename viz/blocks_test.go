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
	sequenceBlock = "<!-- lastcall:sequence -->\n\n```mermaid\n" + sequenceText + "```\n\n<!-- /lastcall:sequence -->\n"
)

// sequenceText is what the block of that name holds here; a drawing may be any text.
const sequenceText = "sequenceDiagram\n    a->>b: c\n"

func drawings() map[string]viz.Drawing {
	return map[string]viz.Drawing{
		"state":    viz.FromTable(transitions.Shutdown()),
		"sequence": viz.Fenced("mermaid", sequenceText),
		"table":    viz.Rows(transitions.Shutdown()),
		"my own 1": viz.Machine{Initial: "a"},
		"ascii":    viz.Machine{Initial: "```"}.In(viz.ASCII),
		"broken":   viz.Machine{},
		"marked":   viz.Fenced("html", "<!-- lastcall:x -->"),
		"picture":  viz.Machine{Initial: "a"}.In(viz.SVG),
		"long":     viz.Machine{Initial: "a"}.Note("a", strings.Repeat("é", 50_000)),
		"emoji":    viz.Machine{Initial: "a"}.Note("a", strings.Repeat("😀", 30_000)),
		"nil":      nil,
	}
}

func tableBlock(t *testing.T) string {
	t.Helper()
	text, err := viz.Rows(transitions.Shutdown()).Markdown()
	if err != nil {
		t.Fatal(err)
	}
	return "<!-- lastcall:table -->\n\n" + text + "\n<!-- /lastcall:table -->\n"
}

func TestRewrite(t *testing.T) {
	behind := func(s string) struct{ text, want string } {
		return struct{ text, want string }{s + "<!-- lastcall:state -->\n<!-- /lastcall:state -->\n", s + stateBlock}
	}
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	tests := map[string]struct{ text, want string }{
		"nothing":               {"", ""},
		"a name with spaces":    {"<!-- lastcall:my own 1 -->\n<!-- /lastcall:my own 1 -->\n", "<!-- lastcall:my own 1 -->\n\n```mermaid\nstateDiagram-v2\n    [*] --> a\n```\n\n<!-- /lastcall:my own 1 -->\n"},
		"a fence in a drawing":  {"<!-- lastcall:ascii -->\n<!-- /lastcall:ascii -->\n", "<!-- lastcall:ascii -->\n\n````text\no --------+\n+-----+   |\n| ``` |<--+\n+-----+\n````\n\n<!-- /lastcall:ascii -->\n"},
		"no block":              {"# a\n\n<!-- a comment -->\nlastcall:state\n`<!-- lastcall:x -->` b", "# a\n\n<!-- a comment -->\nlastcall:state\n`<!-- lastcall:x -->` b"},
		"an empty block":        {"<!-- lastcall:state -->\n<!-- /lastcall:state -->\n", stateBlock},
		"an old block":          {"a\n<!-- lastcall:state -->\n```mermaid\nold\n```\n~~~\n<!-- /lastcall:state -->\nb", "a\n" + stateBlock + "b"},
		"no line at the end":    {"<!-- lastcall:state -->\n<!-- /lastcall:state -->", strings.TrimSuffix(stateBlock, "\n")},
		"all blocks, one twice": {"<!-- lastcall:state -->\n<!-- /lastcall:state -->\na\n<!-- lastcall:sequence -->\n<!-- /lastcall:sequence -->\n<!-- lastcall:table -->\n<!-- /lastcall:table -->\n<!-- lastcall:state -->\n<!-- /lastcall:state -->\n", stateBlock + "a\n" + sequenceBlock + tableBlock(t) + stateBlock},
		"other white space":     {"<!--lastcall:state-->\t\n<!-- /lastcall:state  -->\n", strings.Replace(strings.Replace(stateBlock, "<!-- lastcall:state -->", "<!--lastcall:state-->\t", 1), "<!-- /lastcall:state -->", "<!-- /lastcall:state  -->", 1)},
		"in a list":             {"1. a\n\n   <!-- lastcall:my own 1 -->\n   <!-- /lastcall:my own 1 -->\n2. b\n", "1. a\n\n   <!-- lastcall:my own 1 -->\n\n   ```mermaid\n   stateDiagram-v2\n       [*] --> a\n   ```\n\n   <!-- /lastcall:my own 1 -->\n2. b\n"},
		"code in a list":        behind("10. a\n\n    - b\n\n      ```markdown\n      <!-- lastcall:x -->\n          ```\n      <!-- lastcall:x -->\n      ```\n"),
		"code begins an item":   behind("- ```markdown\n  <!-- lastcall:x -->\n  ```\n"),
		"an item ends its code": behind("- ~~~\n  a\nb\n"),
		"code behind a list":    behind("  - a\n\nb\n\n     ```\n"),
		"not an item":           behind("-a\n\n     ```\n1234567890. a\n\n    ```\n"),
		"a line of dashes":      behind("a\n- - -\n- - ```\n    <!-- lastcall:x -->\n    ```\n"),
		"lines of Windows":      {"a\r\n<!-- lastcall:state -->\r\nx\r\n<!-- /lastcall:state -->\r\n", "a\r\n" + crlf(stateBlock)},
		"in a code block":       {"```markdown\n<!-- lastcall:state -->\n```\n" + stateBlock, "```markdown\n<!-- lastcall:state -->\n```\n" + stateBlock},
		"in a long code block":  {"~~~~\n~~~\n````\n~~~~ x\n<!-- lastcall:x -->\n~~~~~\n" + stateBlock, "~~~~\n~~~\n````\n~~~~ x\n<!-- lastcall:x -->\n~~~~~\n" + stateBlock},
		"behind inline code":    {"```a```\n    ```\n<!-- lastcall:state -->\n<!-- /lastcall:state -->\n", "```a```\n    ```\n" + stateBlock},
	}
	for name, tt := range tests {
		got, err := viz.Rewrite([]byte(tt.text), drawings())
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: error %v, got\n%q\nwant\n%q", name, err, got, tt.want)
			continue
		}
		again, err := viz.Rewrite(got, drawings())
		if err != nil || !bytes.Equal(again, got) {
			t.Errorf("%s: a text that is up to date is changed: error %v\n%q", name, err, again)
		}
	}
}

func TestRewriteRefuses(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"an unknown name":         {"a\n<!-- lastcall:bogus -->\n<!-- /lastcall:bogus -->\n", `line 2: block "bogus": there is no such drawing, only ["ascii" "broken" "emoji" "long" "marked" "my own 1" "nil" "picture" "sequence" "state" "table"]`},
		"a name with more":        {"<!-- lastcall:state LR -->\n<!-- /lastcall:state LR -->\n", `line 1: block "state LR": there is no such drawing`},
		"no end":                  {"a\n\n<!-- lastcall:state -->\nb\n", `line 3: block "state" has no end marker`},
		"no end, then another":    {"<!-- lastcall:state -->\n<!-- lastcall:table -->\n<!-- /lastcall:table -->\n", `line 2: block "table" begins before the end marker of block "state"`},
		"the same again":          {"<!-- lastcall:state -->\n<!-- lastcall:state -->\n<!-- /lastcall:state -->\n", `line 2: block "state" begins before`},
		"an end alone":            {"<!-- /lastcall:state -->\n", `line 1: end marker of block "state", which has not begun`},
		"the end of another":      {"<!-- lastcall:state -->\n<!-- /lastcall:table -->\n", `line 2: end marker of block "table", which has not begun`},
		"an end in a code block":  {"<!-- lastcall:state -->\n```\n", `line 1: block "state" has no end marker`},
		"text behind the marker":  {"<!-- lastcall:state --> x\n", `line 1: "<!-- lastcall:state --> x" begins like a marker and does not end like one`},
		"a comment of many lines": {"<!-- lastcall:state\n-->\n", "line 1: "},
		"no name":                 {"<!-- lastcall: -->\n", "line 1: "},
		"a drawing that fails":    {"a\n<!-- lastcall:broken -->\n<!-- /lastcall:broken -->\n", `line 2: block "broken": viz: the machine has no states`},
		"a drawing with a marker": {"<!-- lastcall:marked -->\n<!-- /lastcall:marked -->\n", `would be read as a marker`},
		"a long one":              {"<!-- lastcall:long -->\n<!-- /lastcall:long -->\n", `the diagram has 50053 characters, and mermaid draws at most 50000`},
		"many emoji":              {"<!-- lastcall:emoji -->\n<!-- /lastcall:emoji -->\n", `the diagram has 60053 characters, and mermaid draws at most 50000`},
		"a picture":               {"<!-- lastcall:picture -->\n<!-- /lastcall:picture -->\n", `an SVG cannot stand in a block`},
		"no drawing":              {"<!-- lastcall:nil -->\n<!-- /lastcall:nil -->\n", `block "nil": there is no such drawing`},
		"an error behind a block": {stateBlock + "<!-- /lastcall:table -->\n", `line 13: end marker`},
	}
	for name, tt := range tests {
		got, err := viz.Rewrite([]byte(tt.text), drawings())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v does not say %q", name, err, tt.want)
		}
		if got != nil {
			t.Errorf("%s: there is a text with the error: %q", name, got)
		}
	}
}
