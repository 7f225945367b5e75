package proptest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// The kinds of servers.
const (
	grpcKind = "grpc"
	httpKind = "http"
	rawKind  = "raw"   // a protocol of lines, with package drain
	taskKind = "tasks" // no server, but work in the background, with package drain
)

// How clients speak.
const (
	overH1   = "h1"   // an http.Client that keeps connections
	overH2C  = "h2c"  // the same with HTTP/2
	overConn = "conn" // a connection of its own, kept until the server closes it
	overGRPC = "grpc"
	inside   = "inside" // a handler of this process
)

// What clients ask for.
const (
	obeying  = "obeying"  // a handler that takes its time, and ends with its context
	stuck    = "stuck"    // one that ignores its context
	drained  = "drained"  // a stream that runs until the drain begins, and then for its time
	endless  = "endless"  // a stream that ends with its context only
	trickles = "trickles" // a stream whose client reads slowly
	silent   = "silent"   // a connection on which nothing is ever said
	watches  = "watches"  // a health Watch, whose client does not leave when it is told NOT_SERVING
	gateway  = "gateway"  // an HTTP request whose handler makes an RPC
	shuts    = "shuts"    // its handler asks for the shutdown, and then obeys
	hijack   = "hijack"   // its handler takes the connection over, obeys, and closes it
	held     = "held"     // the same, but a goroutine has it, which the request's context does not reach
	breaks   = "breaks"   // of a worker: it fails
)

// realPlan is everything about a world of real servers that was drawn.
type realPlan struct {
	budget   Budget
	servers  []realServer // those in front first
	jobs     []job
	workers  []toil
	closers  []stepPlan // in the order in which they are closed
	flushers []stepPlan
	admin    bool // there is an admin server, which stops last
	visits   []visit
	asks     []askPlan
}

type realServer struct {
	Kind, Name string
	After      []string
	Handshake  time.Duration // how long a handshake may take once the drain has begun
	Spread     time.Duration // over which endless streams are ended
	Waits      bool          // grpc.WaitForHandlers
	Contexts   bool          // grpcadapter.WithUnaryContexts
}

// job is one thing that a client asks for.
type job struct {
	Server     int // its place among the servers
	Over, Kind string
	Client     int
	At         time.Duration // when the client begins; of overConn when it connects
	Speaks     time.Duration // of overConn: how long after that it asks
	Slow       time.Duration // of a rawKind: how long it takes to ask
	Takes      time.Duration
	RPC        int           // of a gateway: which job is its RPC
	Task       time.Duration // how long the task takes that its handler begins; negative: it begins none
	Tough      bool          // the task ignores its context
}

// toil is a worker.
type toil struct {
	Kind  string // obeying: goes on for a time after its claim has ended; stuck: ignores both contexts; breaks
	Takes time.Duration
}

// visit is a request to the admin server.
type visit struct{ At, Takes time.Duration }

// DrawGRPC draws a world of one real gRPC server with peers of every kind.
func DrawGRPC(t *rapid.T) Plan {
	p := &realPlan{budget: drawBudget(t)}
	drawQuiet(t, &p.budget)
	p.drawServer(t, grpcKind, 0)
	if rapid.IntRange(0, 2).Draw(t, "spreads") == 0 {
		p.servers[0].Spread = drawTime(t, "spread", p.budget.Total)
	}
	p.drawJobs(t, 9, 2*p.budget.Total, []string{obeying, obeying, stuck, drained, endless, trickles, silent, watches})
	p.closers = drawSteps(t, "closer", 1, p.budget.Total)
	p.asks = []askPlan{{At: drawTime(t, "signal at", 2*p.budget.Total), What: "signal"}}
	if rapid.IntRange(0, 3).Draw(t, "forces") == 0 {
		p.asks = append(p.asks, askPlan{
			At:   p.asks[0].At + drawTime(t, "force after", p.budget.Total),
			What: rapid.SampledFrom([]string{"interrupt", "force", "shorten"}).Draw(t, "force"),
			To:   drawTime(t, "shorten to", p.budget.Total/2) + unit/3,
		})
	}
	return p
}

// DrawMix draws a world of any mixture of real gRPC and HTTP servers, a server of a
// protocol of its own, tasks in the background, workers, closers, flushers and an admin
// server.
func DrawMix(t *rapid.T) Plan {
	p := &realPlan{budget: drawBudget(t)}
	drawQuiet(t, &p.budget)
	total := p.budget.Total
	for _, s := range []struct {
		kind string
		most int
	}{{httpKind, 2}, {grpcKind, 2}, {rawKind, 1}, {taskKind, 1}} {
		for i := range rapid.IntRange(0, s.most).Draw(t, s.kind+" servers") {
			p.drawServer(t, s.kind, i)
		}
	}
	p.drawJobs(t, 8, 3*total/2, nil)
	for i := range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "workers") {
		p.workers = append(p.workers, toil{
			rapid.SampledFrom([]string{obeying, obeying, obeying, obeying, stuck, breaks}).Draw(t, name("worker", i)),
			drawTime(t, name("worker", i)+" takes", total),
		})
	}
	p.closers = drawSteps(t, "closer", 3, p.budget.Reserve/2)
	p.flushers = drawSteps(t, "flusher", 2, p.budget.Reserve/2)
	p.admin = rapid.Bool().Draw(t, "admin")
	if p.admin {
		for i := range rapid.IntRange(0, 3).Draw(t, "visits") {
			v := visit{At: drawTime(t, name("visit", i)+" at", 2*total)}
			if rapid.IntRange(0, 2).Draw(t, name("visit", i)+" takes time") == 0 {
				v.Takes = drawTime(t, name("visit", i)+" takes", total) + unit/4
			}
			p.visits = append(p.visits, v)
		}
	}
	p.asks = drawAsks(t, rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "asks"), total, 2*total, total, []string{"signal", "interrupt", "shutdown", "context", "force", "shorten"})
	return p
}

