// Package viz draws a table of transitions as text: as a mermaid state diagram,
// as the sequence diagram of the gRPC guide, and as a markdown table. Rewrite
// keeps such drawings in a markdown file equal to the code.
//
// The package reads values and writes text. It knows no running machine, starts
// no goroutine and keeps no state, so every function may be called by any number
// of goroutines at once.
//
// What it writes was read by mermaid 10.9.8, 11.17.2 and 12.3.0 as it was meant;
// testdata/mermaid/check.mjs repeats that.
package viz

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lastcall-go/lastcall/fsm"
)

// State writes the table to w as a mermaid stateDiagram-v2: one arrow per row,
// in the table's order, after the arrow into the initial state. Without options,
// the table of package transitions gives the state diagram of the gRPC guide
// (https://grpc.io/docs/guides/server-graceful-stop/).
//
// It calls w.Write once, with the whole diagram, and blocks as long as that call
// does. The zero Table and a wrong option are errors, and then nothing is
// written. An error of w is returned as it is; a write that is short without an
// error is io.ErrShortWrite.
func State(w io.Writer, t fsm.Table, opts ...Option) error {
	d := stateDiagram{table: t}
	errs := []error{known(t)}
	for i, opt := range opts {
		if opt == nil {
			errs = append(errs, fmt.Errorf("viz: option %d is nil", i+1))
			continue
		}
		errs = append(errs, opt.applyState(&d))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return writeOnce(w, d.draw())
}

// stateDiagram is a table with what the options of State ask for.
type stateDiagram struct {
	table     fsm.Table
	direction string
	title     string
	notes     []note
	calls     bool
	path      []fsm.State
}

type note struct {
	at   fsm.State
	text string
}

// The style of the states that Path names. The colours have names because mermaid
// takes a # as the beginning of an escape.
const pathStyle = "classDef taken fill:lightgreen,stroke:darkgreen,stroke-width:3px,color:black"

// draw writes no arrow from a terminal state to [*]: the guide has none. Its
// source, content/en/docs/guides/server-graceful-stop.md in grpc/grpc.io (read at
// commit 028a1d2a6d59, 2026-07-06), has the arrow from [*] to SERVING and the
// four between the states, and nothing else.
func (d *stateDiagram) draw() []byte {
	var b bytes.Buffer
	if d.title != "" {
		// stateDiagram-v2 has no title statement: mermaid would draw a state of that name.
		fmt.Fprintf(&b, "---\ntitle: %s\n---\n", quoteYAML(d.title))
	}
	b.WriteString("stateDiagram-v2\n")
	if d.direction != "" {
		fmt.Fprintf(&b, "    direction %s\n", d.direction)
	}
	arrow(&b, "[*]", d.table.Initial(), d.table.Label())
	for row := range d.table.All() {
		arrow(&b, row.From.String(), row.To, d.label(row))
	}
	for s := range d.table.States() {
		for _, n := range d.notes {
			if n.at == s {
				fmt.Fprintf(&b, "    note right of %v : %s\n", s, escape(n.text))
			}
		}
	}
	if len(d.path) > 0 {
		fmt.Fprintf(&b, "    %s\n    class %s taken\n", pathStyle, d.taken())
	}
	return b.Bytes()
}

// label returns what stands at a row's arrow. With Calls that is UML's notation
// for what a transition does: "label / call".
func (d *stateDiagram) label(row fsm.Transition) string {
	if !d.calls || row.Call == fsm.NoCall {
		return row.Label
	}
	return strings.TrimSpace(row.Label + " / " + row.Call.String())
}

// taken returns the states of the path, each once, in the table's order.
func (d *stateDiagram) taken() string {
	var names []string
	for s := range d.table.States() {
		if slices.Contains(d.path, s) {
			names = append(names, s.String())
		}
	}
	return strings.Join(names, ",")
}

// arrow writes one arrow. Mermaid 12 leaves out a label that is blank, 10 and 11
// draw an empty one; without the colon there is none.
func arrow(b *bytes.Buffer, from string, to fsm.State, label string) {
	fmt.Fprintf(b, "    %s --> %v", from, to)
	if strings.TrimSpace(label) != "" {
		fmt.Fprintf(b, " : %s", escape(label))
	}
	b.WriteByte('\n')
}

// known returns an error for the zero Table. Every other one has been checked by
// fsm.NewTable.
func known(t fsm.Table) error {
	for range t.States() {
		return nil
	}
	return errors.New("viz: the table has no states: it is the zero fsm.Table")
}

// writeOnce hands everything to w in one call.
func writeOnce(w io.Writer, text []byte) error {
	n, err := w.Write(text)
	if err != nil {
		return err
	}
	if n != len(text) {
		return io.ErrShortWrite
	}
	return nil
}
