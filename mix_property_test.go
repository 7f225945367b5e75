package lastcall_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"

	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall/controller"
)

// mixCost is how many checks of the other properties take as long as one of mixes.
const mixCost = 2

// TestPropertyMixes: whole processes, of any mixture of real gRPC and HTTP servers, a
// server of a protocol of its own, tasks in the background, workers, closers, flushers
// and an admin server that is Last, with real clients. As one is as dear as two of the
// others, half as many are checked.
func TestPropertyMixes(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	n, err := strconv.Atoi(checks.Value.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := checks.Value.Set(strconv.Itoa(max(1, n/mixCost))); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = checks.Value.Set(strconv.Itoa(n)) }()
	rapid.Check(t, func(t *rapid.T) {
		m := drawMix(t)
		rapid.SyncTest(t, func(t *rapid.T) { m.run(t) })
	})
}

// The kinds of servers.
const (
	grpcKind = "grpc"
	httpKind = "http"
	rawKind  = "raw"
	taskKind = "tasks"
)

// mix is everything about a process that was drawn.
type mix struct {
	budget   lastcall.Budget
	servers  []mixServer
	jobs     []mixJob
	workers  []mixWorker
	closers  []time.Duration // how long each takes, in the order in which they are closed
	together []bool          // by closer: at the same time as the one before it
	flushers []time.Duration
	admin    bool
	visits   []mixVisit // to the admin server
	asks     []ask
}

type mixServer struct {
	kind, name string
	behind     []string
	shaking    time.Duration // how long a handshake may take once the drain has begun
	waits      bool          // grpc.WaitForHandlers
}

// How clients speak.
const (
	overH1   = "h1"   // an http.Client that keeps connections
	overH2C  = "h2c"  // the same with HTTP/2
	overConn = "conn" // a connection of its own, kept until the server closes it
	overGRPC = "grpc"
	inside   = "inside" // a handler of this process
)

// More kinds of jobs: see obeying, stuck, drained, endless.
const (
	silent  = "silent"  // a connection on which nothing is ever said
	gateway = "gateway" // an HTTP request whose handler makes an RPC
	shuts   = "shuts"   // its handler asks for the shutdown, and then obeys
	hijack  = "hijack"  // its handler takes the connection over, obeys, and closes it
	held    = "held"    // the same, but a goroutine has it, which the request's context does not reach
)

// mixJob is one thing that a client asks for.
type mixJob struct {
	server int // its place among the servers
	over   string
	client int
	kind   string
	at     time.Duration // when the client begins; of overConn when it connects
	speaks time.Duration // of overConn: how long after that it asks
	slow   time.Duration // of a rawKind: how long it takes to ask
	takes  time.Duration
	rpc    int           // of a gateway: which job is its RPC
	task   time.Duration // how long the task takes that its handler begins; negative: it begins none
	tough  bool          // the task ignores its context
}

type mixWorker struct {
	kind  string // obeying: goes on for a time after its claim has ended; stuck: ignores both contexts; breaks: fails
	takes time.Duration
}

const breaks = "breaks"

// mixVisit is a request to the admin server.
type mixVisit struct{ at, takes time.Duration }

