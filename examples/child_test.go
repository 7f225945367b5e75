//go:build unix

// Package examples_test runs the examples as processes: real binaries, real
// connections, real signals.
package examples_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// patience bounds every wait for something that must happen. It is reached only
// by a test that fails.
const patience = 30 * time.Second

// token lets a request shut a child down.
const token = "a token for the tests"

// binaries is where TestMain has built the examples.
var binaries string

func TestMain(m *testing.M) { os.Exit(build(m.Run)) }

// build builds the examples, with the race detector if the tests have it.
func build(run func() int) int {
	dir, err := os.MkdirTemp("", "lastcall-examples-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // in the folder for temporary files
	binaries = dir
	args := []string{"build", "-o", dir}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	if err := flag.Set("test.parallel", "8"); err != nil { // the processes mostly wait; -parallel comes later and wins
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	out, err := exec.CommandContext(context.Background(), "go", append(args, "./first", "./minimal", "./full", "./activated", "./restart", "./observed")...).CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s%v\n", out, err)
		return 1
	}
	return run()
}

// entry is one line of a child's log.
type entry struct {
	Level   string
	Message string
	Msg     string // of slog
	Addr    string
	Rest    string
	Admin   string
	Error   string
	Cause   string
	Outcome string
	Forced  bool
	Server  string
	Streams int
	Pid     int
	Code    int `json:"exit_code"`
	told        // of the summary
}

// child is a running example.
type child struct {
	cmd     *exec.Cmd
	entries chan entry
	log     []entry // those that were received from entries

	signalled time.Time // right before SIGTERM was last sent
}

// last returns the last entry.
func (c *child) last() entry { return c.log[len(c.log)-1] }

// start starts an example on a free port of the loopback, and waits until it is
// ready. It is killed when the test ends.
func start(t *testing.T, name string, args ...string) (c *child, addr string) {
	t.Helper()
	c = launch(t, name, args...)
	addr = c.await(t, "listening").Addr
	c.await(t, "phase serve")
	return c, addr
}

// launch starts an example and does not wait.
func launch(t *testing.T, name string, args ...string) *child {
	t.Helper()
	return run(t, exec.CommandContext(t.Context(), filepath.Join(binaries, name), append([]string{"-addr=127.0.0.1:0"}, args...)...))
}

// run starts a command whose log is JSON.
func run(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	c := &child{cmd: cmd, entries: make(chan entry, 1000)}
	c.cmd.Env = append(os.Environ(), "SHUTDOWN_TOKEN="+token)
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		if errors.Is(err, os.ErrPermission) {
			t.Skipf("not allowed here: %v", err) // a namespace of its own
		}
		t.Fatal(err)
	}
	go c.read(stderr)
	t.Cleanup(func() { // the process is dead by now, or dies: t.Context has ended
		for e := range c.entries {
			c.log = append(c.log, e)
		}
		_ = c.cmd.Wait() // an error if exit has waited before
		if t.Failed() {
			t.Logf("log of %s: %+v", cmd.Args, c.log)
		}
	})
	return c
}

func (c *child) read(stderr io.Reader) {
	defer close(c.entries)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			e.Message = "no JSON: " + lines.Text()
		}
		e.Message = cmp.Or(e.Message, e.Msg)
		c.entries <- e
	}
}

// await returns the next entry with the message.
func (c *child) await(t *testing.T, message string) entry {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case e, open := <-c.entries:
			if !open {
				t.Fatalf("the process ended without the line %q", message)
			}
			c.log = append(c.log, e)
			if e.Message == message {
				return e
			}
		case <-deadline:
			t.Fatalf("no line %q within %v", message, patience)
		}
	}
}

// terminate sends SIGTERM.
func (c *child) terminate(t *testing.T) {
	t.Helper()
	c.signalled = time.Now()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// exit waits for the end of the process and returns its code and the messages of
// its whole log, but not those that depend on how fast the calls and the machine are:
// what is in flight, that a question about it was not answered within some
// milliseconds, and whether the system made one signal of two.
func (c *child) exit(t *testing.T) (code int, messages []string) {
	t.Helper()
	deadline := time.After(patience)
	for open := true; open; {
		var e entry
		select {
		case e, open = <-c.entries:
			if open {
				c.log = append(c.log, e)
			}
		case <-deadline:
			t.Fatalf("the process did not end within %v", patience)
		}
	}
	var status *exec.ExitError
	if err := c.cmd.Wait(); err != nil && !errors.As(err, &status) {
		t.Fatal(err)
	}
	for _, e := range c.log {
		late := strings.HasSuffix(e.Message, " timed out") && (strings.HasPrefix(e.Message, "InFlight ") || strings.HasPrefix(e.Message, "Notes "))
		again := strings.HasSuffix(e.Message, ": the same request as the one before")
		if e.Message != "in flight" && !late && !again {
			messages = append(messages, e.Message)
		}
	}
	return c.cmd.ProcessState.ExitCode(), messages
}

// dial returns a connection to a child.
func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// neverReady is the log of a process that was told to end, or has failed, before it served.
var neverReady = []string{
	"shutting down", "phase start", "phase announce",
	"state GRACEFUL_SHUTDOWN", "phase drain",
	"state TERMINATED", "phase close", "phase flush", "shutdown complete, flushing",
}

// shutdown is the log of a shutdown in which everything ended in time.
var shutdown = []string{
	"shutting down", "phase announce", "phase settle",
	"state GRACEFUL_SHUTDOWN", "phase drain",
	"state TERMINATED", "phase close", "phase flush", "shutdown complete, flushing",
}
