package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

// result is how a demo went.
type result struct {
	report   report.Report
	returned time.Time            // when Run had returned
	rpcs     []rpc                // as the clients saw them
	silence  *silence             // nil without silent peers
	jobs     int64                // how many the worker has done
	bare     <-chan time.Duration // how late a bare timer was that was set for the deadline
}

// print writes the result, and the shutdown as one of drawings unless that is "".
func (r *result) print(w io.Writer, as string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nReport of the controller\n%s%s", nest(2, r.report.String()), nest(4, r.timing()))
	fmt.Fprintf(&b, "    worker    %d jobs done\n", r.jobs)
	fmt.Fprintf(&b, "\nRPCs as the clients saw them\n%s", nest(2, tally(r.rpcs, r.report.Triggered)))
	if r.silence != nil {
		fmt.Fprintf(&b, "\nSilent peers\n%s", nest(2, r.silence.text(r.report)))
	}
	fmt.Fprintf(&b, "\nPath taken\n%s", nest(2, r.path()))
	if as != "" {
		drawn, err := drawReport(r.report, as, viz.Mermaid)
		if err != nil {
			return err
		}
		b.WriteString("\n" + drawn)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// timing says how Run kept the deadline.
func (r *result) timing() string {
	late := r.returned.Sub(r.report.Deadline)
	if late < 0 {
		return fmt.Sprintf("deadline  Run returned %s before it\n", seconds(-late))
	}
	text := fmt.Sprintf("deadline  reached: Run returned %v after it", late.Round(time.Microsecond))
	if !r.report.Forced { // the bare timer was set for the first deadline
		select {
		case bare := <-r.bare:
			text += fmt.Sprintf(", a bare timer %v", bare.Round(time.Microsecond))
		case <-time.After(time.Second):
		}
	}
	return text + "\n"
}

// path draws the table of transitions, and marks what was taken.
func (r *result) path() string {
	taken := make(map[fsm.State]report.Step) // by the state that was left
	isTransition := func(s report.Step) bool { return s.Kind == report.KindTransition }
	for i, s := range some(r.report.Steps, isTransition) {
		taken[r.report.Path[i]] = s
	}
	var b strings.Builder
	for _, state := range slices.Sorted(transitions.Shutdown().States()) { // the terminal one last
		mark := ' '
		if slices.Contains(r.report.Path, state) {
			mark = '*'
		}
		fmt.Fprintf(&b, "%c %v\n", mark, state)
		for row := range transitions.Shutdown().All() {
			if row.From != state {
				continue
			}
			at := ""
			if s, ok := taken[state]; ok && s.Transition.Event == row.Event {
				at = "* " + seconds(s.Elapsed)
			}
			fmt.Fprintf(&b, "  %9s  %s -> %v\n", at, row.Label, row.To)
		}
	}
	return b.String()
}
