package controller_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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

// reasonChild is a program of ten lines: it has no logger, and exits with the report's code.
func reasonChild(kind string) int {
	kind, file, _ := strings.Cut(strings.TrimPrefix(kind, "reason: "), " in ")
	s := newServer(newDiary(), "s", 0)
	opts := []controller.Option{withServer("s", s), controller.WithSignals()}
	switch kind {
	case "hangs", "with a logger", "without stderr", "stderr was closed":
		s.graceful, s.stop = func() { select {} }, func() { select {} }
	case "hangs to the end":
		opts = append(opts, controller.WithCloser("c", func() { select {} }), controller.WithFlusher("f", func() { select {} }))
	case "a flusher fails behind the log", "the same, without stderr":
		opts = append(opts, controller.WithFlusher("f", func() error { return errors.New("collector: connection refused") }))
	case "a flusher hangs behind the log":
		opts = append(opts, controller.WithFlusher("f", func() { select {} }))
	case "a closer fails before the last line":
		opts = append(opts, controller.WithCloser("c", func() error { return errors.New("refused") }), controller.WithFlusher("f", func() { panic("at once") }))
	case "cannot serve":
		s.serve = func() error { return errors.New("listen tcp :443: bind: permission denied") }
	case "says too much":
		opts = append(opts, controller.WithCloser("c", func() error { return errors.New(strings.Repeat("öl\n\x1b[31m", 1<<20)) }))
	}
	switch kind {
	case "with a logger", "a flusher fails behind the log", "a flusher hangs behind the log", "a closer fails before the last line", "the same, without stderr":
		opts = append(opts, controller.WithLogger(zerolog.Nop()))
	}
	switch kind {
	case "without stderr", "the same, without stderr":
		opts = append(opts, controller.WithoutStderr())
	case "stderr was closed":
		_ = os.Stderr.Close()
		if f, err := os.Create(file); err != nil || f.Fd() != 2 {
			fmt.Println("the file is not number 2:", err)
			return 99
		}
	}
	c, err := controller.New(lastcall.Budget{Total: 1500 * time.Millisecond, Reserve: 1400 * time.Millisecond}, opts...)
	if err != nil {
		fmt.Println(err)
		return 99
	}
	switch kind {
	case "cannot start":
		c.Fail(errors.New("postgres: no such host"))
	case "cannot serve":
	default:
		c.Shutdown(nil)
	}
	machine := busy.Watch(nil)
	r := c.Run(context.Background())
	if kind == "runs twice" {
		r = c.Run(context.Background())
	}
	fmt.Println(r)
	if stopped, _ := machine.Late(); r.NotRun == nil && r.Ended.Sub(r.Deadline) > 200*time.Millisecond+stopped {
		fmt.Println("Run was late by", r.Ended.Sub(r.Deadline), "and the machine stopped for", stopped)
	}
	return r.ExitCode()
}

// runReason runs such a program with that for stderr.
func runReason(t *testing.T, kind string, stderr io.Writer) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"=reason: "+kind)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "Run was late") {
		t.Error(out.String())
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// The reason of any code but 0 is on stderr, once and short, unless a log has told that code or
// it is turned off.
func TestReason(t *testing.T) {
	t.Parallel()
	for kind, tt := range map[string]struct {
		exit int
		want string // the beginning of the only line; "": there is none
	}{
		"drains":                              {report.ExitOK, ""},
		"hangs":                               {report.ExitAbandoned, "lastcall: exit code 4: shutdown: abandoned in "},
		"hangs to the end":                    {report.ExitStep, "lastcall: exit code 6: shutdown: drained in "},
		"with a logger":                       {report.ExitAbandoned, ""},
		"without stderr":                      {report.ExitAbandoned, ""},
		"a flusher fails behind the log":      {report.ExitStep, `lastcall: exit code 6: shutdown: drained in `},
		"a flusher hangs behind the log":      {report.ExitStep, `lastcall: exit code 6: shutdown: drained in `},
		"a closer fails before the last line": {report.ExitStep, ""},
		"the same, without stderr":            {report.ExitStep, ""},
		"cannot serve":                        {report.ExitFailed, `lastcall: exit code 3: shutdown: drained in `},
		"cannot start":                        {report.ExitFailed, "lastcall: exit code 3: shutdown: drained in "},
		"says too much":                       {report.ExitStep, "lastcall: exit code 6: shutdown: drained in "},
		"runs twice":                          {report.ExitNotRun, "lastcall: exit code 1: controller: Run was called before"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			code, said := runReason(t, kind, &stderr)
			for tries := 1; tries < 5 && strings.Contains(said, "stderr has not returned"); tries++ { // the machine was too busy for it
				stderr.Reset()
				code, said = runReason(t, kind, &stderr)
			}
			got := stderr.String()
			if code != tt.exit || !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("exit code %d, stderr %q, having said\n%.2000s", code, got, said)
			}
			if got != "" && (strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") || len(got) > 1001 || strings.Contains(got, "\x1b")) {
				t.Errorf("stderr has %d bytes: %q", len(got), got)
			}
		})
	}
}

// A stderr that nothing reads changes neither the code nor the time of the exit.
func TestReasonForNobody(t *testing.T) {
	t.Parallel()
	broken, w := pipe(t)
	_ = broken.Close()
	device, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	for _, w := range []*os.File{w, device} {
		if code, said := runReason(t, "hangs", w); code != report.ExitAbandoned || !strings.Contains(said, "delivery  stderr missed 0, failed 1,") && !strings.Contains(said, "delivery  stderr has not returned") { // on a busy machine
			t.Errorf("%s: exit code %d, having said\n%s", w.Name(), code, said)
		}
	}

	_, full := pipe(t)
	fd := int(full.Fd())
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := syscall.Write(fd, make([]byte, 4096)); err != nil {
			break
		}
	}
	code, said := runReason(t, "hangs", full) // which makes it a pipe that blocks
	if code != report.ExitAbandoned || !strings.Contains(said, "delivery  stderr has not returned") {
		t.Errorf("with a full pipe: exit code %d, having said\n%s", code, said)
	}
}

// Where the program has closed stderr, its number may be that of another file.
func TestReasonWithoutStderr(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "database")
	if code, said := runReason(t, "stderr was closed in "+file, nil); code != report.ExitAbandoned {
		t.Errorf("exit code %d, having said\n%s", code, said)
	}
	if got, err := os.ReadFile(file); err != nil || len(got) > 0 {
		t.Errorf("the file has %q, %v", got, err)
	}
}
