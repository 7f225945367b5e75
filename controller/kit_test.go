package controller_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
)

var budget = lastcall.Budget{Total: 10 * time.Second, Settle: 2 * time.Second, Reserve: 4 * time.Second}

// diary is what happened, in order, with the virtual time since it was opened.
type diary struct {
	mu    sync.Mutex
	start time.Time
	lines []string
}

func newDiary() *diary { return &diary{start: time.Now()} }

func (d *diary) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line+" "+time.Since(d.start).String())
}

func (d *diary) want(t *testing.T, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.lines, want) {
		t.Errorf("it happened as\n\t%q\nwant\n\t%q", d.lines, want)
	}
}

// wantTies is want where what happens in the same instant may come in any order.
func (d *diary) wantTies(t *testing.T, want ...string) {
	t.Helper()
	d.mu.Lock()
	got := slices.Clone(d.lines)
	d.mu.Unlock()
	if !slices.Equal(sortTies(got), sortTies(want)) {
		t.Errorf("it happened as\n\t%q\nwant, in any order within an instant,\n\t%q", got, want)
	}
}

// sortTies sorts the lines that end with the same instant.
func sortTies(lines []string) []string {
	instant := func(line string) string { return line[strings.LastIndexByte(line, ' ')+1:] }
	for from := 0; from < len(lines); {
		to := from + 1
		for to < len(lines) && instant(lines[to]) == instant(lines[from]) {
			to++
		}
		slices.Sort(lines[from:to])
		from = to
	}
	return lines
}

// server serves until it is stopped, and drains for a while; zero functions are
// replaced by harmless ones. It accepts work at once, unless it has a channel that
// says when.
type server struct {
	accepting chan struct{}

	name     string
	d        *diary
	drain    time.Duration
	graceful func()
	stop     func()
	serve    func() error
	down     chan struct{}
	once     sync.Once
}

func newServer(d *diary, name string, drain time.Duration) *server {
	return &server{name: name, d: d, drain: drain, down: make(chan struct{})}
}

// always is the channel of what accepts work at once.
var always = func() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()

func (s *server) Accepting() <-chan struct{} {
	if s.accepting != nil {
		return s.accepting
	}
	return always
}

func (s *server) halt() { s.once.Do(func() { close(s.down) }) }

func (s *server) Serve() error {
	if s.serve != nil {
		return s.serve()
	}
	<-s.down
	return nil
}

func (s *server) GracefulStop() {
	s.d.note(s.name + " graceful")
	if s.graceful != nil {
		s.graceful()
	} else {
		select {
		case <-time.After(s.drain):
		case <-s.down:
		}
	}
	s.halt()
}

func (s *server) Stop() {
	s.d.note(s.name + " stop")
	if s.stop != nil {
		s.stop()
	}
	s.halt()
}

// full is a server that is a lastcall.FullServer, and has nothing to do in the phases
// between.
type full struct {
	*server
	lastcall.Unimplemented
}

// bare is a server with two methods.
type bare struct{ lastcall.Server }

// withServer registers a server: a *server as one with two methods, and what has more
// as what it is.
func withServer(name string, s lastcall.Server, opts ...controller.ServerOption) controller.Option {
	if s, ok := s.(*server); ok {
		return controller.WithServer(name, bare{s}, append(slices.Clip(opts), controller.Serving(s.Serve, s.Accepting()))...)
	}
	return controller.WithServer(name, s, opts...)
}

// withLast registers a server that stops last.
func withLast(name string, s lastcall.Server) controller.Option {
	if s, ok := s.(*server); ok {
		return controller.WithServer(name, lastcall.Last(&full{server: s}))
	}
	return controller.WithServer(name, lastcall.Last(s.(lastcall.FullServer)))
}

// bubble runs a test in virtual time. What hangs until it ends is let go then.
func bubble(t *testing.T, f func(t *testing.T, d *diary, hang func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		defer func() {
			close(over)
			time.Sleep(time.Hour) // lets what sleeps come to its end
		}()
		f(t, newDiary(), func() { <-over })
	})
}

// noSignals keeps package os/signal out of a bubble, where it does not work.
var noSignals = controller.WithSignals()

func mustNew(t *testing.T, b lastcall.Budget, opts ...controller.Option) *controller.Controller {
	t.Helper()
	c, err := controller.New(b, append(slices.Clip(opts), controller.WithoutStderr())...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// runAfter asks for the shutdown after some time, runs, and returns the report and
// how long after the trigger Run returned.
func runAfter(c *controller.Controller, after time.Duration) (report.Report, time.Duration) {
	asked := time.Now().Add(after)
	time.AfterFunc(after, func() { c.Shutdown(errAsked) })
	r := c.Run(context.Background())
	return r, time.Since(asked)
}

var errAsked = errors.New("asked for")

// step returns the call of that kind and name.
func step(t *testing.T, r report.Report, op report.Op, name string) report.Step {
	t.Helper()
	for _, s := range r.Steps {
		if s.Kind == report.KindCall && s.Op == op && s.Name == name {
			return s
		}
	}
	t.Fatalf("no step %s %q in\n%v", op, name, r)
	return report.Step{}
}

func hasPhase(r report.Report, p lastcall.Phase) bool {
	return slices.ContainsFunc(r.Steps, func(s report.Step) bool { return s.Kind == report.KindPhase && s.Phase == p })
}

func wantPath(t *testing.T, r report.Report, forced bool) {
	t.Helper()
	want := []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.Terminated}
	if forced {
		want = []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.TimerExpired, fsm.Terminated}
	}
	if !slices.Equal(r.Path, want) {
		t.Errorf("path %v, want %v", r.Path, want)
	}
}

func wantTook(t *testing.T, got, want time.Duration) {
	t.Helper()
	if got != want {
		t.Errorf("Run returned %v after the trigger, want %v", got, want)
	}
}

func wantExit(t *testing.T, r report.Report, want int) {
	t.Helper()
	if got := r.ExitCode(); got != want {
		t.Errorf("exit code %d, want %d\n%v", got, want, r)
	}
}

// sigterm sends what kubelet sends, on a channel of a test's own.
func sigterm(ch chan<- os.Signal) { ch <- syscall.SIGTERM }

var bubbleName = regexp.MustCompile(`synctest bubble \d+`)

// alive counts the goroutines of the controller in this bubble. All others must be
// blocked when it is called. (runtime.NumGoroutine would count those of tests
// before, too, which have ended only nearly.)
func alive() int {
	buf := make([]byte, 1<<20)
	stacks := bytes.Split(buf[:runtime.Stack(buf, true)], []byte("\n\n"))
	own := append(bubbleName.Find(stacks[0]), "]:\n"...) // the caller's stack comes first
	n := 0
	for _, stack := range stacks {
		if bytes.Contains(stack, own) && bytes.Contains(stack, []byte("created by github.com/lastcall-go/lastcall/controller.")) {
			n++
		}
	}
	return n
}
