package viz

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/lastcall-go/lastcall/fsm"
)

// Table writes the rows of the table to w as a markdown table, in their order,
// after a row for the start: from, event, to, label, what entering the state
// calls, and why.
//
// Like State it calls w.Write once. The zero Table is an error, and then nothing
// is written.
func Table(w io.Writer, t fsm.Table) error {
	if err := known(t); err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString("| from | event | to | label | entering calls | why |\n")
	b.WriteString("|---|---|---|---|---|---|\n")
	line(&b, "(start)", "", t.Initial().String(), cell(t.Label()), "", "")
	for row := range t.All() {
		line(&b, row.From.String(), row.Event.String(), row.To.String(), cell(row.Label), row.Call.String(), cell(row.Why))
	}
	return writeOnce(w, b.Bytes())
}

func line(b *bytes.Buffer, cells ...string) {
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
