// Command lastcall shows the shutdown of a gRPC server live, prints and draws the report
// of any other, draws the state machines in Go packages, and writes the pod spec that fits
// a budget. "lastcall help" explains its commands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
)

// exitUsage is what wrong usage exits with. Package controller does not use it.
const exitUsage = 2

func main() {
	os.Exit(shell{stdout: os.Stdout, stderr: os.Stderr, signal: signalSelf}.run(context.Background(), os.Args[1:]))
}

// shell is what a command may touch of the process that it runs in.
type shell struct {
	stdout, stderr io.Writer
	signal         func(os.Signal) error // sends the process a signal
}

// command is one of lastcall's commands.
type command struct {
	name  string
	says  string // one line for the list of commands
	about string // what "lastcall help <name>" prints above the flags
	args  int    // how many arguments it takes at most, beside flags
	// bind declares the flags and returns what the command does once they are
	// read. A usageError from it is wrong usage; code is what to exit with.
	bind func(*flag.FlagSet) func(ctx context.Context, sh shell, args []string) (code int, err error)
}

func (c command) called() string { return c.name }

func commands() []command {
	return []command{
		{name: "demo", says: "shut a real gRPC server down under load, and watch", about: demoHelp(), bind: bindDemo},
		{name: "diagram", says: "draw a shutdown, or the state machines in Go packages", about: diagramHelp, args: math.MaxInt, bind: bindDiagram},
		{name: "draw", says: "draw what happened in a shutdown, from its report", about: drawHelp, args: 1, bind: bindDraw},
		{name: "help", says: "explain lastcall, or one command", about: helpHelp, args: 1, bind: bindHelp},
		{name: "podspec", says: "print the pod spec that matches a budget, for Kubernetes", about: podspecHelp, bind: bindPodspec},
		{name: "report", says: "print what happened in a shutdown, from its report", about: reportHelp, args: 1, bind: bindReport},
		{name: "version", says: "print the version", about: versionHelp, bind: bindVersion},
	}
}

// usageError is an error of whoever typed the command.
type usageError struct{ error }

// run runs one command and returns the code to exit with. It blocks until the
// command is over; the end of ctx ends a demo as a SIGTERM does.
func (sh shell) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(sh.stderr, overview())
		return exitUsage
	}
	name := args[0]
	if name == "-h" || name == "-help" || name == "--help" {
		name = "help"
	}
	cmd, err := named("command", name, commands(), command.called)
	if err != nil {
		return sh.fail("lastcall", err, helpHint)
	}
	code, err := sh.runCommand(ctx, cmd, args[1:])
	switch {
	case err == nil:
		return code
	case cmd.name == "help":
		return sh.fail("lastcall help", err, helpHint)
	default:
		return sh.fail("lastcall "+cmd.name, err, fmt.Sprintf(`"lastcall help %s" explains more.`, cmd.name))
	}
}

const helpHint = `"lastcall help" explains the commands.`

func (sh shell) runCommand(ctx context.Context, cmd command, args []string) (int, error) {
	flags := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors and help are printed here
	do := cmd.bind(flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, err := fmt.Fprint(sh.stdout, explain(cmd))
		return 0, err
	case err != nil:
		return 0, usageError{fmt.Errorf("%w; %s", err, allowedFlags(flags))}
	case flags.NArg() > cmd.args:
		return 0, usageError{fmt.Errorf("argument %q is one too many; %s", flags.Arg(cmd.args), allowedFlags(flags))}
	}
	return do(ctx, sh, flags.Args())
}

// fail prints an error, and for wrong usage where to look. It returns the code to
// exit with.
func (sh shell) fail(who string, err error, hint string) int {
	fmt.Fprintf(sh.stderr, "%s: %v\n", who, err)
	if errors.As(err, new(usageError)) {
		fmt.Fprintln(sh.stderr, hint)
		return exitUsage
	}
	return 1
}

// named returns the one with this name. It is wrong usage if there is none.
func named[T any](what, name string, all []T, called func(T) string) (one T, err error) {
	i := slices.IndexFunc(all, func(t T) bool { return called(t) == name })
	if i < 0 {
		return one, usageError{unknown(what, name, names(all, called))}
	}
	return all[i], nil
}

func names[T any](all []T, called func(T) string) (names []string) {
	for _, one := range all {
		names = append(names, called(one))
	}
	return names
}

// unknown says that a word is none of those that are allowed.
func unknown(what, word string, allowed []string) error {
	return fmt.Errorf("%s %q is none of %s", what, word, strings.Join(allowed, ", "))
}

// allowedFlags names the flags of a command.
func allowedFlags(flags *flag.FlagSet) string {
	var names []string
	flags.VisitAll(func(f *flag.Flag) { names = append(names, "-"+f.Name) })
	if len(names) == 0 {
		return "it takes no flags"
	}
	return "its flags are " + strings.Join(names, ", ")
}
