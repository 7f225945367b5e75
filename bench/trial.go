package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall/bench/child"
)

// patience bounds what happens before the signal.
const patience = 60 * time.Second

// trial is one child, from its start to its end.
type trial struct {
	spec    child.Spec
	addr    string
	cmd     *exec.Cmd
	ask     io.WriteCloser
	answers *json.Decoder
	events  *os.File
	log     bytes.Buffer
	exited  chan struct{} // closed when the process is over
	ended   time.Time     // when that was

	signalled time.Time // right before the first signal

	mu     sync.Mutex
	killed bool // by the bench, as it hung
	codes  map[string]int
	values map[string]float64
	calls  sync.WaitGroup // calls whose code is not counted yet
	undo   []func()       // closes the clients
}

// start starts a child.
func start(binary string, spec child.Spec, env []string) (*trial, error) {
	arg, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	t := &trial{spec: spec, exited: make(chan struct{}), codes: map[string]int{}, values: map[string]float64{}}
	if t.events, err = os.CreateTemp("", "bench-events-"); err != nil {
		return nil, err
	}
	t.undo = append(t.undo, func() { _ = t.events.Close(); _ = os.Remove(t.events.Name()) })
	answers, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = to.Close() }()
	t.undo = append(t.undo, func() { _ = answers.Close() })
	t.answers = json.NewDecoder(answers)
	t.cmd = exec.Command(binary, "-child", string(arg))
	t.cmd.Env = append(os.Environ(), env...)
	t.cmd.Stdout, t.cmd.Stderr = &t.log, &t.log
	t.cmd.ExtraFiles = []*os.File{to, t.events}
	if t.ask, err = t.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = t.cmd.Wait() // the exit code is in ProcessState
		t.ended = time.Now()
		close(t.exited)
	}()
	s, err := t.status("")
	if err != nil {
		t.kill()
		return nil, fmt.Errorf("%s: %w: %s", spec.Peer, err, t.log.String())
	}
	t.addr = s.Addr
	return t, nil
}

// status asks the child.
func (t *trial) status(question string) (s child.Status, err error) {
	if _, err := fmt.Fprintln(t.ask, question); err != nil {
		return s, err
	}
	return s, t.answers.Decode(&s)
}

// running waits until so many handlers run.
func (t *trial) running(n int) error {
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		s, err := t.status("")
		if err != nil || s.Running == n {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d handlers run", s.Running, n)
		}
	}
}

// seen waits until a handler runs, and reports whether one did before there was a code.
func (t *trial) seen(code chan string) (bool, error) {
	for {
		s, err := t.status("")
		if err != nil || s.Running > 0 {
			return true, err
		}
		if len(code) > 0 {
			return false, nil
		}
		time.Sleep(time.Millisecond)
	}
}

// memory sets the values heap and stack to what the child uses more than before, for each of n.
func (t *trial) memory(before child.Status, n int) error {
	s, err := t.status("memory")
	t.values["heap"] = (float64(s.Heap) - float64(before.Heap)) / float64(n)
	t.values["stack"] = (float64(s.Stack) - float64(before.Stack)) / float64(n)
	t.values["goroutines"] = float64(s.Goroutines-before.Goroutines) / float64(n)
	return err
}

// signal sends a signal.
func (t *trial) signal(s syscall.Signal) error {
	if t.signalled.IsZero() {
		t.signalled = time.Now()
	}
	return t.cmd.Process.Signal(s)
}

// force asks for a forced end.
func (t *trial) force() error {
	t.signalled = time.Now()
	_, err := fmt.Fprintln(t.ask, "force")
	return err
}

// opening waits until the child opens its dependencies.
func (t *trial) opening() error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if len(t.history()) > 0 {
			return nil
		}
	}
	return errors.New("the child opens nothing")
}

func (t *trial) history() (all []child.Event) {
	content, _ := os.ReadFile(t.events.Name())
	for in := bufio.NewScanner(bytes.NewReader(content)); in.Scan(); {
		var e child.Event
		if json.Unmarshal(in.Bytes(), &e) == nil {
			all = append(all, e)
		}
	}
	return all
}

func (t *trial) kill() {
	_ = t.cmd.Process.Kill()
	<-t.exited
}

// count counts a call's code.
func (t *trial) count(code string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.killed {
		code = "(none before it was killed)"
	}
	t.codes[code]++
}

// finish waits for the end of the process, for three seconds beyond its budget, and
// returns what was measured.
func (t *trial) finish() sample {
	hang := false
	select {
	case <-t.exited:
	case <-time.After(time.Until(t.signalled.Add(t.spec.Budget + 3*time.Second))):
		hang = true
		t.mu.Lock()
		t.killed = true
		t.mu.Unlock()
		t.kill()
	}
	all := make(chan struct{})
	go func() { t.calls.Wait(); close(all) }()
	select { // the process is gone, so its calls are over
	case <-all:
	case <-time.After(5 * time.Second):
		t.count("no answer")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := sample{Values: t.values, Codes: t.codes, Hang: hang, Left: -1}
	t.closers(&s)
	s.Line = bytes.Contains(t.log.Bytes(), []byte(child.LastLine))
	s.Exit = t.exit(hang)
	return s
}

// closers reads the events.
func (t *trial) closers(s *sample) {
	ms := func(at int64) float64 { return float64(at-t.signalled.UnixNano()) / 1e6 }
	returned := false
	for _, e := range t.history() {
		switch e.Kind {
		case "close":
			s.Closers = append(s.Closers, closing{Name: e.Name, At: ms(e.At), Under: e.N})
		case "left":
			s.Left = e.N
		case "returned":
			returned = true
			s.Values["return"] = ms(e.At)
			if e.End > 0 {
				s.Values["tail"] = float64(e.At-e.End) / 1e6
			}
			if e.Bound > 0 {
				s.Values["late"] = float64(e.At-e.Bound) / 1e6
			}
		}
	}
	if !returned && !s.Hang { // a panic, an os.Exit, a signal
		s.Values["return"] = ms(t.ended.UnixNano())
	}
	if at, ok := s.Values["return"]; ok {
		s.Values["past timer"] = at - float64(t.spec.Grace)/1e6
		if t.spec.Peer == "stop" { // it has no timer
			s.Values["past timer"] = at
		}
	}
}

// exit tells the end of the process.
func (t *trial) exit(hang bool) string {
	status, ok := t.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case hang:
		return "hang"
	case ok && status.Signaled():
		return status.Signal().String()
	case bytes.Contains(t.log.Bytes(), []byte("panic: ")) && t.cmd.ProcessState.ExitCode() == 2:
		return "panic"
	}
	return fmt.Sprint(t.cmd.ProcessState.ExitCode())
}

// done frees everything.
func (t *trial) done() {
	t.kill()
	for _, f := range t.undo {
		f()
	}
}
