package drain_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
)

// usual is a budget without a settle: the drain begins with the trigger, and the
// timer fires 10 s after it.
var usual = lastcall.Budget{Total: 16 * time.Second, Reserve: 6 * time.Second}

const (
	usualTimer = 10 * time.Second
	fullCancel = time.Second // a sixth of the reserve: Cancel waits that long for work that goes on
	grace      = 10 * time.Millisecond
)

var errAsked = errors.New("asked for")

// running is a controller that runs.
type running struct {
	*controller.Controller
	report report.Report
	took   time.Duration // from the trigger
	done   chan struct{}
	asked  time.Time
}

// begin runs a controller with the group, and waits until it serves.
func begin(t *testing.T, g *drain.Group, b lastcall.Budget) *running {
	t.Helper()
	return beginWith(t, b, controller.WithServer("g", g))
}

func beginWith(t *testing.T, b lastcall.Budget, opts ...controller.Option) *running {
	t.Helper()
	ready := make(chan struct{})
	ctl, err := controller.New(b, append(opts, controller.WithSignals(),
		controller.WithObserver("ready", func(s report.Step) {
			if s.Kind == report.KindPhase && s.Phase == lastcall.PhaseServe {
				close(ready)
			}
		}))...)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Controller: ctl, done: make(chan struct{})}
	go func() {
		r.report = ctl.Run(context.Background())
		r.took = r.report.Took()
		close(r.done)
	}()
	<-ready
	return r
}

// trigger asks for the shutdown.
func (r *running) trigger() {
	r.asked = time.Now()
	r.Shutdown(errAsked)
}

// wait waits for the end and checks what holds for every shutdown.
func (r *running) wait(t *testing.T) report.Report {
	t.Helper()
	<-r.done
	if r.report.Ended.After(r.report.Deadline) {
		t.Errorf("Run returned %v after the deadline", r.report.Ended.Sub(r.report.Deadline))
	}
	addUp(t, r.report.Work)
	return r.report
}

// shutdown is trigger and wait.
func (r *running) shutdown(t *testing.T) report.Report {
	t.Helper()
	r.trigger()
	return r.wait(t)
}

func addUp(t *testing.T, work []lastcall.Work) {
	t.Helper()
	for _, w := range work {
		if w.Kind != lastcall.WorkCall && w.Before+w.Arrived != w.Completed+w.Cancelled+w.Cut+w.Running {
			t.Errorf("the numbers do not add up: %+v", w)
		}
	}
}

// wantWork compares what is known of names, leaving out Server, Oldest and Peer.
func wantWork(t *testing.T, got []lastcall.Work, want ...lastcall.Work) {
	t.Helper()
	got = slices.Clone(got)
	for i := range got {
		got[i].Server, got[i].Oldest, got[i].Peer, got[i].Slowest = "", time.Time{}, "", [3]lastcall.EndedWork{}
	}
	if !slices.Equal(got, want) {
		t.Errorf("work\n%+v, want\n%+v", got, want)
	}
}

func wantOutcome(t *testing.T, r report.Report, want report.Outcome, exit int) {
	t.Helper()
	if r.Outcome != want || r.ExitCode() != exit {
		t.Errorf("outcome %v, exit code %d; want %v, %d\n%v", r.Outcome, r.ExitCode(), want, exit, r)
	}
}

func wantNotes(t *testing.T, r report.Report, want ...string) {
	t.Helper()
	var got []string
	for _, n := range r.Notes {
		got = append(got, n.Text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("notes %q, want %q", got, want)
	}
}

// bubble runs a test in virtual time, and checks in the end that no goroutine of the
// package is left. What was given to later is done before that.
func bubble(t *testing.T, f func(t *testing.T, later func(func()))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var ends []func()
		defer func() {
			slices.Reverse(ends)
			for _, end := range ends {
				end()
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if left := alive(); len(left) > 0 {
				t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
			}
		}()
		f(t, func(end func()) { ends = append(ends, end) })
	})
}

var bubbleName = regexp.MustCompile(`synctest bubble \d+`)

// alive returns the goroutines of this bubble that lastcall has started.
func alive() []string {
	buf := make([]byte, 1<<20)
	stacks := bytes.Split(buf[:runtime.Stack(buf, true)], []byte("\n\n"))
	own := append(bubbleName.Find(stacks[0]), "]:\n"...)
	var left []string
	for _, stack := range stacks {
		if bytes.Contains(stack, own) && bytes.Contains(stack, []byte("created by github.com/lastcall-go/lastcall/")) &&
			!bytes.Contains(stack, []byte("created by github.com/lastcall-go/lastcall/drain_test.")) {
			left = append(left, string(stack))
		}
	}
	return left
}

// pipes is a listener in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, errors.New("some text")
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (p *pipes) dial() net.Conn {
	server, client := net.Pipe()
	p.conns <- server
	return client
}

// echo is a line-based server: it answers with the line, after as many seconds as
// the line's first digit says.
type echo struct {
	g       *drain.Group
	partial []string // what was half-read
	mu      sync.Mutex
	served  int
}

func (e *echo) accept(lis net.Listener) error {
	for {
		conn, err := lis.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		c, err := e.g.Watcher().WatchConn(context.Background(), "lines", conn)
		if err != nil {
			_ = conn.Close()
			continue
		}
		go e.serve(c)
	}
}

func (e *echo) serve(c *drain.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for r.Buffered() > 0 || c.Idle() {
		line, err := r.ReadString('\n')
		if err != nil {
			e.mu.Lock()
			if line != "" {
				e.partial = append(e.partial, line)
			}
			e.mu.Unlock()
			return
		}
		if d := line[0] - '0'; d <= 9 {
			select {
			case <-time.After(time.Duration(d) * time.Second):
			case <-c.Context().Done():
			}
		}
		if _, err := io.WriteString(c, line); err != nil {
			return
		}
		e.mu.Lock()
		e.served++
		e.mu.Unlock()
	}
}

// serveEcho runs an echo server in memory.
func serveEcho(t *testing.T, b lastcall.Budget) (*echo, *pipes, *running) {
	t.Helper()
	e, p := &echo{g: drain.New()}, newPipes()
	lis := e.g.Listen(p)
	r := beginWith(t, b, controller.WithServer("echo", e.g, controller.Serving(func() error { return e.accept(lis) }, nil)))
	return e, p, r
}

// client reads lines and notes when they came.
type client struct {
	net.Conn
	r *bufio.Reader
}

func newClient(c net.Conn) *client { return &client{c, bufio.NewReader(c)} }

func (c *client) ask(t *testing.T, line string) {
	t.Helper()
	c.send(t, line)
	if got := c.line(); got != line {
		t.Fatalf("%q was answered by %q", line, got)
	}
}

func (c *client) send(t *testing.T, text string) {
	t.Helper()
	put(t, c, text)
}

func put(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Error(err)
	}
}

// line returns the next line, or what came instead.
func (c *client) line() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return fmt.Sprintf("%s%v", line, err)
	}
	return line
}
