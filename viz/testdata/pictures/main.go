// Command pictures writes every machine of testdata as a file in every format, into the
// folder that is its argument, to be looked at.
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
	"github.com/lastcall-go/lastcall/viz/testdata/machines"
)

func main() {
	all := map[string]viz.Machine{
		"shutdown": viz.FromTable(transitions.Shutdown(), viz.Calls),
		"phases":   viz.FromTable(transitions.Shutdown(), viz.Phases).Note("TIMER_EXPIRED", "what is left is cut off"),
		"forced": viz.FromTable(transitions.Shutdown()).Path("SERVING", "GRACEFUL_SHUTDOWN", "TIMER_EXPIRED", "TERMINATED").
			Mark(viz.Forced, "TIMER_EXPIRED"),
		"forty": forty(),
	}
	for _, m := range machines.All() {
		all[m.Name] = viz.FromEvents(m.Initial, m.Events)
	}
	for name, m := range all {
		m.Title = name
		for _, direction := range []viz.Direction{"", viz.LeftRight} {
			m.Direction = direction
			for f := viz.Mermaid; f <= viz.ASCII; f++ {
				file := filepath.Join(os.Args[1], strings.ReplaceAll(name, " ", "-")+string(direction)+"."+f.String())
				var b strings.Builder
				err := viz.Draw(&b, m, f)
				if err == nil {
					err = os.WriteFile(file, []byte(b.String()), 0o644)
				}
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
		}
	}
}

// forty returns a machine of 40 states: a chain with failures, retries and short cuts.
func forty() viz.Machine {
	r := rand.New(rand.NewPCG(40, 40))
	m := viz.Machine{Initial: "step 1"}
	add := func(from, to int, label string) {
		m.Edges = append(m.Edges, viz.Edge{From: fmt.Sprint("step ", from), To: fmt.Sprint("step ", to), Label: label})
	}
	for i := 2; i <= 40; i++ {
		add(max(1, i-1-r.IntN(3)), i, "next")
		if r.IntN(4) == 0 {
			add(i, max(1, i-1-r.IntN(6)), "retry")
		}
		if r.IntN(6) == 0 && i > 4 {
			add(i-3, i, "skip")
		}
	}
	return m
}
