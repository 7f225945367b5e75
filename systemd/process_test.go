//go:build linux

package systemd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/systemd"
)

// These tests play systemd: they own the socket, and the test binary runs itself as
// the service.

const (
	childVariable  = "LASTCALL_TEST_CHILD"
	socketVariable = "NOTIFY_SOCKET"
)

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "":
	case "activated":
		os.Exit(activated())
	default:
		os.Exit(child())
	}
	_ = os.Unsetenv(socketVariable) // if a service runs the tests
	os.Exit(m.Run())
}

// total, settle and reserve are the child's. Total is longer than any test waits.
const (
	total   = 10 * time.Minute
	settle  = 50 * time.Millisecond
	reserve = total - 10*time.Second // so phase announce lasts one second at most
)

// child is a service. It says its process id and how it ends, and it ends when
// nobody writes to it any more.
func child() int {
	budget := lastcall.Budget{Total: total, Settle: settle, Reserve: reserve}
	opts := []controller.Option{
		systemd.Notify(),
		controller.WithLogger(zerolog.New(os.Stdout)),
		controller.WithServer("s", &server{accepting: make(chan struct{}), down: make(chan struct{})}),
		controller.WithFlusher("test", func() { _, _ = io.Copy(io.Discard, os.Stdin) }),
		controller.WithObserver("stdout", func(s report.Step) { fmt.Println(s) }),
	}
	if os.Getenv(childVariable) == "unsets" {
		_ = os.Unsetenv(socketVariable)
	}
	var ctl *controller.Controller
	if os.Getenv(childVariable) == "shortens" {
		opts = append(opts, controller.WithObserver("spot", func(s report.Step) {
			if s.Kind == report.KindPhase && s.Phase == lastcall.PhaseSettle {
				ctl.Shorten(time.Now().Add(3*time.Second), "as tested")
			}
		}))
	}
	ctl, err := controller.New(budget, opts...)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	got := ctl.Run(context.Background())
	text, err := json.Marshal(got)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(string(text))
	return got.ExitCode()
}

type server struct {
	lastcall.Unimplemented
	accepting, down chan struct{}
}

func (s *server) Accepting() <-chan struct{} { return s.accepting }
func (s *server) Serve() error               { close(s.accepting); <-s.down; return nil }
func (s *server) GracefulStop()              { close(s.down) }
func (s *server) Stop()                      {}

// childReport is what the tests read of the child's.
type childReport struct {
	Took  float64 `json:"took_seconds"`
	Steps []struct {
		Kind, Name, Op, Result, Error string
		Duration                      float64 `json:"duration_seconds"`
	} `json:"steps"`
	Deliveries []struct {
		Op, Name             string
		Told, Failed, Missed int
		Busy                 bool
	} `json:"deliveries"`
}

func (r childReport) announcer(t *testing.T) (result, text string, seconds float64) {
	t.Helper()
	for _, s := range r.Steps {
		if s.Op == "announcer" && s.Name == "systemd" {
			return s.Result, s.Error, s.Duration
		}
	}
	t.Fatalf("no announcer in %+v", r)
	return "", "", 0
}

// service is the child, and what it says.
type service struct {
	t     *testing.T
	cmd   *exec.Cmd
	out   *bufio.Scanner
	stdin io.Closer
	said  []string // at its end
}

func start(t *testing.T, kind string, socket string) *service {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // only a child that does not end is killed
	t.Cleanup(cancel)
	s := &service{t: t, cmd: exec.CommandContext(ctx, os.Args[0])}
	s.cmd.Env = append(os.Environ(), childVariable+"="+kind)
	if socket != "" {
		s.cmd.Env = append(s.cmd.Env, socketVariable+"="+socket)
	}
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdin = stdin
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewScanner(out)
	s.out.Buffer(nil, 1<<20)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// until reads what the child says until a line is that.
func (s *service) until(line string) {
	s.t.Helper()
	for s.out.Scan() {
		if s.out.Text() == line {
			return
		}
	}
	s.t.Fatalf("the child never said %q", line)
}

// sigterm sends what systemd sends, and says when.
func (s *service) sigterm() time.Time {
	s.t.Helper()
	at := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	return at
}

// end lets the child end, and returns its exit code and report.
func (s *service) end() (int, childReport) {
	s.t.Helper()
	_ = s.stdin.Close()
	last := ""
	for s.out.Scan() {
		last = s.out.Text()
		s.said = append(s.said, last)
	}
	_ = s.cmd.Wait() // its error repeats the state
	var r childReport
	if err := json.Unmarshal([]byte(last), &r); err != nil {
		s.t.Fatalf("%v: the child ended with %v, having said %s", err, s.cmd.ProcessState, last)
	}
	return s.cmd.ProcessState.ExitCode(), r
}

// listen opens the socket of a service manager.
func listen(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// next returns the next message, and when it was read.
func next(t *testing.T, conn *net.UnixConn) ([]string, time.Time) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<12)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(buf[:n]), "\n"), time.Now()
}

