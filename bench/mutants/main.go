// Command mutants breaks the code on purpose, one change at a time, and reports which test
// notices. It works on a copy of the tree, in the files that git knows or could know:
//
//	go -C bench run ./mutants -list
//	go -C bench run ./mutants -only '^G5'
//	go -C bench run ./mutants -only '^G' -with '. -run Property -rapid.checks=500'
//
// The mutants are in the files of bench/mutants that end in .txt; parse.go says how they are
// written. The exit code is 1 if one survives or does not apply.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr)) //nolint:gocritic // nothing depends on stop
}

// command is main with everything handed over. It returns the exit code.
func command(ctx context.Context, args []string, out, log io.Writer) int {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.SetOutput(log)
	only := flags.String("only", "", "a `regexp` that the names of the mutants match")
	with := flags.String("with", "", "`arguments` of go test, in place of those of the mutants")
	list := flags.Bool("list", false, "list the mutants")
	limit := flags.Duration("limit", 3*time.Minute, "how long the tests of one mutant may take")
	quick := flags.Bool("quick", false, "leave out the tests of the unchanged tree, which have to pass first")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(log, "mutants: -only:", err)
		return 2
	}
	all, err := read("mutants")
	if err != nil {
		fmt.Fprintln(log, "mutants:", err)
		return 2
	}
	all = slices.DeleteFunc(all, func(m mutant) bool { return !pattern.MatchString(m.name) })
	if *list {
		for _, m := range all {
			fmt.Fprintf(out, "%s\n\t%s: go test %s\n", m.name, m.dir, strings.Join(m.tests, ", "))
		}
		fmt.Fprintf(out, "%d mutants\n", len(all))
		return 0
	}
	if *with != "" {
		for i := range all {
			all[i].tests = []string{*with}
		}
	}
	t := tree{ctx: ctx, limit: *limit, quick: *quick}
	if t.dir, err = os.MkdirTemp("", "mutants-"); err != nil {
		fmt.Fprintln(log, "mutants:", err)
		return 2
	}
	defer func() { _ = os.RemoveAll(t.dir) }()
	if err := t.copy(".."); err != nil {
		fmt.Fprintln(log, "mutants:", err)
		return 2
	}
	return t.tryAll(all, out, log)
}

// tree is the copy in which one mutant at a time is tried.
type tree struct {
	ctx   context.Context //nolint:containedctx // of the whole program
	dir   string
	limit time.Duration
	quick bool
}

// copy copies the files of the repository at root.
func (t *tree) copy(root string) error {
	names, err := exec.Command("git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) { // deleted, and git does not know yet
			continue
		}
		to := filepath.Join(t.dir, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o750)
		}
		if err == nil {
			err = os.WriteFile(to, content, 0o755) //nolint:gosec // scripts are among the files
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// The results of a trial.
const (
	killed     = "killed"
	survived   = "SURVIVED"
	hung       = "hung"
	notApplied = "DOES NOT APPLY"
	notBuilt   = "DOES NOT BUILD"
	equivalent = "equivalent"
)

// tryAll tries mutants one after the other, prints each one's result, and returns the exit code.
func (t *tree) tryAll(all []mutant, out, log io.Writer) int {
	checked := map[string]bool{}
	for _, m := range all {
		for _, args := range m.tests {
			if t.quick || checked[args] {
				continue
			}
			checked[args] = true
			if result, by := t.test(args); result != survived {
				fmt.Fprintf(log, "mutants: go test %s fails without any mutant: %s\n", args, by)
				return 2
			}
		}
	}
	counts, began := map[string]int{}, time.Now()
	for i, m := range all {
		start := time.Now()
		result, by := t.try(m)
		if t.ctx.Err() != nil {
			fmt.Fprintln(log, "mutants: interrupted")
			return 2
		}
		counts[result]++
		fmt.Fprintf(out, "%3d/%d %3.0fs  %-14s  %-70s  %s\n", i+1, len(all), time.Since(start).Seconds(), result, m.name, by)
	}
	fmt.Fprintf(out, "\n%d mutants in %v:", len(all), time.Since(began).Round(time.Second))
	for _, result := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(out, "  %s %d", result, counts[result])
	}
	fmt.Fprintln(out)
	if counts[survived]+counts[notApplied]+counts[notBuilt] > 0 {
		return 1
	}
	return 0
}