// drawSteps draws steps that take their time, and no more.
func drawSteps(t *rapid.T, kind string, most int, limit time.Duration) (all []stepPlan) {
	for i := range rapid.IntRange(0, most).Draw(t, kind+"s") {
		all = append(all, stepPlan{
			How:      conduct{manner: returns, after: drawTime(t, name(kind, i)+" takes", limit)},
			Together: i > 0 && kind == "closer" && rapid.IntRange(0, 2).Draw(t, name(kind, i)+" is closed with the one before") == 0,
		})
	}
	return all
}

func (p *realPlan) drawServer(t *rapid.T, kind string, i int) {
	s := realServer{Kind: kind, Name: name(kind, i)}
	for _, front := range p.servers {
		// Tasks outlive the handlers that begin them, and RPCs may come from the gateways.
		must := kind == taskKind || kind == grpcKind && front.Kind == httpKind
		if must || rapid.IntRange(0, 5).Draw(t, s.Name+" after "+front.Name) == 0 {
			s.After = append(s.After, front.Name)
		}
	}
	s.Handshake = unit * time.Duration(rapid.IntRange(1, 10).Draw(t, s.Name+" handshake time"))
	if kind == rawKind {
		s.Handshake = time.Second // as package drain has it
	}
	s.Waits = kind == grpcKind && rapid.Bool().Draw(t, s.Name+" waits for handlers")
	s.Contexts = kind == grpcKind && rapid.Bool().Draw(t, s.Name+" has contexts")
	p.servers = append(p.servers, s)
}

// first returns the place of the first server of a kind, or -1.
func (p *realPlan) first(kind string) int {
	return slices.IndexFunc(p.servers, func(s realServer) bool { return s.Kind == kind })
}

// drawJobs draws what clients ask for; of gRPC servers these kinds, if there are any.
func (p *realPlan) drawJobs(t *rapid.T, most int, until time.Duration, rpcs []string) {
	asked := slices.DeleteFunc(slices.Clone(p.servers), func(s realServer) bool { return s.Kind == taskKind })
	if len(asked) == 0 {
		return
	}
	for i := range rapid.IntRange(0, most).Draw(t, "jobs") {
		label := name("job", i) + " "
		j := job{
			Server: rapid.IntRange(0, len(asked)-1).Draw(t, label+"server"), // tasks come last
			At:     drawTime(t, label+"at", until),
			Takes:  drawTime(t, label+"takes", p.budget.Total),
			Over:   overConn, RPC: -1, Task: -1,
		}
		kinds := []string{obeying, obeying, obeying, stuck, silent}
		switch p.servers[j.Server].Kind {
		case grpcKind:
			j.Over, j.Client = overGRPC, rapid.IntRange(0, 2).Draw(t, label+"client")
			kinds = []string{obeying, obeying, stuck, drained, endless, trickles, silent, shuts}
			if rpcs != nil {
				kinds = rpcs
			}
		case httpKind:
			j.Over = rapid.SampledFrom([]string{overH1, overH1, overH2C, overH2C, overConn}).Draw(t, label+"over")
			kinds = []string{obeying, obeying, stuck, drained, endless, gateway, gateway, shuts}
			if j.Over == overConn {
				kinds = []string{obeying, obeying, stuck, drained, silent, hijack, held}
			}
			if p.first(grpcKind) < 0 {
				kinds = slices.DeleteFunc(kinds, func(k string) bool { return k == gateway })
			}
		}
		j.Kind = rapid.SampledFrom(kinds).Draw(t, label+"kind")
		if j.Kind == silent {
			j.Over = overConn
		}
		if j.Over == overConn && j.Kind != silent && rapid.Bool().Draw(t, label+"is silent at first") {
			j.Speaks = drawTime(t, label+"speaks after", 20*unit)
		}
		if p.servers[j.Server].Kind == rawKind && j.Kind != silent && rapid.IntRange(0, 2).Draw(t, label+"asks slowly") == 0 {
			j.Slow = drawTime(t, label+"asks for", 10*unit)
		}
		if p.first(taskKind) >= 0 && !slices.Contains([]string{silent, hijack, held, trickles}, j.Kind) && rapid.IntRange(0, 3).Draw(t, label+"begins a task") == 0 {
			j.Task = drawTime(t, label+"task takes", p.budget.Total)
			j.Tough = rapid.IntRange(0, 3).Draw(t, label+"task ignores its context") == 0
		}
		if j.Kind == gateway {
			j.RPC = len(p.jobs)
			p.jobs = append(p.jobs, job{Server: p.first(grpcKind), Over: inside, Kind: obeying, Takes: j.Takes, RPC: -1, Task: -1})
		}
		p.jobs = append(p.jobs, j)
	}
}

func (p *realPlan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v, asks %+v\n", p.budget, p.asks)
	for _, s := range p.servers {
		fmt.Fprintf(&b, "%+v\n", s)
	}
	for i, j := range p.jobs {
		fmt.Fprintf(&b, "job%d of %s: %+v\n", i, p.servers[j.Server].Name, j)
	}
	fmt.Fprintf(&b, "workers %+v\nclosers %+v\nflushers %+v\nadmin %v, visits %+v\n", p.workers, p.closers, p.flushers, p.admin, p.visits)
	return b.String()
}
