//go:build linux

package controller_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
)

// These tests are about what a bubble cannot show: real signals, a real terminal,
// real exit codes. The test binary runs itself as the child.

const childVariable = "LASTCALL_TEST_CHILD"

func TestMain(m *testing.M) {
	if kind := os.Getenv(childVariable); kind != "" {
		os.Exit(child(kind))
	}
	os.Exit(m.Run())
}

// child runs one server, tells every state and phase on standard output, and
// exits with the report's code.
func child(kind string) int {
	if kind, ok := strings.CutPrefix(kind, "talks "); ok {
		return talks(kind)
	}
	hang := make(chan struct{})
	s := &server{d: newDiary(), down: make(chan struct{})}
	if kind == "hangs" {
		s.graceful = func() { <-hang }
		s.stop = s.graceful
	}
	b := lastcall.Budget{Total: 10 * time.Minute, Settle: 100 * time.Millisecond, Reserve: 2 * time.Second}
	opts := []controller.Option{
		withServer("s", s),
		controller.WithObserver("stdout", func(s report.Step) { fmt.Println(s) }),
	}
	switch kind {
	case "settles": // for longer than any test waits
		b.Settle = 9 * time.Minute
		fmt.Println("pid", os.Getpid())
	case "works": // for longer than any signal repeats another one
		s.drain = 2 * time.Second
	case "hangup":
		opts = append(opts, controller.WithSignals(syscall.SIGTERM, syscall.SIGHUP))
	case "forces on SIGTERM":
		s.drain = time.Minute
		opts = append(opts, controller.ForceOn(syscall.SIGTERM))
	case "starts, hangs, short":
		b = lastcall.Budget{Total: 300 * time.Millisecond, Reserve: 100 * time.Millisecond}
	case "third party":
		other := make(chan os.Signal, 8)
		signal.Notify(other, syscall.SIGTERM, os.Interrupt)
		go func() {
			for range other {
				fmt.Println("third party told")
			}
		}()
		opts = append(opts, controller.WithCloser("c", func() { <-hang }), controller.WithFlusher("f", func() { <-hang }))
	}
	switch {
	case kind == "busy":
		return busyChild()
	case strings.HasPrefix(kind, "suspended"):
		return suspendedChild(kind)
	case strings.HasPrefix(kind, "reason: "):
		return reasonChild(kind)
	case kind == "runs again":
		return runAgain()
	}
	before := runtime.NumGoroutine()
	c, err := controller.New(b, opts...)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if kind == "never runs" {
		fmt.Println("made, with", runtime.NumGoroutine()-before, "goroutines")
		<-hang
	}
	if strings.HasPrefix(kind, "starts") {
		ctx := c.Starting(context.Background())
		if err := c.Add(controller.WithCloser("opened", func() { fmt.Println("closed") })); err != nil {
			fmt.Println(err)
		}
		fmt.Println("opening")
		<-ctx.Done()
		fmt.Println("told:", context.Cause(ctx))
		if strings.Contains(kind, "hangs") {
			<-hang
		}
		c.Fail(context.Cause(ctx))
	}
	r := c.Run(context.Background())
	fmt.Println(r)
	if kind == "stays" {
		<-hang
	}
	return r.ExitCode()
}

// runAgain runs controllers one after the other and ends each with a signal. At the end
// that comes between two of them, until it has come in time: within 10 ms.
func runAgain() int {
	other := make(chan os.Signal, 8)
	run := func(kill func(*controller.Controller)) report.Report {
		s := newServer(newDiary(), "s", 20*time.Millisecond) // for longer than the signals are kept
		c, err := controller.New(lastcall.Budget{Total: 10 * time.Second, Reserve: time.Second}, withServer("s", s))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		kill(c)
		r := c.Run(context.Background())
		if code := r.ExitCode(); code != report.ExitOK {
			fmt.Println(r)
			os.Exit(code)
		}
		return r
	}
	self := func() { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM) }
	for range 20 {
		fmt.Println(run(func(c *controller.Controller) {
			go func() {
				<-c.Serving()
				self()
			}()
		}).CauseText)
	}
	signal.Notify(other, syscall.SIGTERM) // one that comes too late must not end the process
	for range 10 {
		for len(other) > 0 {
			<-other
		}
		r := run(func(c *controller.Controller) {
			self()
			<-other // now package os/signal has it
			time.AfterFunc(time.Second, func() { c.Shutdown(errAsked) })
		})
		if fmt.Println(r.CauseText); r.CauseText != errAsked.Error() {
			return report.ExitOK
		}
		run(func(c *controller.Controller) { c.Shutdown(nil) })
	}
	return 1
}