// try applies a mutant, runs its tests until one fails, and takes it back. It returns the
// result, and the test that has failed.
func (t *tree) try(m mutant) (result, by string) {
	file, whole, err := t.find(m)
	if err != nil {
		return notApplied, err.Error()
	}
	broken := bytes.Replace(whole, []byte(m.old), []byte(m.new), 1)
	defer func() { _ = os.WriteFile(file, whole, 0o644) }()
	if err := os.WriteFile(file, broken, 0o644); err != nil {
		return notApplied, err.Error()
	}
	for _, args := range m.tests {
		if result, by = t.test(args); result != survived {
			break
		}
	}
	switch {
	case m.equivalent != "" && result == survived:
		return equivalent, m.equivalent
	case m.equivalent != "" && result == killed:
		return survived, "said to be equivalent, but " + by + " notices"
	}
	return result, by
}

// find returns the file of the package that has the old text of a mutant, once.
func (t *tree) find(m mutant) (file string, whole []byte, err error) {
	names, err := filepath.Glob(filepath.Join(t.dir, m.dir, "*.go"))
	n := 0
	for _, name := range names {
		content, failed := os.ReadFile(name)
		err = errors.Join(err, failed)
		if has := bytes.Count(content, []byte(m.old)); has > 0 && !strings.HasSuffix(name, "_test.go") {
			file, whole, n = name, content, n+has
		}
	}
	if err == nil && n != 1 {
		err = fmt.Errorf("package %s has the old text %d times", m.dir, n)
	}
	return file, whole, err
}

// test runs go test. The result is killed if a test has failed and says so, hung if the
// time limit has ended it.
func (t *tree) test(args string) (result, by string) {
	ctx, cancel := context.WithTimeout(t.ctx, 2*t.limit) // for what go test cannot end itself, and for compiling
	defer cancel()
	all := strings.Fields(args)
	at := 0
	if all[0] == "-C" { // the folder of another module, which go wants first
		at = 2
	}
	all = slices.Insert(all, at, "-p=2", "-vet=off", "-failfast", "-timeout", t.limit.String())
	cmd := exec.CommandContext(ctx, "go", append([]string{"test"}, all...)...)
	cmd.Dir, cmd.WaitDelay = t.dir, time.Minute
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	output, err := cmd.CombinedOutput()
	text := string(output)
	switch {
	case err == nil && strings.Contains(text, "[no tests to run]"):
		return notApplied, "go test " + args + " runs no test"
	case err == nil:
		return survived, ""
	case strings.Contains(text, "[build failed]"), strings.Contains(text, "[setup failed]"):
		return notBuilt, line(text, ".go:")
	case strings.Contains(text, "panic: test timed out"), ctx.Err() != nil:
		return hung, line(text, "running tests:")
	}
	for _, sign := range []string{"--- FAIL: ", "panic: ", "fatal error: "} {
		if found := line(text, sign); found != "" {
			return killed, strings.TrimPrefix(found, "--- FAIL: ")
		}
	}
	return killed, line(text, "FAIL")
}

// line returns the first line with a sign, and the next one if it is a heading.
func line(text, sign string) string {
	_, rest, found := strings.Cut(text, sign)
	if !found {
		return ""
	}
	before := text[:len(text)-len(rest)]
	before = before[strings.LastIndexByte(before, '\n')+1:]
	if strings.HasPrefix(rest, "\n") {
		rest = strings.TrimSpace(rest)
	}
	rest, _, _ = strings.Cut(rest, "\n")
	return strings.TrimSpace(before + rest)
}
