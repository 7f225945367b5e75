//go:build linux

package controller_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
)

// These tests are about containers: the test binary runs itself, as the child of a
// shell that is PID 1 of a PID namespace.

const containerVariable = "LASTCALL_TEST_CONTAINER"

var errInputEnded = errors.New("the input has ended")

// TestParentChild is no test but the program in the container. It logs, and ends
// with a signal or when nobody writes to it any more.
func TestParentChild(t *testing.T) {
	kind := os.Getenv(containerVariable)
	if kind == "" {
		t.Skip("this is the child of other tests")
	}
	opts := []controller.Option{controller.WithLogger(zerolog.New(os.Stdout))}
	if kind == "no signals" {
		opts = append(opts, controller.WithSignals())
	}
	c, err := controller.New(lastcall.Budget{Total: time.Minute, Reserve: time.Second}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.NewFile(3, "input"))
		c.Shutdown(errInputEnded)
	}()
	os.Exit(c.Run(context.Background()).ExitCode())
}

// container is a PID namespace, and what is said in it.
type container struct {
	t     *testing.T
	cmd   *exec.Cmd
	out   *bufio.Scanner
	input io.Closer
	said  []string
}

// startContainer starts PID 1, which finds the child's command in $CHILD.
func startContainer(t *testing.T, kind string, first ...string) *container {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // only what does not end is killed
	t.Cleanup(cancel)
	if text, err := exec.CommandContext(ctx, "unshare", "--pid", "--fork", "--mount-proc", "true").CombinedOutput(); err != nil {
		t.Skipf("no PID namespaces here: unshare: %v: %s", err, text)
	}
	if _, err := exec.LookPath(first[0]); err != nil {
		t.Skip(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	t.Cleanup(func() { write.Close() })
	c := &container{t: t, input: write}
	c.cmd = exec.CommandContext(ctx, "unshare", append([]string{"--pid", "--fork", "--kill-child", "--mount-proc"}, first...)...)
	c.cmd.Env = append(os.Environ(), containerVariable+"="+kind, "CHILD="+os.Args[0], "ARG=-test.run=^TestParentChild$")
	c.cmd.ExtraFiles = []*os.File{read}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// until reads what is said until a line has that part, unless one has had it.
func (c *container) until(part string) {
	c.t.Helper()
	if strings.Contains(strings.Join(c.said, "\n"), part) {
		return
	}
	for c.out.Scan() {
		c.said = append(c.said, c.out.Text())
		if strings.Contains(c.out.Text(), part) {
			return
		}
	}
	c.t.Fatalf("the child never said %q:\n%s", part, strings.Join(c.said, "\n"))
}

// first returns the number by which this process knows PID 1.
func (c *container) first() int {
	c.t.Helper()
	pid := c.cmd.Process.Pid
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		c.t.Skipf("this kernel does not tell who is whose child: %v", err)
	}
	first, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		c.t.Fatal(err)
	}
	return first
}

// stop sends SIGTERM to PID 1, as the container's runtime does.
func (c *container) stop() {
	c.t.Helper()
	if err := syscall.Kill(c.first(), syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
}

// end ends the input and returns all that was said.
func (c *container) end() string {
	c.t.Helper()
	_ = c.input.Close()
	for c.out.Scan() {
		c.said = append(c.said, c.out.Text())
	}
	_ = c.cmd.Wait() // its error is for the tests before
	return strings.Join(c.said, "\n")
}

// TestParentWarning: the log warns if and only if PID 1 is a shell that loses
// SIGTERM, and then it does lose it.
func TestParentWarning(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "entrypoint")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n\"$CHILD\" \"$ARG\"\ntrue\n"), 0o700); err != nil { // executable
		t.Fatal(err)
	}
	const child = `"$CHILD" "$ARG"`
	tests := map[string]struct {
		kind  string
		first []string
		warns bool
	}{
		"sh":                     {"runs", []string{"sh", "-c", child + "; true"}, true},
		"bash":                   {"runs", []string{"bash", "-c", child + "; true"}, true},
		"busybox":                {"runs", []string{"busybox", "sh", "-c", child + "; true"}, true},
		"a script":               {"runs", []string{script}, true},
		"a trap that comes last": {"runs", []string{"sh", "-c", "trap 'true' TERM; " + child + "; true"}, true},
		"exec":                   {"runs", []string{"sh", "-c", "exec " + child}, false},
		"exec form":              {"runs", []string{os.Args[0], "-test.run=^TestParentChild$"}, false},
		"a trap":                 {"runs", []string{"sh", "-c", `trap 'kill $p' TERM; ` + child + ` & p=$!; echo trapped; wait; wait`}, false},
		"a trap set later":       {"runs", []string{"sh", "-c", child + ` & p=$!; trap 'kill $p' TERM; echo trapped; wait; wait`}, false},
		"a trap and job control": {"runs", []string{"bash", "-c", `set -m; ` + child + ` & p=$!; trap 'kill $p' TERM; echo trapped; wait; wait`}, false},
		"signals of others":      {"no signals", []string{"sh", "-c", child + "; true"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startContainer(t, tt.kind, tt.first...)
			c.until("phase serve")
			if tt.warns { // on a busy machine the process could end before it has read what PID 1 is
				c.until("PID 1 is ")
			}
			if strings.Contains(strings.Join(tt.first, " "), "echo trapped") {
				c.until("trapped")
			}
			c.stop()
			if !tt.warns && tt.kind == "runs" {
				c.until("shutting down")
			}
			said := c.end()
			warnings, lost := strings.Count(said, `"message":"PID 1 is `), strings.Contains(said, errInputEnded.Error())
			if tt.warns && warnings != 1 || !tt.warns && warnings != 0 {
				t.Errorf("%d warnings in\n%s", warnings, said)
			}
			if tt.kind == "runs" && lost != tt.warns {
				t.Errorf("SIGTERM was lost: %v, and the log says\n%s", lost, said)
			}
		})
	}
}

