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
	case "third party":
		other := make(chan os.Signal, 8)
		signal.Notify(other, syscall.SIGTERM)
		go func() {
			for range other {
				fmt.Println("third party told")
			}
		}()
		opts = append(opts, controller.WithCloser("c", func() { <-hang }))
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
	if kind == "starts" || kind == "starts, hangs" {
		ctx := c.Starting(context.Background())
		if err := c.Add(controller.WithCloser("opened", func() { fmt.Println("closed") })); err != nil {
			fmt.Println(err)
		}
		fmt.Println("opening")
		<-ctx.Done()
		fmt.Println("told:", context.Cause(ctx))
		if kind == "starts, hangs" {
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

func startChild(t *testing.T, kind string, stdin *os.File) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // only a child that does not end is killed
	t.Cleanup(cancel)
	p := &process{t: t, cmd: exec.CommandContext(ctx, os.Args[0])}
	p.cmd.Env = append(os.Environ(), childVariable+"="+kind)
	if stdin != nil {
		p.cmd.Stdin = stdin
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

// until reads what the child says until a line has that part.
func (p *process) until(part string) {
	p.t.Helper()
	for p.out.Scan() {
		p.all = append(p.all, p.out.Text())
		if strings.Contains(p.out.Text(), part) {
			return
		}
	}
	p.t.Fatalf("the child never said %q:\n%s", part, strings.Join(p.all, "\n"))
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

// TestProcessSecondAndThirdSIGTERM: the second forces; the third does what the
// platform does by default, and ends the process.
func TestProcessSecondAndThirdSIGTERM(t *testing.T) {
	t.Parallel()
	p := startChild(t, "hangs", nil)
	p.until("phase serve")
	p.signal(syscall.SIGTERM)
	p.until("phase drain")
	p.signal(syscall.SIGTERM)
	p.until("phase stop")
	p.signal(syscall.SIGTERM)
	status, said := p.end()
	if !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v (exit status %d), having said\n%s", status, status.ExitStatus(), said)
	}
}

// TestProcessSecondSIGTERM: forced, it ends within Reserve, and says what hangs.
func TestProcessSecondSIGTERM(t *testing.T) {
	t.Parallel()
	p := startChild(t, "hangs", nil)
	p.until("phase serve")
	p.signal(syscall.SIGTERM)
	p.until("phase drain")
	p.signal(syscall.SIGTERM)
	status, said := p.end()
	if status.ExitStatus() != report.ExitAbandoned || !strings.Contains(said, `GracefulStop "s" timed out`) {
		t.Errorf("exit status %d, having said\n%s", status.ExitStatus(), said)
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

// TestProcessSecondSignalDuringStart: within a second a further one is the same request;
// after that it ends a process whose start hangs.
func TestProcessSecondSignalDuringStart(t *testing.T) {
	t.Parallel()
	p := startChild(t, "starts, hangs", nil)
	p.until("opening")
	first := time.Now()
	p.signal(syscall.SIGTERM)
	p.until("told: signal")
	over := make(chan struct{})
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error: it has ended
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	}()
	status, said := p.end()
	close(over)
	if !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v, having said\n%s", status, said)
	}
	if took := time.Since(first); took < time.Second {
		t.Errorf("a signal has ended it after %v", took)
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

// TestProcessThirdParty: somebody else called signal.Notify, and is told of every
// signal, also of the one after which lastcall no longer listens.
func TestProcessThirdParty(t *testing.T) {
	t.Parallel()
	p := startChild(t, "third party", nil)
	p.until("phase serve")
	p.signal(syscall.SIGTERM)
	p.until("third party told")
	p.until("phase close")
	p.signal(syscall.SIGTERM)
	p.until("third party told")
	p.signal(syscall.SIGTERM)
	status, said := p.end()
	if status.ExitStatus() != report.ExitStep {
		t.Errorf("it ended with status %d, having said\n%s", status.ExitStatus(), said)
	}
}

// TestProcessCtrlC: a SIGINT typed at a terminal skips settle.
func TestProcessCtrlC(t *testing.T) {
	t.Parallel()
	terminal, typist := openTerminal(t)
	defer typist.Close()
	p := startChild(t, "settles", terminal)
	p.until("phase serve")
	p.signal(os.Interrupt)
	status, said := p.end()
	if status.ExitStatus() != report.ExitOK || strings.Contains(said, "phase settle") {
		t.Errorf("exit status %d, having said\n%s", status.ExitStatus(), said)
	}
}

// TestProcessInterruptWithoutTerminal: /dev/null is a character device, but nobody
// types there.
func TestProcessInterruptWithoutTerminal(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	p := startChild(t, "settles", null)
	p.until("phase serve")
	p.signal(os.Interrupt)
	p.until("phase settle")
	p.signal(os.Interrupt)
	status, said := p.end()
	// The drain takes no time: its end and the force may come in either order.
	if code := status.ExitStatus(); code != report.ExitForced && code != report.ExitOK {
		t.Errorf("exit status %d, having said\n%s", status.ExitStatus(), said)
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
