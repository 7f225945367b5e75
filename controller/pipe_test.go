//go:build linux

package controller_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
)

// These tests are about a standard output and error that nobody reads any more. What the
// child has to say it says on descriptor 3.

// talks is the child: an HTTP server that logs to stderr, and prints to stdout.
func talks(kind string) int {
	control := os.NewFile(3, "control")
	say := func(what any) { _, _ = fmt.Fprintln(control, what) }
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		say(err)
		return 1
	}
	var c *controller.Controller
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		say("handler")
		<-c.Life().Draining()
		_, _ = fmt.Fprintln(os.Stdout, "the handler writes, too")
		_, _ = io.WriteString(w, "whole")
	})}
	opts := []controller.Option{
		controller.WithServer("http", httpServer{srv}, controller.On(lis)),
		controller.WithObserver("control", func(s report.Step) { say(s) }),
		controller.WithObserver("stdout", func(s report.Step) {
			if s.Elapsed > 0 {
				fmt.Println(s)
			}
		}),
		controller.WithCloser("c", func() { fmt.Println("closing"); say("closed") }),
		controller.WithFlusher("f", func() { fmt.Fprintln(os.Stderr, "flushing"); say("flushed") }),
	}
	log := zerolog.New(os.Stderr)
	switch {
	case strings.Contains(kind, "none"):
		opts = append(opts, controller.WithSignals())
	case strings.Contains(kind, "channel"):
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, syscall.SIGTERM, os.Interrupt)
		opts = append(opts, controller.WithSignalChannel(ch))
	}
	if strings.Contains(kind, "quiet") {
		log = log.Hook(zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
			if _, triggered := c.Deadline(); !triggered {
				e.Discard()
			}
		}))
	}
	c, err = controller.New(lastcall.Budget{Total: time.Minute, Reserve: 10 * time.Second}, append(opts, controller.WithLogger(log))...)
	if err != nil {
		say(err)
		return 1
	}
	if strings.Contains(kind, "none") {
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		go func() {
			<-term
			c.Shutdown(errAsked)
		}()
	}
	if strings.Contains(kind, "ignores") {
		signal.Ignore(syscall.SIGPIPE)
	}
	if strings.Contains(kind, "starting") {
		ctx := c.Starting(context.Background())
		if strings.Contains(kind, "writes") {
			go writeLines(kind, say)
		}
		say("starting " + lis.Addr().String())
		<-ctx.Done()
		fmt.Println("told:", context.Cause(ctx))
	}
	if strings.Contains(kind, "writes") && !strings.Contains(kind, "starting") {
		go func() {
			<-c.Serving()
			writeLines(kind, say)
		}()
	}
	say("at " + lis.Addr().String())
	r := c.Run(context.Background())
	fmt.Println(r)
	time.Sleep(50 * time.Millisecond) // for longer than the signals are kept
	fmt.Fprintln(os.Stderr, r)
	say(r)
	return r.ExitCode()
}

// httpServer is an http.Server with the two methods of a server.
type httpServer struct{ *http.Server }

func (s httpServer) GracefulStop() { _ = s.Shutdown(context.Background()) }
func (s httpServer) Stop()         { _ = s.Close() }

// talker is a child of this kind.
type talker struct {
	*process
	answer chan string // to the request in flight
}

// startTalker starts a child. The function gives the command its output, and returns what
// is to be called when the child is up.
func startTalker(t *testing.T, kind string, args []string, set func(*exec.Cmd)) *talker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close() })
	p := &talker{&process{t: t, cmd: exec.CommandContext(ctx, args[0], args[1:]...), out: bufio.NewScanner(read)}, make(chan string, 1)}
	p.cmd.Env = append(os.Environ(), childVariable+"=talks "+kind)
	p.cmd.ExtraFiles = []*os.File{write}
	set(p.cmd)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	return p
}

// request sends a request, and waits until it is in flight.
func (p *talker) request() {
	p.t.Helper()
	p.until("at ")
	addr := strings.TrimPrefix(p.all[len(p.all)-1], "at ")
	p.until("phase serve")
	go func() {
		resp, err := http.Get("http://" + addr) //nolint:noctx // the process ends it
		if err != nil {
			p.answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		p.answer <- fmt.Sprint(resp.StatusCode, " ", string(body), " ", err)
	}()
	p.until("handler")
}

// brokenPipe returns the end of a pipe without a reader.
func brokenPipe(t *testing.T) *os.File {
	t.Helper()
	read, write := openPipe(t)
	read.Close()
	return write
}

// openPipe returns the ends of a pipe.
func openPipe(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close(); write.Close() })
	return read, write
}