// TestParentOutside: PID 1 is a shell, but did not start this process, which came into
// the container from outside, as docker exec does it.
func TestParentOutside(t *testing.T) {
	t.Parallel()
	c := startContainer(t, "runs", "sh", "-c", "echo up; read x <&3; true")
	c.until("up")
	cmd := exec.CommandContext(t.Context(), "nsenter", "--pid", "--mount", "--target", strconv.Itoa(c.first()), os.Args[0], "-test.run=^TestParentChild$")
	cmd.Env = c.cmd.Env
	said, err := cmd.Output() // the child ends at once, as it has no input
	if !strings.Contains(string(said), "phase serve") && !strings.Contains(string(said), errInputEnded.Error()) {
		t.Skipf("nsenter: %v: %s", err, said)
	}
	if strings.Contains(string(said), `"level":"warn"`) {
		t.Errorf("the log says\n%s", said)
	}
	c.end()
}

// TestParentIgnoredAndBlocked: signals that were ignored, or blocked, when the process
// was started trigger all the same, and nobody has to be warned.
func TestParentIgnoredAndBlocked(t *testing.T) {
	t.Parallel()
	for _, option := range []string{"--ignore-signal=TERM", "--block-signal=TERM"} {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			if err := exec.CommandContext(t.Context(), "env", option, "true").Run(); err != nil {
				t.Skipf("env %s: %v", option, err)
			}
			c := startContainer(t, "runs", "env", option, os.Args[0], "-test.run=^TestParentChild$")
			c.until("phase serve")
			c.stop()
			c.until("shutting down")
			if said := c.end(); strings.Contains(said, `"level":"warn"`) || !strings.Contains(said, "terminated") {
				t.Errorf("the log says\n%s", said)
			}
		})
	}
}