func drawMix(t *rapid.T) mix {
	m := mix{budget: drawBudget(t)}
	if settle := int(m.budget.Settle / unit); settle > 0 && rapid.Bool().Draw(t, "is quiet") {
		m.budget.Quiet = unit * time.Duration(rapid.IntRange(1, settle).Draw(t, "quiet"))
		if rapid.Bool().Draw(t, "settles at least") {
			m.budget.MinSettle = unit * time.Duration(rapid.IntRange(1, settle).Draw(t, "min settle"))
		}
	}
	m.drawServers(t)
	m.drawJobs(t)
	total := m.budget.Total
	for i := range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "workers") {
		label := fmt.Sprintf("worker %d ", i)
		m.workers = append(m.workers, mixWorker{
			kind:  rapid.SampledFrom([]string{obeying, obeying, obeying, obeying, stuck, breaks}).Draw(t, label+"kind"),
			takes: drawTime(t, label+"takes", total),
		})
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "closers") {
		label := fmt.Sprintf("closer %d ", i)
		m.closers = append(m.closers, drawTime(t, label+"takes", m.budget.Reserve/2))
		m.together = append(m.together, i > 0 && rapid.IntRange(0, 2).Draw(t, label+"is closed with the one before") == 0)
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "flushers") {
		m.flushers = append(m.flushers, drawTime(t, fmt.Sprintf("flusher %d takes", i), m.budget.Reserve/2))
	}
	m.admin = rapid.Bool().Draw(t, "admin")
	if m.admin {
		for i := range rapid.IntRange(0, 3).Draw(t, "visits") {
			label := fmt.Sprintf("visit %d ", i)
			v := mixVisit{at: drawTime(t, label+"at", 2*total)}
			if rapid.IntRange(0, 2).Draw(t, label+"takes time") == 0 {
				v.takes = drawTime(t, label+"takes", total) + unit/4
			}
			m.visits = append(m.visits, v)
		}
	}
	for i := range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "asks") {
		m.asks = append(m.asks, ask{
			at:   drawTime(t, fmt.Sprintf("ask %d at", i), 2*total),
			what: rapid.SampledFrom([]string{"signal", "signal", "shutdown", "context", "force"}).Draw(t, fmt.Sprintf("ask %d", i)),
		})
	}
	m.asks = append(m.asks, ask{at: drawTime(t, "last ask at", total), what: rapid.SampledFrom([]string{"signal", "shutdown"}).Draw(t, "last ask")})
	return m
}

// drawServers draws the servers: those in front first.
func (m *mix) drawServers(t *rapid.T) {
	add := func(kind string, most int) {
		for i := range rapid.IntRange(0, most).Draw(t, kind+" servers") {
			s := mixServer{kind: kind, name: kind + strconv.Itoa(i)}
			for _, front := range m.servers {
				// Tasks outlive the handlers that begin them, and RPCs may come from the gateways.
				must := kind == taskKind || kind == grpcKind && front.kind == httpKind
				if must || rapid.IntRange(0, 5).Draw(t, s.name+" behind "+front.name) == 0 {
					s.behind = append(s.behind, front.name)
				}
			}
			s.shaking = unit * time.Duration(rapid.IntRange(1, 10).Draw(t, s.name+" handshake time"))
			s.waits = kind == grpcKind && rapid.Bool().Draw(t, s.name+" waits for handlers")
			m.servers = append(m.servers, s)
		}
	}
	add(httpKind, 2)
	add(grpcKind, 2)
	add(rawKind, 1)
	add(taskKind, 1)
}

// first returns the place of the first server of a kind, or -1.
func (m *mix) first(kind string) int {
	return slices.IndexFunc(m.servers, func(s mixServer) bool { return s.kind == kind })
}

func (m *mix) drawJobs(t *rapid.T) {
	var asked []int // the servers that clients know
	for i, s := range m.servers {
		if s.kind != taskKind {
			asked = append(asked, i)
		}
	}
	if len(asked) == 0 {
		return
	}
	total := m.budget.Total
	for i := range rapid.IntRange(0, 8).Draw(t, "jobs") {
		label := fmt.Sprintf("job %d ", i)
		j := mixJob{
			server: rapid.SampledFrom(asked).Draw(t, label+"server"),
			at:     drawTime(t, label+"at", 3*total/2),
			takes:  drawTime(t, label+"takes", total),
			rpc:    -1, task: -1,
		}
		kinds := []string{obeying, obeying, obeying, stuck, silent}
		j.over = overConn
		switch m.servers[j.server].kind {
		case grpcKind:
			j.over, j.client = overGRPC, rapid.IntRange(0, 1).Draw(t, label+"client")
			kinds = []string{obeying, obeying, stuck, drained, endless, silent, shuts}
		case httpKind:
			j.over = rapid.SampledFrom([]string{overH1, overH1, overH2C, overH2C, overConn}).Draw(t, label+"over")
			kinds = []string{obeying, obeying, stuck, drained, endless, gateway, gateway, shuts}
			if j.over == overConn {
				kinds = []string{obeying, obeying, stuck, drained, silent, hijack, held}
			}
			if m.first(grpcKind) < 0 {
				kinds = slices.DeleteFunc(kinds, func(k string) bool { return k == gateway })
			}
		}
		j.kind = rapid.SampledFrom(kinds).Draw(t, label+"kind")
		if j.over == overConn && j.kind != silent && rapid.Bool().Draw(t, label+"is silent at first") {
			j.speaks = drawTime(t, label+"speaks after", 20*unit)
		}
		if m.servers[j.server].kind == rawKind && j.kind != silent && rapid.IntRange(0, 2).Draw(t, label+"asks slowly") == 0 {
			j.slow = drawTime(t, label+"asks for", 10*unit)
		}
		if m.first(taskKind) >= 0 && rapid.IntRange(0, 3).Draw(t, label+"begins a task") == 0 && j.kind != silent && j.kind != hijack && j.kind != held {
			j.task = drawTime(t, label+"task takes", total)
			j.tough = rapid.IntRange(0, 3).Draw(t, label+"task ignores its context") == 0
		}
		if j.kind == gateway {
			j.rpc = len(m.jobs)
			m.jobs = append(m.jobs, mixJob{server: m.first(grpcKind), over: inside, kind: obeying, takes: j.takes, rpc: -1, task: -1})
		}
		m.jobs = append(m.jobs, j)
	}
}

