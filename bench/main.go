// Command bench compares how lastcall and others stop a process. Each run is a process
// of its own; the contestants take turns. It prints docs/benchmarks.md:
//
//	go run . > ../docs/benchmarks.md
//
// To compare with another version of lastcall, build this program there and give it:
//
//	git worktree add /tmp/before COMMIT && go build -C /tmp/before/bench -o /tmp/bench-before .
//	go run . -before /tmp/bench-before -peers lastcall,lastcall-use
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lastcall-go/lastcall/bench/child"
)

// before marks the contestants of the binary given with -before.
const before = "@before"

func main() {
	if len(os.Args) > 2 && os.Args[1] == "-child" {
		os.Exit(child.Main(runs(), os.Args[2]))
	}
	os.Exit(command(os.Args[1:], os.Stdout, os.Stderr))
}

// options are the flags.
type options struct {
	rows, peers, from string
	reps, conns       int
	before, json      string
	list              bool
}

// command is main with everything handed over. It returns the exit code.
func command(args []string, out, log io.Writer) int {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.StringVar(&o.rows, "rows", "", "`names` of the rows, with commas (default all)")
	flags.StringVar(&o.peers, "peers", "", "`names` of the contestants, with commas (default all of each row)")
	flags.IntVar(&o.reps, "reps", 0, "how often each run is repeated (default as -list says)")
	flags.IntVar(&o.conns, "conns", 1000, "how many connections, calls and streams the row memory has")
	flags.StringVar(&o.before, "before", "", "a `binary` of this program with another version of lastcall, to compare with")
	flags.StringVar(&o.json, "json", "", "`file` for all that was measured")
	flags.StringVar(&o.from, "from", "", "`files`, with commas, that -json has written: print these instead of measuring")
	flags.BoolVar(&o.list, "list", false, "list rows and contestants")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	chosen, err := choose(o, flags.Args())
	if err != nil {
		fmt.Fprintln(log, "bench:", err)
		return 2
	}
	if o.list {
		list(out, chosen)
		return 0
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(log, "bench:", err)
		return 1
	}
	b := bench{rows: chosen, log: log, binaries: map[string]string{"": self, before: o.before}}
	if err := b.measureOrRead(o); err != nil {
		fmt.Fprintln(log, "bench:", err)
		return 1
	}
	b.print(out, o)
	return 0
}

// choose returns the rows with their contestants, as the flags say.
func choose(o options, rest []string) ([]row, error) {
	if len(rest) > 0 {
		return nil, fmt.Errorf("unexpected arguments %q", rest)
	}
	if o.reps < 0 || o.conns < 100 {
		return nil, fmt.Errorf("-reps is %d, must not be negative; -conns is %d, must be at least 100", o.reps, o.conns)
	}
	if o.before != "" {
		if _, err := os.Stat(o.before); err != nil {
			return nil, fmt.Errorf("-before: %w", err)
		}
	}
	all := rows(o.conns)
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.name
	}
	wanted, err := pick("row", o.rows, names)
	if err != nil {
		return nil, err
	}
	peers := make([]string, len(contestants()))
	for i, c := range contestants() {
		peers[i] = c.name
	}
	if peers, err = pick("contestant", o.peers, peers); err != nil {
		return nil, err
	}
	var chosen []row
	for _, r := range all {
		if !slices.Contains(wanted, r.name) {
			continue
		}
		var of []string
		for _, p := range r.peers {
			if slices.Contains(peers, p) || p == r.base { // ratios need it
				of = append(of, p)
			}
			if o.before != "" && strings.HasPrefix(p, "lastcall") && slices.Contains(peers, p) {
				of = append(of, p+before)
			}
		}
		r.peers = of
		for i := range r.cases {
			if o.reps > 0 {
				r.cases[i].reps = o.reps
			} else if r.cases[i].reps == 0 {
				r.cases[i].reps = r.reps
			}
		}
		chosen = append(chosen, r)
	}
	return chosen, nil
}

// pick returns the names in a list with commas, or all.
func pick(kind, list string, all []string) ([]string, error) {
	if list == "" {
		return all, nil
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("there is no %s %q; there are: %s", kind, name, strings.Join(all, ", "))
		}
	}
	return names, nil
}

func list(out io.Writer, chosen []row) {
	for _, r := range chosen {
		fmt.Fprintf(out, "%-18s about %4.0f s, %3d times: %s\n%20s%s\n", r.name, r.takes.Seconds(), r.reps, r.title, "", strings.Join(r.peers, ", "))
	}
	fmt.Fprintln(out)
	for _, c := range contestants() {
		fmt.Fprintf(out, "%-18s %s\n", c.name, c.what)
	}
}

// measureOrRead fills in the samples.
func (b *bench) measureOrRead(o options) error {
	if o.from != "" {
		for file := range strings.SplitSeq(o.from, ",") {
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			var some results
			if err := json.Unmarshal(content, &some); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			b.About = some.About
			b.Samples = append(b.Samples, some.Samples...)
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if slices.ContainsFunc(b.rows, func(r row) bool { return slices.Contains(r.peers, "go-zero") }) {
		b.binaries["go-zero"] = filepath.Join(dir, "gozero")
		build := exec.Command("go", "build", "-o", b.binaries["go-zero"], "github.com/lastcall-go/lastcall/bench/gozero")
		build.Stderr = b.log
		if err := build.Run(); err != nil {
			return fmt.Errorf("building the contestant go-zero, which works in the folder bench: %w", err)
		}
	}
	b.About = machine()
	b.measure()
	if o.json == "" {
		return nil
	}
	content, err := json.Marshal(b.results)
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, content, 0o644)
}
