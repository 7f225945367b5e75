package viz_test

import (
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

// TestPhases: every phase is inside one state, in the order of the root package.
func TestPhases(t *testing.T) {
	m := viz.FromTable(transitions.Shutdown(), viz.Phases)
	inside := map[string]string{}
	for _, s := range m.States {
		for _, in := range s.States {
			inside[in.Name] = s.Name
		}
	}
	order := []string{"SERVING", "GRACEFUL_SHUTDOWN", "TIMER_EXPIRED", "TERMINATED"}
	for p := lastcall.Phase(1); !strings.HasPrefix(p.String(), "Phase("); p++ {
		for inside[p.String()] != order[0] {
			if order = order[1:]; len(order) == 0 {
				t.Fatalf("phase %v is inside %q, or before its time", p, inside[p.String()])
			}
		}
		delete(inside, p.String())
	}
	if len(inside) > 0 {
		t.Errorf("these are not phases: %v", inside)
	}
}

func TestRows(t *testing.T) {
	text, err := viz.Rows(transitions.Shutdown()).Markdown()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text, "\n")
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
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), text)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %d is\n%s\nwant\n%s", i+1, lines[i], want[i])
		}
	}
	for row := range transitions.Shutdown().All() {
		if !strings.Contains(text, "| "+row.Why+" |\n") {
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
	got, err := viz.Rows(table).Markdown()
	if err != nil {
		t.Fatal(err)
	}
	rows := "| (start) | | SERVING | " + want + " | | |\n| SERVING | drained | TERMINATED | " + want + " | | " + want + " |\n"
	if !strings.HasSuffix(got, rows) {
		t.Errorf("got\n%s\nwant\n%s", got, rows)
	}
}