// options are those that New is given.
func (m *mix) options(w *mixWorld, signals <-chan os.Signal) []controller.Option {
	opts := []controller.Option{controller.WithSignalChannel(signals)}
	for i, s := range m.servers {
		var more []controller.ServerOption
		if len(s.behind) > 0 {
			more = append(more, controller.Behind(s.behind...))
		}
		server, serve := w.build(i)
		if serve != nil {
			more = append(more, controller.Serving(serve))
		}
		opts = append(opts, controller.WithServer(s.name, server, more...))
	}
	if m.admin {
		opts = append(opts, controller.WithServer(adminName, w.buildAdmin(), controller.Last()))
	}
	for i, p := range m.workers {
		opts = append(opts, controller.WithWorker(name(i), func(claim, work context.Context) error { return w.toil(claim, work, i, p) }))
	}
	step := func(who string, takes time.Duration) func() {
		return func() {
			w.note(who, "begin")
			w.visit(mixVisit{}, who)
			time.Sleep(takes)
			w.note(who, "return")
		}
	}
	// The last one registered is closed first.
	var groups [][]controller.Option
	for i, takes := range m.closers {
		opt := controller.WithCloser(name(i), step("closer "+name(i), takes))
		if m.together[i] {
			groups[len(groups)-1] = append(groups[len(groups)-1], opt)
		} else {
			groups = append(groups, []controller.Option{opt})
		}
	}
	for _, group := range slices.Backward(groups) {
		opts = append(opts, controller.Together(group...))
	}
	for i, takes := range m.flushers {
		opts = append(opts, controller.WithFlusher(name(i), step("flusher "+name(i), takes)))
	}
	return opts
}

var errBroken = errors.New("broken")

func (m *mix) run(t *rapid.T) {
	w := newMixWorld(*m)
	signals := make(chan os.Signal, len(m.asks))
	ctl, err := controller.New(m.budget, m.options(w, signals)...)
	if err != nil {
		t.Fatal(err)
	}
	w.ctl = ctl
	ctx, cancel := context.WithCancel(context.Background())
	o := &mixOracle{mix: *m, w: w, begun: time.Now()}
	defer func() {
		cancel()
		w.close()
		time.Sleep(10 * m.budget.Total) // the bubble ends when every handler, worker and closer has
		synctest.Wait()
		if !t.Failed() {
			if left := aliveIn(module + "/"); left > 0 {
				t.Errorf("G10: %d goroutines are alive although nothing hangs any more", left)
			}
		}
	}()
	for _, a := range m.asks {
		time.AfterFunc(a.at, func() {
			switch a.what {
			case "signal":
				signals <- syscall.SIGTERM
				w.signalled()
			case "shutdown":
				w.shutdown(errAsked)
			case "context":
				w.triggered(time.Now())
				cancel()
			case "force":
				w.force()
			}
		})
	}
	w.begin()
	o.report = ctl.Run(ctx)
	o.end = time.Now()
	synctest.Wait()
	o.aliveAbove = aliveIn(module + "/controller.")
	o.aliveBelow = aliveIn(module+"/") - o.aliveAbove
	o.results, o.conns, o.toils, o.visits, o.ready = w.take()
	t.Log(o)
	o.check(t)
}
