//go:build unix

package examples_test

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// TestFirst: the program in README answers, and ends as README says: with 0, or with 3
// if its port is taken.
func TestFirst(t *testing.T) {
	t.Parallel()
	c, addr := start(t, "first")
	if reply, err := hellopb.NewGreeterClient(dial(t, addr)).SayHello(t.Context(), &hellopb.HelloRequest{Name: "gopher"}); err != nil || reply.GetMessage() != "Hello gopher" {
		t.Errorf("answer %v, error %v", reply, err)
	}
	if code, _ := launch(t, "first", "-addr="+addr).exit(t); code != report.ExitFailed {
		t.Errorf("with its port taken it exits with %d, want %d", code, report.ExitFailed)
	}
	c.terminate(t)
	code, messages := c.exit(t)
	if want := append([]string{"listening", "phase start", "phase serve"}, shutdown...); code != report.ExitOK || !slices.Equal(messages, want) {
		t.Errorf("exit code %d, log %q; want %d and %q", code, messages, report.ExitOK, want)
	}
}

// TestMinimal calls without a pause while SIGTERM arrives. All calls succeed for
// as long as the server settles, and the process exits with 0.
func TestMinimal(t *testing.T) {
	t.Parallel()
	c, addr := start(t, "minimal", "-db="+filepath.Join(t.TempDir(), "minimal.db"))
	greeter := hellopb.NewGreeterClient(dial(t, addr))
	say := func() error {
		reply, err := greeter.SayHello(t.Context(), &hellopb.HelloRequest{Name: "gopher"})
		if err == nil && reply.GetMessage() != "Hello gopher" {
			t.Errorf("answer %q", reply.GetMessage())
		}
		return err
	}
	if err := say(); err != nil {
		t.Fatal(err)
	}
	signalled := time.Now()
	c.terminate(t)
	var err error
	for err == nil {
		err = say()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a call failed with %v, want Unavailable", err)
	}
	if served, want := time.Since(signalled), lastcall.DefaultBudget().Settle; served < want {
		t.Errorf("a call failed %v after SIGTERM, during the settle phase of %v: %v", served, want, err)
	}
	code, messages := c.exit(t)
	if code != report.ExitOK {
		t.Errorf("exit code %d, want %d", code, report.ExitOK)
	}
	if want := append([]string{"opening the database", "listening", "phase start", "phase serve"}, shutdown...); !slices.Equal(messages, want) {
		t.Errorf("log %q, want %q", messages, want)
	}
}

// TestMinimalSignalDuringStart: SIGTERM comes while the process waits for its database,
// once, or twice as from a wrapper that passes it on. The log says why it ends and that it
// was never ready, and the exit code is that of a shutdown.
func TestMinimalSignalDuringStart(t *testing.T) {
	t.Parallel()
	for name, signals := range map[string]int{"once": 1, "twice": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := filepath.Join(t.TempDir(), "minimal.db")
			lock(t, db)
			c := launch(t, "minimal", "-db="+db)
			c.await(t, "opening the database")
			for range signals {
				c.terminate(t)
			}
			code, messages := c.exit(t)
			if code != report.ExitOK {
				t.Errorf("exit code %d, want %d", code, report.ExitOK)
			}
			want := append([]string{"opening the database"}, neverReady...)
			if !slices.Equal(messages, want) {
				t.Fatalf("log %q, want %q", messages, want)
			}
			told := c.log[1] // the first line after the signal
			if told.Cause != "signal: terminated" || told.Level != "info" {
				t.Errorf("%q says %q at level %s", told.Message, told.Cause, told.Level)
			}
		})
	}
}

// TestMinimalCannotStart: the database cannot be opened, or the port is taken, when the
// database is open. The first line after that says what is wrong.
func TestMinimalCannotStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	dir := t.TempDir()
	for name, tt := range map[string]struct{ db, addr, cause string }{
		"database": {dir, "127.0.0.1:0", "open " + dir + ": is a directory"},
		"port":     {filepath.Join(dir, "minimal.db"), taken.Addr().String(), "listen tcp " + taken.Addr().String() + ": bind: address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := launch(t, "minimal", "-db="+tt.db, "-addr="+tt.addr)
			code, messages := c.exit(t)
			if code != report.ExitFailed {
				t.Errorf("exit code %d, want %d", code, report.ExitFailed)
			}
			if want := append([]string{"opening the database"}, neverReady...); !slices.Equal(messages, want) {
				t.Fatalf("log %q, want %q", messages, want)
			}
			if told := c.log[1]; !strings.HasSuffix(told.Cause, tt.cause) || told.Level != "error" {
				t.Errorf("%q says %q at level %s, want %q", told.Message, told.Cause, told.Level, tt.cause)
			}
		})
	}
}
