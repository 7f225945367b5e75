package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/lastcall-go/lastcall/internal/source"
	"github.com/lastcall-go/lastcall/viz"
)

// packagesConfig is what the flags say of the machines in Go packages.
type packagesConfig struct {
	format, direction, title       string
	machine, out, check, updateDoc string
}

func bindPackages(flags *flag.FlagSet) *packagesConfig {
	var c packagesConfig
	flags.StringVar(&c.machine, "machine", "", "`name` of the one machine of the packages to draw (default all)")
	flags.StringVar(&c.out, "o", "", "`file` to write the drawing of the packages to (default stdout)")
	flags.StringVar(&c.check, "check", "", "markdown `file` whose blocks must be what the packages say")
	flags.StringVar(&c.updateDoc, "update", "", "markdown `file` into whose blocks the machines of the packages are drawn")
	return &c
}

// run draws the machines in packages.
func (c *packagesConfig) run(ctx context.Context, sh shell, patterns []string, given map[string]bool) (int, error) {
	format, err := c.flags(patterns, given)
	if err != nil {
		return 0, usageError{err}
	}
	machines, unknowns, err := source.Find(ctx, patterns...)
	if err != nil {
		return 0, usageError{err}
	}
	machines = slices.DeleteFunc(machines, func(m source.Machine) bool {
		err := c.drawing(m).Err()
		if err != nil {
			unknowns = append(unknowns, source.Unknown{Name: m.Name, At: m.At, Why: strings.ReplaceAll(err.Error(), "\n", "; ")})
		}
		return err != nil
	})
	for _, u := range unknowns {
		fmt.Fprintf(sh.stderr, "lastcall diagram: not drawn: %v\n", u)
	}
	if len(machines)+len(unknowns) == 0 {
		return 0, usageError{fmt.Errorf("%s: no call of NewFSM of github.com/looplab/fsm (files of tests are not read)", strings.Join(patterns, " "))}
	}
	if given["machine"] {
		one, err := named("-machine", c.machine, machines, machineName)
		if err != nil {
			return 0, err
		}
		machines = []source.Machine{one}
	}
	for _, m := range machines {
		if m.InitialUnknown != "" {
			fmt.Fprintf(sh.stderr, "lastcall diagram: drawn without its initial state: %s: %s: %s\n", m.At, m.Name, m.InitialUnknown)
		}
	}
	if len(machines) == 0 {
		return 1, nil
	}
	if given["check"] || given["update"] {
		return c.document(sh, machines, format)
	}
	return c.print(sh, machines, format)
}

// flags returns what is wrong with the flags.
func (c *packagesConfig) flags(patterns []string, given map[string]bool) (viz.Format, error) {
	format, err := viz.ParseFormat(c.format)
	for _, p := range patterns {
		switch {
		case p == "":
			err = errors.Join(err, fmt.Errorf("%q is not a package", p))
		case strings.HasPrefix(p, "-"):
			err = errors.Join(err, fmt.Errorf("%q stands behind the packages: flags come first", p))
		}
	}
	err = errors.Join(err, misplaced(given, "the diagram of a shutdown, not for those of packages", "kind", "calls", "phases"))
	switch viz.Direction(c.direction) {
	case viz.TopDown, viz.BottomUp, viz.LeftRight, viz.RightLeft:
	default:
		if given["direction"] {
			err = errors.Join(err, unknown("-direction", c.direction, []string{"TB", "BT", "LR", "RL"}))
		}
	}
	if given["title"] && strings.TrimSpace(c.title) == "" {
		err = errors.Join(err, errors.New("-title is blank"))
	}
	var ways []string
	for _, name := range []string{"o", "check", "update"} {
		if given[name] {
			ways = append(ways, "-"+name)
			if flag := map[string]string{"o": c.out, "check": c.check, "update": c.updateDoc}[name]; flag == "" {
				err = errors.Join(err, fmt.Errorf(`-%s "" is not a file`, name))
			}
		}
	}
	if len(ways) > 1 {
		err = errors.Join(err, fmt.Errorf("%s: only one is possible", strings.Join(ways, " and ")))
	}
	return format, err
}

func machineName(m source.Machine) string { return m.Name }

// drawing returns the machine as it is drawn.
func (c *packagesConfig) drawing(m source.Machine) viz.Machine {
	d := m.Drawing()
	d.Title, d.Direction = c.title, viz.Direction(c.direction)
	return d
}

// print writes every drawing, below a line with the machine's name and place in the
// comments of the format.
func (c *packagesConfig) print(sh shell, machines []source.Machine, format viz.Format) (int, error) {
	if len(machines) > 1 && (format == viz.SVG || c.title != "") {
		return 0, usageError{fmt.Errorf("the packages have %d machines, and a title or an SVG is for one: choose it with -machine; they are %s", len(machines), strings.Join(names(machines, machineName), ", "))}
	}
	var b bytes.Buffer
	for i, m := range machines {
		var one strings.Builder
		if err := viz.Draw(&one, c.drawing(m), format); err != nil {
			return 0, fmt.Errorf("%s: %s: %w", m.At, m.Name, err)
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		if mark := map[viz.Format]string{viz.Mermaid: "%% ", viz.DOT: "// ", viz.Text: "", viz.ASCII: ""}; format != viz.SVG && c.title == "" {
			fmt.Fprintf(&b, "%s%s, %s\n", mark[format], m.Name, m.At)
		}
		b.WriteString(one.String())
	}
	if c.out != "" {
		if err := os.WriteFile(c.out, b.Bytes(), 0o644); err != nil { //nolint:gosec // it is for everybody to read
			return 0, usageError{err}
		}
		return 0, nil
	}
	_, err := sh.stdout.Write(b.Bytes())
	return 0, err
}

// document compares the blocks of a markdown file with the machines, or rewrites them.
// The drawings have no line numbers: the file would differ with every edit above a machine.
func (c *packagesConfig) document(sh shell, machines []source.Machine, format viz.Format) (int, error) {
	file := c.check + c.updateDoc
	have, err := os.ReadFile(file) //nolint:gosec // the file is the user's
	if err != nil {
		return 0, usageError{err}
	}
	drawings := make(map[string]viz.Drawing)
	for _, m := range machines {
		drawings[m.Name] = c.drawing(m).In(format)
	}
	want, err := viz.Rewrite(have, drawings)
	_, blocks := viz.Rewrite(have, nil) // an error if there are any
	switch {
	case err != nil:
		with := ""
		if c.machine != "" {
			with = ", and leave out -machine"
		}
		return 0, usageError{fmt.Errorf("%s: %w\nname the packages of all its blocks%s; one that cannot be evaluated is named above", file, err, with)}
	case blocks == nil:
		name := machines[0].Name
		return 0, usageError{fmt.Errorf("%s has no block for any of %s; a block is two lines such as\n<!-- lastcall:%s -->\n<!-- /lastcall:%s -->", file, strings.Join(names(machines, machineName), ", "), name, name)}
	case bytes.Equal(have, want):
		return 0, nil
	case c.check != "":
		_, err := fmt.Fprintf(sh.stdout, "--- %s\n+++ what the code says\n%s", file, diff(string(have), string(want)))
		fmt.Fprintf(sh.stderr, "lastcall diagram: %s is not what the code says: run the command with -update in place of -check\n", file)
		return 1, err
	}
	return 0, os.WriteFile(file, want, 0o644) //nolint:gosec // an existing file keeps its mode
}
