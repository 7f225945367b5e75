package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// demoBudget is the budget of a demo, unless flags say otherwise.
func demoBudget() lastcall.Budget {
	return lastcall.Budget{Total: 6 * time.Second, Settle: time.Second, Reserve: 2 * time.Second}
}

func demoHelp() string {
	var b strings.Builder
	b.WriteString(`usage: lastcall demo [flags]

Starts two gRPC servers on free ports of 127.0.0.1, replica a with the controller
and replica b without, and clients that load both over TCP. Then it sends itself a
SIGTERM and shows how a shuts down and what the clients see of that.

scenarios (-scenario) and what the demo then exits with:
`)
	for _, s := range scenarios() {
		fmt.Fprintf(&b, "  %-9s %d  %s\n", s.name, s.exit, s.says)
	}
	fmt.Fprintf(&b, `
The exit code is that of the controller's report: %d drained and every step fine,
%d a server or worker failed, %d abandoned, %d cancelled, stopped or cut, %d a step failed.
%d is wrong usage; %d means that the demo itself could not run.
`, report.ExitOK, report.ExitFailed, report.ExitAbandoned, report.ExitInterrupted, report.ExitStep, exitUsage, report.ExitNotRun)
	return b.String()
}

// demoConfig is what the flags of a demo say.
type demoConfig struct {
	scenario scenario
	budget   lastcall.Budget
	load     time.Duration // from the first call to SIGTERM
	log      bool
	draw     string // one of drawings, or ""
	record   string // file for the report
}

func bindDemo(flags *flag.FlagSet) func(context.Context, shell, []string) (int, error) {
	c := demoConfig{budget: demoBudget(), load: time.Second}
	name := flags.String("scenario", scenarios()[0].name, "`name` of the scenario: "+strings.Join(scenarioNames(), ", ")+" (default "+scenarios()[0].name+")")
	durationFlag(flags, &c.budget.Total, "total", "`time` from SIGTERM to the deadline, by which Run returns")
	durationFlag(flags, &c.budget.Settle, "settle", "`time` a goes on serving while clients move to b; 0 leaves it out")
	durationFlag(flags, &c.budget.Reserve, "reserve", "`time` before the deadline that is kept for force, close and flush")
	durationFlag(flags, &c.load, "load", "`time` the clients run before SIGTERM")
	flags.BoolVar(&c.log, "log", false, "write the controller's log to stderr, as JSON")
	flags.StringVar(&c.draw, "draw", "", "draw the shutdown as mermaid text, as one `kind` of "+strings.Join(drawings(), ", "))
	flags.StringVar(&c.record, "report", "", "write the report of a to a `file`, as JSON, for lastcall draw")
	return func(ctx context.Context, sh shell, _ []string) (int, error) {
		given := make(map[string]bool)
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		if given["draw"] && !slices.Contains(drawings(), c.draw) {
			return 0, usageError{unknown("-draw", c.draw, drawings())}
		}
		if given["report"] && c.record == "" {
			return 0, usageError{errors.New(`-report "" is not a file`)}
		}
		var err error
		if c.scenario, err = named("-scenario", *name, scenarios(), scenario.called); err != nil {
			return 0, err
		}
		err = c.budget.Validate()
		if c.load < 0 {
			err = errors.Join(err, fmt.Errorf("-load is %v, must not be negative", c.load))
		}
		if err == nil {
			err = c.openRecord()
		}
		if err != nil {
			return 0, usageError{err}
		}
		return runDemo(ctx, sh, c)
	}
}

// openRecord returns an error if the report could not be written: the demo takes seconds.
func (c demoConfig) openRecord() error {
	if c.record == "" {
		return nil
	}
	file, err := os.OpenFile(c.record, os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // it is for everybody to read
	if err != nil {
		return err
	}
	return file.Close()
}

// durationFlag is flags.DurationVar with an error that says what a duration looks
// like.
func durationFlag(flags *flag.FlagSet, d *time.Duration, name, usage string) {
	flags.Func(name, fmt.Sprintf("%s (default %v)", usage, *d), func(text string) error {
		parsed, err := time.ParseDuration(text)
		if err != nil {
			return errors.New("it must be a duration, such as 30s or 1m30s")
		}
		*d = parsed
		return nil
	})
}

// runDemo runs one scenario and returns the exit code of the controller's report.
// An error says why the demo could not run.
func runDemo(ctx context.Context, sh shell, c demoConfig) (int, error) {
	s, err := newStage(sh, c)
	if err != nil {
		return 0, err
	}
	var opts []controller.Option
	if c.log {
		opts = append(opts, controller.WithLogger(zerolog.New(sh.stderr).With().Timestamp().Logger()))
	}
	result, err := s.play(ctx, opts...)
	if err != nil {
		return 0, err
	}
	err = result.print(sh.stdout, c.draw)
	if c.record != "" {
		text, notJSON := json.Marshal(result.report)
		if notJSON != nil {
			return 0, errors.Join(err, notJSON)
		}
		err = errors.Join(err, os.WriteFile(c.record, append(text, '\n'), 0o644)) //nolint:gosec // it is for everybody to read
	}
	return result.report.ExitCode(), err
}
