package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
)

const helpHelp = `usage: lastcall help [command]

Explains lastcall, or one of its commands.
`

func bindHelp(*flag.FlagSet) func(context.Context, shell, []string) (int, error) {
	return func(_ context.Context, sh shell, args []string) (int, error) {
		text := overview()
		if len(args) > 0 {
			cmd, err := named("command", args[0], commands(), command.called)
			if err != nil {
				return 0, err
			}
			text = explain(cmd)
		}
		_, err := fmt.Fprint(sh.stdout, text)
		return 0, err
	}
}

// overview lists the commands.
func overview() string {
	var b strings.Builder
	b.WriteString(`lastcall shuts a gRPC server down as an explicit state machine with a hard
deadline. This command shows how that looks.

usage: lastcall <command> [flags]

`)
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-9s %s\n", c.name, c.says)
	}
	b.WriteString("\n\"lastcall help <command>\" explains a command and its flags.\nWrong usage exits with 2.\n")
	return b.String()
}

// explain is the help text of a command, with its flags.
func explain(c command) string {
	var b strings.Builder
	b.WriteString(c.about)
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.bind(flags)
	first := true
	flags.VisitAll(func(f *flag.Flag) {
		if first {
			b.WriteString("\nflags:\n")
			first = false
		}
		argument, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(&b, "  %-20s %s\n", strings.TrimSpace("-"+f.Name+" "+argument), usage)
	})
	return b.String()
}