// process is a child, and what it has said.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Scanner
	all []string
}

func startChild(t *testing.T, kind string, terminal *os.File, args ...string) *process {
	t.Helper()
	if len(args) == 0 {
		args = []string{os.Args[0]}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // only a child that does not end is killed
	t.Cleanup(cancel)
	p := &process{t: t, cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	p.cmd.Env = append(os.Environ(), childVariable+"="+kind)
	if terminal != nil { // of a session of its own
		p.cmd.Stdin = terminal
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	return p
}

// hears reads what the child says until a line has that part, and reports whether one had.
func (p *process) hears(part string) bool {
	for p.out.Scan() {
		p.all = append(p.all, p.out.Text())
		if strings.Contains(p.out.Text(), part) {
			return true
		}
	}
	return false
}

// until reads what the child says until a line has that part.
func (p *process) until(part string) {
	p.t.Helper()
	if !p.hears(part) {
		p.t.Fatalf("the child never said %q:\n%s", part, strings.Join(p.all, "\n"))
	}
}

// inTime starts children until one has done within a time what the test asks of it: a machine
// that is too busy for that makes two requests of one, or has what hangs end.
func inTime(t *testing.T, limit time.Duration, start func() *process, do func(*process) string) *process {
	t.Helper()
	for try := 1; ; try++ {
		p := start()
		begun := time.Now()
		wrong := do(p)
		if took := time.Since(begun); took > limit && try < 20 {
			_ = p.cmd.Process.Kill()
			p.end()
			t.Logf("again: this took %v, for at most %v", took, limit)
			continue
		}
		if wrong != "" {
			t.Fatalf("the child never said %q:\n%s", wrong, strings.Join(p.all, "\n"))
		}
		return p
	}
}

// serving starts a child, and returns when it serves.
func serving(t *testing.T, kind string) func() *process {
	return func() *process {
		p := startChild(t, kind, nil)
		p.until("phase serve")
		return p
	}
}

// inOrder signals, each time until the child has said something.
func inOrder(steps ...any) func(*process) string {
	return func(p *process) string {
		for _, s := range steps {
			switch s := s.(type) {
			case syscall.Signal:
				_ = p.cmd.Process.Signal(s) // it may have ended, and then the next part is missing
			case time.Duration:
				time.Sleep(s)
			case string:
				if !p.hears(s) {
					return s
				}
			}
		}
		return ""
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// end waits for the child and returns how it ended and all that it said.
func (p *process) end() (syscall.WaitStatus, string) {
	p.t.Helper()
	for p.out.Scan() {
		p.all = append(p.all, p.out.Text())
	}
	_ = p.cmd.Wait() // its error repeats the state
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus), strings.Join(p.all, "\n")
}

func TestProcessSIGTERM(t *testing.T) {
	t.Parallel()
	p := startChild(t, "drains", nil)
	p.until("phase serve")
	p.signal(syscall.SIGTERM)
	status, said := p.end()
	if status.ExitStatus() != report.ExitOK || !strings.Contains(said, "SERVING -> GRACEFUL_SHUTDOWN -> TERMINATED") || !strings.Contains(said, "(signal: terminated)") {
		t.Errorf("exit status %d, having said\n%s", status.ExitStatus(), said)
	}
}

// sameRequest is for how long a signal repeats the trigger where Total is 10 minutes, and
// sameKey for how long it does after Ctrl-C or a force.
const (
	sameRequest = time.Second
	sameKey     = 50 * time.Millisecond
)

// A SIGINT forces when it is not the same request any more; the next one does what the
// platform does by default.
func TestProcessForced(t *testing.T) {
	t.Parallel()
	p := inTime(t, 2*sameRequest-sameRequest/10, serving(t, "hangs"), inOrder( // the first two within sameRequest, the last ones within Reserve
		syscall.SIGTERM, "phase drain", syscall.SIGINT, "signal: interrupt: the same request", sameRequest,
		syscall.SIGINT, "Force: signal: interrupt: Run returns by 2", "phase stop",
		syscall.SIGTERM, "signal: terminated: ", sameKey, syscall.SIGINT))
	status, said := p.end()
	if !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("it ended with %v (exit status %d), having said\n%s", status, status.ExitStatus(), said)
	}
}

// Forced, it ends within Reserve, and says what hangs. A signal that comes twice forces
// once.
func TestProcessForcedTwice(t *testing.T) {
	t.Parallel()
	start := func() *process {
		p := startChild(t, "hangs", nil)
		p.until("phase serve")
		p.signal(syscall.SIGTERM)
		p.until("phase drain")
		time.Sleep(sameRequest)
		return p
	}
	p := inTime(t, sameKey, start, inOrder(syscall.SIGINT, "Force: ", syscall.SIGINT, "signal: interrupt: the same request"))
	status, said := p.end()
	if status.ExitStatus() != report.ExitAbandoned || !strings.Contains(said, `GracefulStop "s" timed out`) || strings.Count(said, "Force: signal: interrupt") != 2 {
		t.Errorf("exit status %d, having said\n%s", status.ExitStatus(), said)
	}
}

// One request that arrives as two signals does not force; nor does a SIGTERM that comes
// later: of a preStop hook and then of kubelet.
func TestProcessOneRequest(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		send []any
		most time.Duration // for the second to be what it should be
		says string
	}{
		"SIGTERM and SIGINT": {send: []any{syscall.SIGTERM, "triggered: ", syscall.SIGINT, "signal: interrupt: the same request"}, most: sameRequest, says: "triggered: signal: terminated"},
		"SIGINT, forwarded":  {send: []any{syscall.SIGINT, "triggered: ", syscall.SIGINT, "signal: interrupt: the same request"}, most: sameRequest, says: "triggered: signal: interrupt"},
		"SIGTERM, later":     {send: []any{syscall.SIGTERM, "phase drain", sameRequest, syscall.SIGTERM, "signal: terminated: already shutting down: Run returns by 2"}, most: 2 * sameRequest, says: "exit code 0"},
		"timeout":            {args: []string{"timeout", "--preserve-status", "1.5", os.Args[0]}, most: time.Minute, says: "exit code 0"}, // its two may have become one
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.args != nil && exec.CommandContext(t.Context(), tt.args[0], "1", "true").Run() != nil {
				t.Skipf("no %s here", tt.args[0])
			}
			p := inTime(t, tt.most, func() *process {
				p := startChild(t, "works", nil, tt.args...)
				p.until("phase serve")
				return p
			}, inOrder(tt.send...))
			status, said := p.end()
			if status.ExitStatus() != report.ExitOK || !strings.Contains(said, tt.says) {
				t.Errorf("it ended with %v (exit status %d), having said\n%s", status, status.ExitStatus(), said)
			}
		})
	}
}

