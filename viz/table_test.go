package viz_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := viz.Table(&b, transitions.Shutdown()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	want := []string{
		"| from | event | to | label | entering calls | why |",
		"|---|---|---|---|---|---|",
		"| (start) | | SERVING | Server Started | | |",
		"| SERVING | graceful_shutdown | GRACEFUL_SHUTDOWN | Graceful Shutdown Called (with Timeout) | GracefulStop | ",
		"| GRACEFUL_SHUTDOWN | drained | TERMINATED | In-Flight RPCs Completed (Before Timeout) | | ",
		"| GRACEFUL_SHUTDOWN | timeout | TIMER_EXPIRED | Timeout Reached | Stop | ",
		"| TIMER_EXPIRED | stopped | TERMINATED | Forceful Shutdown Called | | ",
		"",
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), &b)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %d is\n%s\nwant\n%s", i+1, lines[i], want[i])
		}
	}
	for row := range transitions.Shutdown().All() {
		if !strings.Contains(b.String(), "| "+row.Why+" |\n") {
			t.Errorf("the reason %q is missing", row.Why)
		}
	}
}

// TestTableEscapes: no text of a row ends its cell or becomes markdown.
func TestTableEscapes(t *testing.T) {
	const text = " a|b\r\nc\nd `e` *f* _g_ [h](i) <b> &amp; ~~j~~ \\k "
	const want = "a\\|b c d \\`e\\` \\*f\\* \\_g\\_ \\[h\\](i) \\<b\\> \\&amp; \\~\\~j\\~\\~ \\\\k"
	table, err := fsm.NewTable(fsm.Serving, text, fsm.Transition{From: fsm.Serving, Event: fsm.Drained, To: fsm.Terminated, Label: text, Why: text})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := viz.Table(&b, table); err != nil {
		t.Fatal(err)
	}
	rows := "| (start) | | SERVING | " + want + " | | |\n| SERVING | drained | TERMINATED | " + want + " | | " + want + " |\n"
	if !strings.HasSuffix(b.String(), rows) {
		t.Errorf("got\n%s\nwant\n%s", &b, rows)
	}
}
