package controller_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
)

// pipe returns both ends of a pipe.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// G8: a flusher has nothing to flush to a pipe or a terminal, and a closer nothing to close
// that is closed; but what is lost is a failure.
func TestG8_HarmlessErrors(t *testing.T) {
	_, stderr := pipe(t)
	terminal, _ := openTerminal(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	broken, lines := pipe(t)
	_ = broken.Close()
	buffered := bufio.NewWriter(lines)
	_, _ = buffered.WriteString("a line")
	lis := listen(t)
	_ = lis.Close()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()

	errDisk, errGone := errors.New("disk full"), errors.New("database is closed")
	both := func(errs ...error) func() error { return func() error { return errors.Join(errs...) } }
	for name, tt := range map[string]struct {
		step controller.Option
		exit int
	}{
		"sync of a pipe":                {controller.WithFlusher("x", stderr.Sync), report.ExitOK},
		"sync of a terminal":            {controller.WithFlusher("x", terminal.Sync), report.ExitOK},
		"sync of both":                  {controller.WithFlusher("x", both(fmt.Errorf("sync: %w", stderr.Sync()), terminal.Sync())), report.ExitOK},
		"ENOTTY":                        {controller.WithFlusher("x", both(syscall.ENOTTY)), report.ExitOK},
		"EROFS":                         {controller.WithFlusher("x", both(syscall.EROFS)), report.ExitOK},
		"sync of a pipe and of a disk":  {controller.WithFlusher("x", both(stderr.Sync(), errDisk)), report.ExitStep},
		"the same, wrapped":             {controller.WithFlusher("x", both(fmt.Errorf("sync: %w", errors.Join(stderr.Sync(), errDisk)))), report.ExitStep},
		"lines for a reader that left":  {controller.WithFlusher("x", buffered.Flush), report.ExitStep},
		"sync of a file that is closed": {controller.WithFlusher("x", file.Sync), report.ExitStep},
		"close of a file, again":        {controller.WithCloser("x", file.Close), report.ExitOK},
		"close of a listener, again":    {controller.WithCloser("x", lis.Close), report.ExitOK},
		"close of a connection, again":  {controller.WithCloser("x", conn.Close), report.ExitOK},
		"close and flush of a file":     {controller.WithCloser("x", both(file.Close(), errDisk)), report.ExitStep},
		"sync as a closer":              {controller.WithCloser("x", stderr.Sync), report.ExitStep},
		"named":                         {controller.WithCloser("x", both(errGone), controller.Harmless(io.EOF, errGone)), report.ExitOK},
		"of an announcer":               {controller.WithAnnouncer("x", both(errGone), controller.Harmless(errGone)), report.ExitOK},
		"marked as a failure":           {controller.WithCloser("x", both(lastcall.Failed(os.ErrClosed))), report.ExitStep},
		"another one":                   {controller.WithCloser("x", both(errDisk), controller.Harmless(errGone)), report.ExitStep},
		"one of two":                    {controller.WithCloser("x", both(errGone, errDisk), controller.Harmless(errGone)), report.ExitStep},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			c := mustNew(t, lastcall.Budget{Total: 10 * time.Second, Reserve: time.Second}, noSignals, controller.WithLogger(zerolog.New(&log)), tt.step)
			c.Shutdown(nil)
			r := c.Run(t.Context())
			wantExit(t, r, tt.exit)
			s := r.Steps[0]
			for _, one := range r.Steps {
				if one.Name == "x" {
					s = one
				}
			}
			if s.Err == nil || s.Text == "" {
				t.Errorf("the report has %+v", s)
			}
			level := `"level":"warn"`
			if tt.exit == report.ExitStep {
				level = `"level":"error"`
			}
			if line := lineWith(log.String(), `"name":"x"`); (s.Op == report.OpFlush) != (line == "") || line != "" && !strings.Contains(line, level) {
				t.Errorf("logged: %s", line)
			}
		})
	}
}

// lineWith returns the first line that has that part.
func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}

// uncomparable is an error that == cannot compare.
type uncomparable []string

func (uncomparable) Error() string { return "uncomparable" }

func TestHarmlessRefuses(t *testing.T) {
	for _, err := range []error{nil, uncomparable{}} {
		_, got := controller.New(budget, controller.WithCloser("c", func() {}, controller.Harmless(err)))
		if got == nil || !strings.Contains(got.Error(), `closer "c": Harmless was given`) {
			t.Errorf("New says %v", got)
		}
	}
}