// With ForceOn a second SIGTERM forces.
func TestProcessForceOn(t *testing.T) {
	t.Parallel()
	p := startChild(t, "forces on SIGTERM", nil)
	p.until("phase serve")
	p.signal(syscall.SIGTERM)
	p.until("phase drain")
	time.Sleep(sameRequest)
	p.signal(syscall.SIGTERM)
	p.until("Force: signal: terminated")
	if status, said := p.end(); status.ExitStatus() != report.ExitInterrupted {
		t.Errorf("exit status %d, having said\n%s", status.ExitStatus(), said)
	}
}

// SIGHUP ends the process at any time, unless it is a trigger. nohup has it ignored, but
// not where it is a trigger.
func TestProcessHangup(t *testing.T) {
	t.Parallel()
	nohup := []string{"sh", "-c", `trap "" HUP; exec "$0"`, os.Args[0]}
	for name, tt := range map[string]struct {
		kind    string
		args    []string
		trigger syscall.Signal
		killed  bool
	}{
		"default":          {kind: "works", killed: true},
		"in the drain":     {kind: "works", trigger: syscall.SIGTERM, killed: true},
		"a trigger":        {kind: "hangup"},
		"nohup":            {kind: "works", args: nohup, trigger: syscall.SIGTERM},
		"nohup, a trigger": {kind: "hangup", args: nohup},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.killed && signal.Ignored(syscall.SIGHUP) {
				t.Skip("the tests themselves run under nohup")
			}
			p := startChild(t, tt.kind, nil, tt.args...)
			p.until("phase serve")
			if tt.trigger != 0 {
				p.signal(tt.trigger)
				p.until("phase drain")
			}
			p.signal(syscall.SIGHUP)
			status, said := p.end()
			switch {
			case tt.killed != status.Signaled() || tt.killed && status.Signal() != syscall.SIGHUP:
				t.Errorf("it ended with %v, having said\n%s", status, said)
			case !tt.killed && status.ExitStatus() != report.ExitOK, tt.kind == "hangup" && !strings.Contains(said, "(signal: hangup)"):
				t.Errorf("exit status %d, having said\n%s", status.ExitStatus(), said)
			}
		})
	}
}

