package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// print prints the page.
func (b *bench) print(out io.Writer, o options) {
	command := []string{"go run ."}
	for _, f := range []struct{ name, value string }{{"rows", o.rows}, {"peers", o.peers}, {"before", o.before}} {
		if f.value != "" {
			command = append(command, "-"+f.name, f.value)
		}
	}
	fmt.Fprintf(out, `# Benchmarks

How lastcall and others stop a process. %s prints this page, in the folder bench; %s lists the rows.

Each run is a process of its own, with real clients on the loopback and real signals; contestants take turns.
Figures are medians, and only ratios within one run mean anything. "return" counts from the signal to the end of what the
contestant's main waits for, or to the end of the process if that comes first. A process that still runs three seconds
beyond its budget hangs: it is killed. What each contestant does is in a file of its own, as its documentation says.

`, "`"+strings.Join(command, " ")+"`", "`go run . -list`")
	fmt.Fprint(out, b.About)
	for _, r := range b.rows {
		if slices.ContainsFunc(b.Samples, func(s sample) bool { return s.Row == r.name }) {
			fmt.Fprintf(out, "\n## %s\n\n%s `go run . -rows %s`\n\n", r.title, r.text, r.name)
			b.table(out, r)
		}
	}
}

// machine returns where and with what the figures are measured.
func machine() string {
	var out strings.Builder
	kernel, _ := exec.Command("uname", "-sr").Output()
	fmt.Fprintf(&out, "%d × %s, %s, %s\n\n", runtime.NumCPU(), processor(), strings.TrimSpace(string(kernel)), runtime.Version())
	versions := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			versions[m.Path] = m.Version
		}
	}
	if v, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/zeromicro/go-zero").Output(); err == nil {
		versions["github.com/zeromicro/go-zero"] = strings.TrimSpace(string(v))
	}
	if v, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		versions["github.com/lastcall-go/lastcall"] = strings.TrimSpace(string(v))
	}
	fmt.Fprint(&out, "| contestant | what it is | version |\n|---|---|---|\n")
	for _, c := range contestants() {
		module := strings.TrimSpace(c.module + " " + versions[c.module])
		if c.module == "" {
			module = "Go's"
		}
		fmt.Fprintf(&out, "| %s | %s | %s |\n", c.name, c.what, module)
	}
	return out.String()
}

func processor() string {
	content, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.SplitSeq(string(content), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// table prints one row of the bench.
func (b *bench) table(out io.Writer, r row) {
	head := []string{r.main, "p90"}
	if len(r.cases) > 1 {
		head = append([]string{"case", "contestant"}, head...)
	} else {
		head = append([]string{"contestant"}, head...)
	}
	if r.base != "" {
		head = append(head, "ratio")
	}
	head = append(head, r.more...)
	if r.facts {
		head = append(head, "past the deadline", "calls", "closers", "last line", "exit", "goroutines left")
	}
	head = append(head, "runs")
	fmt.Fprintf(out, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, c := range r.cases {
		for _, peer := range r.peers {
			who, _ := find(strings.TrimSuffix(peer, before))
			all := b.of(r, c, peer)
			if len(all) == 0 && (len(r.cases) > 1 && !who.serves(c.spec.Proto)) {
				continue
			}
			cells := []string{peer}
			if len(r.cases) > 1 {
				cells = []string{c.name, peer}
			}
			cells = append(cells, b.cells(r, c, all)...)
			fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | "))
		}
	}
}

// cells returns what one contestant has done in one case.
func (b *bench) cells(r row, c kase, all []sample) []string {
	v := values(all, r.main)
	cells := []string{number(r.main, quantile(v, 0.5)), number(r.main, quantile(v, 0.9))}
	if r.base != "" {
		cells = append(cells, ratio(quantile(v, 0.5), quantile(values(b.base(r, c), r.main), 0.5)))
	}
	for _, name := range r.more {
		cells = append(cells, number(name, quantile(values(all, name), 0.5)))
	}
	if r.facts {
		past := quantile(values(all, "return"), 0.5) - float64(c.spec.Budget)/1e6
		late := "no"
		if past > 0 {
			late = number("", past)
		}
		cells = append(cells, late, codes(all), closers(all, closerNames(c)),
			most(all, func(s sample) string { return map[bool]string{true: "yes", false: "no"}[s.Line] }),
			most(all, func(s sample) string { return s.Exit }),
			most(all, func(s sample) string { return strings.ReplaceAll(fmt.Sprint(s.Left), "-1", "–") }))
	}
	return append(cells, fmt.Sprint(len(all)))
}

// base returns the samples to which ratios are taken: "bare" is the bare call of the protocol.
func (b *bench) base(r row, c kase) []sample {
	name := r.base
	if name == "bare" {
		name = map[bool]string{true: "graceful", false: "shutdown"}[c.spec.Proto == "grpc"]
	}
	return b.of(r, c, name)
}

func closerNames(c kase) []string {
	var names []string
	for i, does := range slices.Backward(c.spec.Closers) {
		names = append(names, fmt.Sprintf("%s%d", does, i+1))
	}
	return names
}

func ratio(v, base float64) string {
	if r := v / base; !math.IsNaN(r) && !math.IsInf(r, 0) {
		return fmt.Sprintf("%.2f", r)
	}
	return "–"
}
