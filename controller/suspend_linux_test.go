package controller_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/busy"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
)

// suspendedBudget is that of a process that is stopped past its deadline.
var suspendedBudget = lastcall.Budget{Total: time.Second, Settle: 200 * time.Millisecond, Reserve: 500 * time.Millisecond}

// suspendedChild shuts down a server that drains only when it is stopped, two closers and a
// flusher that take their time, and a server that stops last.
func suspendedChild(kind string) int {
	b := suspendedBudget
	if kind == "suspended in settle" {
		b.Settle = 400 * time.Millisecond
	}
	s := newServer(newDiary(), "s", 0)
	if strings.HasPrefix(kind, "suspended in drain") {
		s.drain = time.Hour
	}
	takes := func(name, suspendedIn string) func(context.Context) error {
		steps := 1 // so that a busy machine needs little of its second for them
		if kind == "suspended in "+suspendedIn {
			steps = 8 // so that it is stopped in one of these, and has some left
		}
		return func(ctx context.Context) error {
			fmt.Println(name, "begins")
			for range steps {
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-time.After(20 * time.Millisecond):
				}
			}
			fmt.Println(name, "ended")
			return nil
		}
	}
	var hung []controller.Option
	if kind == "suspended in drain, then hangs" {
		hung = append(hung, controller.WithCloser("hangs", func() { select {} }))
	}
	c, err := controller.New(b, controller.Options(hung...), withServer("s", s), withLast("admin", newServer(newDiary(), "admin", 0)),
		controller.WithLogger(zerolog.New(os.Stdout)),
		controller.WithObserver("stdout", func(s report.Step) { fmt.Println(s) }),
		controller.WithCloser("first", takes("first", "")), controller.WithCloser("second", takes("second", "close"), controller.Timeout(400*time.Millisecond)),
		controller.WithFlusher("flush", takes("flush", "flush")))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	machine := busy.Watch(nil)
	r := c.Run(context.Background())
	fmt.Println(r)
	if r.Ended.Sub(r.Deadline) > 100*time.Millisecond {
		fmt.Println("it ended", r.Ended.Sub(r.Deadline), "after its deadline")
	}
	if all, longest := machine.Late(); all-longest > 50*time.Millisecond { // without the time in which it was stopped
		fmt.Println("the machine was busy for", all-longest)
	}
	return r.ExitCode()
}

// G1, G2: a process that was stopped past its deadline closes and flushes in order all the
// same, waits for both, and is gone a second after it was resumed. The report says so.
func TestG1_Suspended(t *testing.T) {
	t.Parallel()
	const inOrder = `(?s)second begins.*second ended.*first begins.*first ended.*flush begins.*flush ended.*suspended`
	for _, tt := range []struct {
		kind, stopAt string
		past         time.Duration
		exit         int // or 0 in settle: what is idle may end before the loop looks at the timer
		want         string
	}{
		{"settle", "phase settle", 1300 * time.Millisecond, report.ExitInterrupted, inOrder},
		{"drain", "phase drain", 600 * time.Millisecond, report.ExitInterrupted, inOrder},
		{"drain", "phase drain", 1300 * time.Millisecond, report.ExitInterrupted, inOrder},
		{"close", "second begins", 600 * time.Millisecond, report.ExitOK, inOrder},
		{"flush", "flush begins", 1300 * time.Millisecond, report.ExitOK, inOrder},
		{"drain, then hangs", "phase drain", 1300 * time.Millisecond, report.ExitInterrupted, `(?s)first ended.*closer "hangs" timed out.*flush begins.*flush ended.*suspended`},
	} {
		t.Run(tt.kind+" "+tt.past.String(), func(t *testing.T) {
			t.Parallel()
			var status syscall.WaitStatus
			var said string
			for try := range 5 { // the process has a second, before and after it is stopped
				p := startChild(t, "suspended in "+tt.kind, nil)
				p.until("phase serve")
				p.signal(syscall.SIGTERM)
				p.until(tt.stopAt)
				p.signal(syscall.SIGSTOP)
				time.Sleep(suspendedBudget.Total + tt.past)
				p.signal(syscall.SIGCONT)
				if status, said = p.end(); !strings.Contains(said, "the machine was busy") {
					break
				}
				t.Logf("try %d: the machine was busy", try+1)
			}
			if !regexp.MustCompile(tt.want).MatchString(said) || strings.Contains(said, "timed out") != strings.Contains(tt.kind, "hangs") || status.ExitStatus() != tt.exit && (tt.kind != "settle" || status.ExitStatus() != report.ExitOK) {
				t.Errorf("exit status %d, having said\n%s", status.ExitStatus(), said)
			}
			for _, line := range []string{`{"level":"warn",.*"message":"the process was suspended: it woke`, `{.*"suspended_seconds":.*"message":"shutdown complete`} {
				if tt.kind != "flush" && !regexp.MustCompile(line).MatchString(said) { // which comes after the last line
					t.Errorf("no line %s in the log:\n%s", line, said)
				}
			}
			if strings.Contains(said, "after its deadline") {
				t.Error(said)
			}
		})
	}
}
