//go:build unix

package examples_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/lastcall-go/lastcall/report"
)

// notStarted checks the log and the code of a process that has not served.
func notStarted(t *testing.T, g *guestBook, code int) {
	t.Helper()
	got, messages := g.exit(t)
	if got != code || g.last().Code != code {
		t.Errorf("exit code %d, in the log %d, want %d", got, g.last().Code, code)
	}
	if slices.Contains(messages, "phase serve") || !slices.Contains(messages, "phase flush") {
		t.Errorf("log %q, want no phase serve, and phase flush", messages)
	}
}

// TestPortInUse: whichever port it is, the process says so and closes the guest book,
// which was open already.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() }) // when the subtests have ended
	for _, server := range []string{"addr", "rest", "admin"} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			g := begin(t, t.TempDir(), "-"+server+"="+lis.Addr().String())
			if e := g.await(t, "shutting down"); !strings.Contains(e.Cause, lis.Addr().String()) {
				t.Errorf("cause %q, want one that names %v", e.Cause, lis.Addr())
			}
			notStarted(t, g, report.ExitFailed)
			if events := g.told(t); !slices.Equal(events, []string{"closed 0"}) {
				t.Errorf("events %q: the guest book was not closed, or the events not flushed", events)
			}
		})
	}
}

// TestDatabaseLocked: the second of two processes does not get the guest book. It says
// so, closes what it has opened, and exits.
func TestDatabaseLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock(t, filepath.Join(dir, "guestbook.db"))
	g := begin(t, dir)
	if e := g.await(t, "shutting down"); !strings.Contains(e.Cause, bbolterrors.ErrTimeout.Error()) {
		t.Errorf("cause %q, want one that contains %q", e.Cause, bbolterrors.ErrTimeout)
	}
	notStarted(t, g, report.ExitFailed)
}

// TestSignalDuringStart: SIGTERM comes while the process waits for the guest book. It
// is a shutdown like any other, and not a failure: the traces, which were open, are flushed.
func TestSignalDuringStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock(t, filepath.Join(dir, "guestbook.db"))
	g := begin(t, dir)
	g.await(t, "opening the guest book")
	g.terminate(t)
	if e := g.await(t, "shutting down"); !strings.Contains(e.Cause, "terminated") {
		t.Errorf("cause %q, want the signal", e.Cause)
	}
	notStarted(t, g, report.ExitOK)
	if text, err := os.ReadFile(g.traces); err != nil || !strings.Contains(string(text), "open the guest book") {
		t.Errorf("traces %q, %v: they were not flushed", text, err)
	}
}

// TestWrongFlags: numbers that are no budget are wrong usage, and the text says which
// are.
func TestWrongFlags(t *testing.T) {
	t.Parallel()
	g := begin(t, t.TempDir(), "-grace=4s")
	code, messages := g.exit(t)
	if text := strings.Join(messages, "\n"); code != 2 || !strings.Contains(text, "terminationGracePeriod") {
		t.Errorf("exit code %d, %q, want 2 and the numbers", code, text)
	}
}

// lock opens a database, which keeps it from others until the test ends.
func lock(t *testing.T, file string) {
	t.Helper()
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
}