// TestNotify: all messages of a service's life, at an address in the file system and
// at an abstract one.
func TestNotify(t *testing.T) {
	t.Parallel()
	for name, socket := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": fmt.Sprintf("@lastcall-test-%d", os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := listen(t, socket)
			s := start(t, "serves", socket)
			for _, want := range []string{"STATUS=starting", "READY=1 STATUS=ready"} {
				if got, _ := next(t, conn); strings.Join(got, " ") != want {
					t.Fatalf("it sent %q, want %q", got, want)
				}
			}
			sent := s.sigterm()
			for _, phase := range []string{"announce", "settle", "drain", "close", "flush"} {
				got, read := next(t, conn)
				if phase == "announce" {
					if got[0] != "STOPPING=1" {
						t.Fatalf("in %s it sent %q, want STOPPING=1 first", phase, got)
					}
					got = got[1:]
				}
				if len(got) != 2 {
					t.Fatalf("in %s it sent %q", phase, got)
				}
				value, ok := strings.CutPrefix(got[0], "EXTEND_TIMEOUT_USEC=")
				usec, err := strconv.ParseInt(value, 10, 64)
				if !ok || err != nil {
					t.Fatalf("in %s it sent %q", phase, got)
				}
				// The trigger came after the signal was sent, and the message before it was read.
				extend := time.Duration(usec) * time.Microsecond
				if most, least := total+2*time.Second, total+2*time.Second-read.Sub(sent); extend > most || extend < least-time.Microsecond {
					t.Errorf("in %s it asked for %v, want between %v and %v", phase, extend, least, most)
				}
				if want := "STATUS=shutting down: " + phase + ", at most "; !strings.HasPrefix(got[1], want) {
					t.Errorf("in %s it sent %q, want %q...", phase, got[1], want)
				}
			}
			code, r := s.end()
			if result, text, _ := r.announcer(t); code != report.ExitOK || result != "ok" || text != "" {
				t.Errorf("exit code %d, announcer %s %q", code, result, text)
			}
		})
	}
}

// TestNotifyShorten: a deadline that comes nearer is told in the phase in which it does.
func TestNotifyShorten(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "notify")
	conn := listen(t, socket)
	s := start(t, "shortens", socket)
	var all []string
	for {
		got, _ := next(t, conn)
		all = append(all, got...)
		if got[0] == "READY=1" {
			s.sigterm()
		}
		if strings.Contains(got[len(got)-1], "flush") {
			break
		}
	}
	s.end()
	if n := strings.Count(strings.Join(all, "\n"), "STATUS=shutting down: settle, at most 3s left"); n != 1 || !slices.Contains(all, "STOPPING=1") {
		t.Errorf("it was told %d times; it sent\n%q", n, all)
	}
}

// TestNotifyWithoutSocket: nothing is called, and nothing is told.
func TestNotifyWithoutSocket(t *testing.T) {
	t.Parallel()
	s := start(t, "serves", "")
	s.until("phase serve")
	s.sigterm()
	code, r := s.end()
	if code != report.ExitOK {
		t.Errorf("exit code %d", code)
	}
	for _, step := range r.Steps {
		if step.Name == "systemd" {
			t.Errorf("there is a step %+v", step)
		}
	}
}

