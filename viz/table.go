package viz

import (
	"fmt"
	"strings"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
)

// Detail is what FromTable shows beyond states and transitions.
type Detail uint8

const (
	_ Detail = iota
	// Calls: behind the label of each edge, what entering the state at its head
	// calls: "Timeout Reached / Stop".
	Calls
	// Phases: inside each state, the phases that it goes through.
	Phases
)

// FromTable makes a Machine from a table of transitions: one edge for each row, in
// the table's order. The table of package transitions gives the state diagram of the
// gRPC guide (https://grpc.io/docs/guides/server-graceful-stop/), to the letter.
//
// Terminal states are not marked, since the guide draws no arrow to an end.
func FromTable(t fsm.Table, details ...Detail) Machine {
	m := Machine{Start: t.Label()}
	if t.Initial() == 0 {
		m.errs.add("the table has no states: it is the zero fsm.Table")
		return m
	}
	m.Initial = t.Initial().String()
	for row := range t.All() {
		m.Edges = append(m.Edges, Edge{From: row.From.String(), To: row.To.String(), Label: row.Label})
	}
	for _, detail := range details {
		switch detail {
		case Calls:
			i := 0
			for row := range t.All() {
				if row.Call != fsm.NoCall {
					m.Edges[i].Label = strings.TrimSpace(m.Edges[i].Label + " / " + row.Call.String())
				}
				i++
			}
		case Phases:
			for s := range t.States() {
				m = m.Inside(s.String(), phases(s)...)
			}
		default:
			m.errs.add("Detail(%d) is not a detail", uint8(detail))
		}
	}
	return m
}

// phases returns the phases that a state goes through. The root package orders them
// by state.
func phases(s fsm.State) (names []string) {
	first, last := lastcall.PhaseStart, lastcall.PhaseSettle
	switch s {
	case fsm.Serving:
	case fsm.GracefulShutdown:
		first, last = lastcall.PhaseDrain, lastcall.PhaseDrain
	case fsm.TimerExpired:
		first, last = lastcall.PhaseCancel, lastcall.PhaseWait
	case fsm.Terminated:
		first, last = lastcall.PhaseClose, lastcall.PhaseFlush
	default:
		return nil
	}
	for p := first; p <= last; p++ {
		names = append(names, p.String())
	}
	return names
}

// Rows returns the rows of a table as a markdown table, in their order, after a row for
// the start: from, event, to, label, what entering the state calls, and why.
func Rows(t fsm.Table) Drawing {
	return drawing(func() (string, error) {
		if err := FromTable(t).Err(); err != nil {
			return "", err
		}
		var b strings.Builder
		b.WriteString("| from | event | to | label | entering calls | why |\n")
		b.WriteString("|---|---|---|---|---|---|\n")
		line(&b, "(start)", "", t.Initial().String(), cell(t.Label()), "", "")
		for row := range t.All() {
			line(&b, row.From.String(), row.Event.String(), row.To.String(), cell(row.Label), row.Call.String(), cell(row.Why))
		}
		return b.String(), nil
	})
}

func line(b *strings.Builder, cells ...string) {
	for _, text := range cells {
		b.WriteByte('|')
		if text != "" {
			fmt.Fprintf(b, " %s", text)
		}
		b.WriteByte(' ')
	}
	b.WriteString("|\n")
}

// cell returns text as markdown shows it in a cell: a backslash stands before what
// markdown would read as more than text, a space in place of a line's end.
func cell(text string) string {
	escaper := strings.NewReplacer(
		`\`, `\\`, "`", "\\`", `*`, `\*`, `_`, `\_`, `[`, `\[`, `]`, `\]`,
		`<`, `\<`, `>`, `\>`, `|`, `\|`, `~`, `\~`, `&`, `\&`,
		"\r\n", " ", "\r", " ", "\n", " ",
	)
	return strings.TrimSpace(escaper.Replace(text))
}