// TestProcessNeverRuns: New leaves the signals to the platform, and no goroutine.
func TestProcessNeverRuns(t *testing.T) {
	t.Parallel()
	p := startChild(t, "never runs", nil)
	p.until("made, with 0 goroutines")
	p.signal(syscall.SIGTERM)
	if status, said := p.end(); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v (exit status %d), having said\n%s", status, status.ExitStatus(), said)
	}
}

// TestProcessSignalDuringStart: a signal that comes while the process opens what it
// needs is a shutdown like any other: what is open is closed, and nothing has failed.
func TestProcessSignalDuringStart(t *testing.T) {
	t.Parallel()
	p := startChild(t, "starts", nil)
	p.until("opening")
	p.signal(syscall.SIGTERM)
	status, said := p.end()
	for _, want := range []string{"told: signal: terminated", "phase start", "closed", "(signal: terminated)"} {
		if !strings.Contains(said, want) {
			t.Errorf("it has not said %q", want)
		}
	}
	if status.ExitStatus() != report.ExitOK || strings.Contains(said, "phase serve") {
		t.Errorf("exit status %d, having said\n%s", status.ExitStatus(), said)
	}
}

// During start-up signals mean the same, but one that would force ends a process whose
// start hangs. So does any one when the time of a whole shutdown is over.
func TestProcessSecondSignalDuringStart(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]syscall.Signal{"starts, hangs": syscall.SIGINT, "starts, hangs, short": syscall.SIGTERM} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := startChild(t, kind, nil)
			p.until("opening")
			first := time.Now()
			p.signal(syscall.SIGTERM)
			p.until("told: signal")
			if want == syscall.SIGINT {
				p.signal(os.Interrupt) // the same request
				time.Sleep(sameRequest)
				p.signal(syscall.SIGTERM) // does not force
				p.signal(os.Interrupt)
			} else {
				time.Sleep(300 * time.Millisecond)
				p.signal(syscall.SIGTERM)
			}
			status, said := p.end()
			if !status.Signaled() || status.Signal() != want {
				t.Errorf("it ended with %v, having said\n%s", status, said)
			}
			if took := time.Since(first); want == syscall.SIGINT && took < sameRequest {
				t.Errorf("a signal has ended it after %v", took)
			}
		})
	}
}

// TestProcessSignalAfterRun: when Run has returned, signals do again what the
// platform does by default.
func TestProcessSignalAfterRun(t *testing.T) {
	t.Parallel()
	p := startChild(t, "stays", nil)
	p.until("phase serve")
	p.signal(syscall.SIGTERM)
	p.until("exit code 0")
	p.signal(syscall.SIGTERM)
	status, said := p.end()
	if !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v, having said\n%s", status, said)
	}
}

// TestProcessRunsAgain: a program that runs one controller after the other gets each signal
// once, also those that come as the run before has just ended.
func TestProcessRunsAgain(t *testing.T) {
	t.Parallel()
	p := startChild(t, "runs again", nil)
	status, said := p.end()
	if status.ExitStatus() != report.ExitOK || strings.Count(said, "terminated") != 21 {
		t.Errorf("it ended with %v, having said\n%s", status, said)
	}
}

// TestProcessThirdParty: other code called signal.Notify, and is told of every signal,
// once, also of those for which lastcall no longer listens.
func TestProcessThirdParty(t *testing.T) {
	t.Parallel()
	p := inTime(t, 2500*time.Millisecond, serving(t, "third party"), inOrder( // of the last 2 s 1.5 s are left then
		syscall.SIGTERM, "third party told", "phase close", sameRequest,
		syscall.SIGINT, "Force: ", 10*sameKey, syscall.SIGINT)) // one that comes as the signals are given back is raised again
	status, said := p.end()
	if status.ExitStatus() != report.ExitStep || strings.Count(said, "third party told") != 3 {
		t.Errorf("it ended with status %d, having said\n%s", status.ExitStatus(), said)
	}
}