// TestNotifyNobodyListens: what was not sent is in the report. A socket that cannot be reached,
// as where a container has the variable of its host, is not a failure; one that refuses is.
func TestNotifyNobodyListens(t *testing.T) {
	t.Parallel()
	gone := filepath.Join(t.TempDir(), "gone")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: gone})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close() // leaves the file
	lis, err := net.Listen("unix", gone+"-stream")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() }) // after the parallel subtests
	deaf := listen(t, gone+"-deaf")
	if err := deaf.CloseRead(); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(gone+"-loop", gone+"-loop"); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		kind, socket, want string
		exit               int
	}{
		"no socket":  {"serves", gone + "-never", "no such file or directory", report.ExitOK},
		"no folder":  {"serves", gone + "/below", "not a directory", report.ExitOK},
		"closed":     {"serves", gone, "connection refused", report.ExitOK},
		"abstract":   {"serves", "@" + gone, "connection refused", report.ExitOK},
		"vsock":      {"serves", "vsock:2:1", "no such file or directory", report.ExitOK},
		"no address": {"serves", t.TempDir(), "connection refused", report.ExitOK},
		"a stream":   {"serves", gone + "-stream", "protocol wrong type", report.ExitOK},
		"too long":   {"serves", "/" + strings.Repeat("x", 200), "invalid argument", report.ExitOK},
		"no way":     {"serves", gone + "-loop", "too many levels of symbolic links", report.ExitOK},
		"deaf":       {"serves", gone + "-deaf", "broken pipe", report.ExitStep},
		"unset":      {"unsets", gone, "is not any more", report.ExitStep},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, tt.kind, tt.socket)
			s.until("phase serve")
			s.sigterm()
			code, r := s.end()
			result, text, _ := r.announcer(t)
			if want := map[int]string{report.ExitOK: "ok", report.ExitStep: "failed"}[tt.exit]; code != tt.exit || result != want {
				t.Errorf("exit code %d, announcer %s, want %d and %s", code, result, tt.exit, want)
			}
			warned := slices.ContainsFunc(s.said, func(line string) bool {
				return strings.Contains(line, `"level":"warn"`) && strings.Contains(line, "announcer")
			})
			if warned != (tt.exit == report.ExitOK) {
				t.Errorf("warned: %v", warned)
			}
			for _, want := range []string{"systemd: READY=1 was not sent: ", "systemd: STOPPING=1 was not sent: ", tt.want} {
				if !strings.Contains(text, want) {
					t.Errorf("the announcer says %q, want %q in it", text, want)
				}
			}
		})
	}
}

// TestNotifyHangs: nobody reads, and the socket's queue is full. It holds up phase
// announce, for no longer than its time, and nothing else.
func TestNotifyHangs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		room  int
		stuck string
	}{
		"from the start on":  {0, "STATUS=starting"},
		"from STOPPING=1 on": {2, "STOPPING=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := filepath.Join(t.TempDir(), "notify")
			conn := listen(t, socket)
			fill(t, socket)
			for range tt.room {
				next(t, conn)
			}
			s := start(t, "serves", socket)
			s.until("phase serve")
			s.sigterm()
			s.until("phase flush")
			code, r := s.end()
			result, text, seconds := r.announcer(t)
			if code != report.ExitStep || result != "failed" || seconds < 0.8 || !strings.Contains(text, "NOTIFY_SOCKET does not take "+tt.stuck) {
				t.Errorf("exit code %d, announcer %s after %v s: %s", code, result, seconds, text)
			}
			if r.Took > total.Seconds() {
				t.Errorf("it took %v s", r.Took)
			}
			for _, l := range r.Deliveries {
				if l.Name == "systemd" && (!l.Busy || l.Missed == 0 || l.Told < tt.room) {
					t.Errorf("the report says %+v", l)
				}
			}
		})
	}
}

// fill sends messages until the socket takes no more.
func fill(t *testing.T, socket string) {
	t.Helper()
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for {
		var failed error
		err := raw.Write(func(fd uintptr) bool {
			_, failed = syscall.Write(int(fd), []byte("X=1"))
			return true // not to wait for room
		})
		switch {
		case err != nil:
			t.Fatal(err)
		case errors.Is(failed, syscall.EAGAIN):
			return
		case failed != nil:
			t.Fatal(failed)
		}
	}
}

// TestNotifyTwice is an error with a socket and without.
func TestNotifyTwice(t *testing.T) {
	for name, socket := range map[string]string{"without": "", "with": "/nowhere"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(socketVariable, socket)
			_, err := controller.New(lastcall.DefaultBudget(), systemd.Notify(), systemd.Notify())
			if err == nil || !strings.Contains(err.Error(), `"systemd"`) {
				t.Errorf("New gave %v", err)
			}
		})
	}
}