// From the trigger on the process lives when what it writes has no reader: everything is
// closed and flushed, the request in flight is answered, the exit code is the right one,
// and the report counts the lines that were lost.
func TestProcessBrokenPipe(t *testing.T) {
	t.Parallel()
	self := []string{os.Args[0]}
	ignored := []string{"sh", "-c", `trap "" PIPE; exec "$0"`, os.Args[0]}
	for name, tt := range map[string]struct {
		kind   string
		args   []string
		before bool // nobody reads from the beginning
		noLog  bool // stderr is read
	}{
		"both":                     {args: self},
		"stdout":                   {args: self, noLog: true},
		"ignored by the parent":    {args: ignored},
		"closed before":            {kind: "quiet", args: self, before: true},
		"closed before, ignored":   {kind: "quiet", args: ignored, before: true},
		"no signals":               {kind: "none", args: self},
		"a channel":                {kind: "channel", args: self},
		"told before Run":          {kind: "quiet starting", args: self, before: true},
		"told before Run, ignored": {kind: "quiet starting", args: ignored, before: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer write.Close()
			if tt.before {
				read.Close()
			}
			p := startTalker(t, tt.kind, tt.args, func(cmd *exec.Cmd) {
				cmd.Stdout, cmd.Stderr = write, write
				if tt.noLog {
					cmd.Stderr = nil
				}
			})
			starting := strings.Contains(tt.kind, "starting")
			if starting {
				p.until("starting ")
			} else {
				p.request()
			}
			if !tt.before && !tt.noLog { // the last line before the trigger: a write of it that failed would end the child
				lines := bufio.NewScanner(read)
				for serves := false; !serves && lines.Scan(); {
					serves = strings.Contains(lines.Text(), "phase serve")
				}
			}
			read.Close()
			p.signal(syscall.SIGTERM)
			status, said := p.end()
			if status.ExitStatus() != report.ExitOK {
				t.Errorf("it ended with %v (exit status %d)", status, status.ExitStatus())
			}
			for _, want := range []string{"closed", "flushed", "exit code 0"} {
				if !strings.Contains(said, want) {
					t.Errorf("it has not said %q", want)
				}
			}
			// A child of another test that is being started may hold the other end for a moment.
			if lost := strings.Contains(said, "  delivery  logger \"zerolog\" missed 0, failed "); lost && tt.noLog || !lost && tt.before {
				t.Errorf("the report counts lost lines: %v", lost)
			}
			if !starting {
				if got := <-p.answer; got != "200 whole <nil>" {
					t.Errorf("the answer is %q", got)
				}
			}
			if t.Failed() {
				t.Log(said)
			}
		})
	}
}

// `srv 2>&1 | tee log`, and Ctrl-C.
func TestProcessTee(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	p := startTalker(t, "", []string{"sh", "-c", `"$0" 2>&1 | tee "$1" >/dev/null`, os.Args[0], log}, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	})
	p.request()
	for start := time.Now(); ; time.Sleep(time.Millisecond) { // tee may still be starting
		if text, _ := os.ReadFile(log); strings.Contains(string(text), "phase serve") {
			break
		}
		if time.Since(start) > 30*time.Second {
			t.Fatal("tee has written nothing")
		}
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_, said := p.end()
	for _, want := range []string{"closed", "flushed", "exit code 0"} {
		if !strings.Contains(said, want) {
			t.Errorf("it has not said %q", want)
		}
	}
	if got := <-p.answer; got != "200 whole <nil>" {
		t.Errorf("the answer is %q", got)
	}
	if t.Failed() {
		t.Log(said)
	}
}

// refusing is a writer that refuses some lines.
type refusing struct{ n int }

func (w *refusing) Write(p []byte) (int, error) {
	if w.n++; w.n%3 == 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

// G9: lines that the writer refuses are counted.
func TestG9_LostLines(t *testing.T) {
	bubble(t, func(t *testing.T, _ *diary, _ func()) {
		w := new(refusing)
		r, _ := runAfter(mustNew(t, budget, noSignals, controller.WithLogger(zerolog.New(w))), time.Minute)
		if d := r.Deliveries[0]; w.n < 6 || d.Failed != w.n/3 || d.Told != w.n-w.n/3 {
			t.Errorf("of %d lines every third was lost, and the report says %v", w.n, d)
		}
		wantExit(t, r, report.ExitOK)
	})
}