const ctrlC = "\x03"

// G4: a SIGINT typed at a terminal leaves settle out.
func TestProcessCtrlC(t *testing.T) {
	t.Parallel()
	terminal, typist := openTerminal(t)
	defer typist.Close()
	p := startChild(t, "settles", terminal)
	p.until("phase serve")
	if _, err := io.WriteString(typist, ctrlC); err != nil {
		t.Fatal(err)
	}
	status, said := p.end()
	if status.ExitStatus() != report.ExitOK || strings.Contains(said, "phase settle") {
		t.Errorf("exit status %d, having said\n%s", status.ExitStatus(), said)
	}
	if got := string(report.SettleTyped); got != "asked for at a terminal" {
		t.Errorf("the report says %q", got)
	}
}

// Typed twice, it forces.
func TestProcessCtrlCTwice(t *testing.T) {
	t.Parallel()
	terminal, typist := openTerminal(t)
	defer typist.Close()
	p := startChild(t, "hangs", terminal)
	p.until("phase serve")
	first := time.Now()
	_, _ = io.WriteString(typist, ctrlC)
	p.until("phase drain")
	time.Sleep(sameKey)
	_, _ = io.WriteString(typist, ctrlC)
	p.until("Force: ")
	if took := time.Since(first); took > sameRequest/2 {
		t.Logf("it took %v: this machine is busy", took)
	}
	if status, said := p.end(); status.ExitStatus() != report.ExitAbandoned {
		t.Errorf("exit status %d, having said\n%s", status.ExitStatus(), said)
	}
}

// There is a line each second although nothing changes: a person is waiting.
func TestProcessCtrlCProgress(t *testing.T) {
	t.Parallel()
	terminal, typist := openTerminal(t)
	defer typist.Close()
	p := startChild(t, "hangs", terminal)
	p.until("phase serve")
	_, _ = io.WriteString(typist, ctrlC)
	for range 3 {
		p.until("progress")
	}
	_, _ = io.WriteString(typist, ctrlC)
	p.until("Force: ")
	p.end()
}

// A SIGINT was not typed if the process is not in the foreground of its terminal, or if
// standard input is something else: a character device, too, as /dev/null is.
func TestProcessInterruptThatWasNotTyped(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"in the background":  {"sh", "-c", `set -m; "$0" & wait`, os.Args[0]},
		"from /dev/null":     {"sh", "-c", `exec "$0" </dev/null`, os.Args[0]},
		"typed, from a pipe": {"sh", "-c", `: | "$0"`, os.Args[0]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			terminal, typist := openTerminal(t)
			defer typist.Close()
			p := startChild(t, "settles", terminal, args...)
			p.until("pid ")
			var pid int
			if _, err := fmt.Sscan(strings.TrimPrefix(p.all[len(p.all)-1], "pid "), &pid); err != nil {
				t.Fatal(err)
			}
			p.until("phase serve")
			if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			p.until("phase settle")
			time.Sleep(sameRequest)
			if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			p.until("Force: ")
			_, said := p.end()
			// The drain takes no time: its end and the force may come in either order.
			if !strings.Contains(said, "exit code 5") && !strings.Contains(said, "exit code 0") {
				t.Errorf("it has said\n%s", said)
			}
		})
	}
}

// openTerminal returns the two ends of a new pseudo-terminal.
func openTerminal(t *testing.T) (terminal, typist *os.File) {
	t.Helper()
	typist, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	var number, unlock int32
	for _, request := range []struct {
		code uintptr
		arg  *int32
	}{{syscall.TIOCSPTLCK, &unlock}, {syscall.TIOCGPTN, &number}} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, typist.Fd(), request.code, uintptr(unsafe.Pointer(request.arg))); errno != 0 {
			t.Skipf("no pseudo-terminals here: %v", errno)
		}
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { terminal.Close() })
	end := typist
	go func() { _, _ = io.Copy(io.Discard, end) }()
	return terminal, typist
}

// Signals that the runtime sends to itself, or never hands over, are none to wait for.
func TestSignalsOfTheRuntime(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGURG, 32, 33, 34, syscall.SIGSTOP} {
		_, err := controller.New(budget, controller.WithSignals(s, syscall.SIGTERM))
		if err == nil || !strings.Contains(err.Error(), s.String()+" cannot be caught") {
			t.Errorf("%v: %v", s, err)
		}
	}
}
