package proptest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// adversaryWorld has servers, workers, hooks, observers and loggers that behave in every
// way that user code can, on their own and together.
type adversaryWorld struct {
	*actor
	plan *adversaries
}

// adversaries is everything about an adversaryWorld that was drawn.
type adversaries struct {
	budget     Budget
	runAt      time.Duration // when Run is called
	servers    []serverPlan
	workers    []workerPlan
	announcers []stepPlan
	closers    []stepPlan // in the order in which they are closed
	flushers   []stepPlan
	observers  []observerPlan
	logger     bool
	log        observerPlan
	asks       []askPlan
}

type serverPlan struct {
	Name                     string
	Last, Bare, Closure      bool
	Elsewhere                bool          // Serve says that another goroutine serves
	Accepts                  time.Duration // when it accepts work, since it was served; negative: never
	After                    []string
	Attach, Serve, Announce  conduct
	Graceful, Cancel         conduct
	Stop, Cut                conduct
	Connections              int  // how many Cut closes
	Idle                     bool // it says that only idle peers hold it
	InFlight, Notes, Arrival conduct
	Arrivals                 []time.Duration // since the beginning
}

type workerPlan struct {
	WaitsForClaim, EndsProcess bool
	After                      []string
	How                        conduct
}

type stepPlan struct {
	How      conduct
	Timeout  time.Duration // 0: none
	Together bool          // of a closer: with the one before it
}

// observerPlan behaves from its nth step on.
type observerPlan struct {
	From int
	How  conduct
}

// askPlan is a request to shut down.
type askPlan struct {
	At   time.Duration
	What string
	To   time.Duration // of shorten: how much later the deadline is
}

// DrawAdversaries draws a world of fakes that do what they like.
func DrawAdversaries(t *rapid.T) Plan {
	p := &adversaries{budget: drawBudget(t)}
	total := p.budget.Total
	if rapid.IntRange(0, 4).Draw(t, "runs late") == 0 {
		p.runAt = drawTime(t, "run at", total)
	}
	drawQuiet(t, &p.budget)
	for i := range rapid.IntRange(0, 3).Draw(t, "servers") {
		p.servers = append(p.servers, p.drawServer(t, name("s", i), false))
	}
	for i := range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "lasts") {
		p.servers = append(p.servers, p.drawServer(t, name("last", i), true))
	}
	anyManner := []manner{returns, fails, panics, goexits, hangs, obeys, badText}
	for i := range rapid.IntRange(0, 2).Draw(t, "workers") {
		label := name("worker", i)
		w := workerPlan{
			WaitsForClaim: rapid.Bool().Draw(t, label+" waits"),
			How:           drawConduct(t, label, total, obeys, anyManner...),
		}
		if rapid.IntRange(0, 3).Draw(t, label+" ends the process") == 0 {
			w.EndsProcess = true
			if rapid.Bool().Draw(t, label+" returns early") {
				w.How = conduct{manner: returns, after: drawTime(t, label+" returns at", total)}
			}
		}
		for _, s := range p.servers {
			if !s.Last && rapid.IntRange(0, 3).Draw(t, label+" after "+s.Name) == 0 {
				w.After = append(w.After, s.Name)
			}
		}
		p.workers = append(p.workers, w)
	}
	steps := func(kind string, n int, limit time.Duration) (plans []stepPlan) {
		for i := range rapid.IntRange(0, n).Draw(t, kind+"s") {
			label := name(kind, i)
			s := stepPlan{How: drawConduct(t, label, limit, returns, anyManner...)}
			if rapid.IntRange(0, 3).Draw(t, label+" has a timeout") == 0 {
				s.Timeout = unit * time.Duration(rapid.IntRange(1, min(10, int(total/unit))).Draw(t, label+" timeout"))
			}
			s.Together = kind == "closer" && i > 0 && rapid.IntRange(0, 2).Draw(t, label+" is closed with the one before") == 0
			plans = append(plans, s)
		}
		return plans
	}
	p.announcers = steps("announcer", 2, total/5)
	p.closers = steps("closer", 4, total/4)
	p.flushers = steps("flusher", 2, total/4)
	observer := func(label string, others ...manner) observerPlan {
		return observerPlan{rapid.IntRange(1, 8).Draw(t, label+" from"), drawConduct(t, label, total/10, returns, others...)}
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "observers") {
		p.observers = append(p.observers, observer(name("observer", i), panics, goexits, hangs))
	}
	if p.logger = rapid.Bool().Draw(t, "logs"); p.logger {
		p.log = observer("log", panics, goexits, hangs)
	}
	asks := []string{"signal", "signal", "interrupt", "interrupt", "shorten", "shutdown", "context", "force", "hostile", "fail"}
	p.asks = drawAsks(t, rapid.IntRange(0, 3).Draw(t, "asks"), total, 2*total, 2*total, asks)
	return p
}

// World makes the world, in a bubble.
func (p *adversaries) World() World { return &adversaryWorld{newActor(len(p.asks)), p} }

// drawAsks draws so many asks, and one more that makes sure that the run ends.
func drawAsks(t *rapid.T, n int, total, limit, last time.Duration, what []string) (all []askPlan) {
	all = []askPlan{{At: drawTime(t, "last ask at", last), What: rapid.SampledFrom([]string{"signal", "interrupt", "shutdown"}).Draw(t, "last ask")}}
	for i := range n {
		one := askPlan{At: drawTime(t, name("ask", i)+" at", limit), What: rapid.SampledFrom(what).Draw(t, name("ask", i))}
		if rapid.Bool().Draw(t, name("ask", i)+" follows another") { // on both sides of each limit
			w := window(total)
			one.At = all[rapid.IntRange(0, i).Draw(t, name("ask", i)+" follows")].At +
				rapid.SampledFrom([]time.Duration{0, time.Millisecond, w - 1, w, w + 1, 2 * w}).Draw(t, name("ask", i)+" after")
		}
		if one.What == "shorten" {
			one.To = drawTime(t, name("ask", i)+" to", total) + unit/3
		}
		all = append(all, one)
	}
	return all
}

// window is for how long a signal repeats the trigger.
func window(total time.Duration) time.Duration { return min(time.Second, total/10) }

func name(kind string, i int) string { return fmt.Sprintf("%s%d", kind, i) }

// drawServer draws a server, or one that stops last.
func (p *adversaries) drawServer(t *rapid.T, label string, last bool) serverPlan {
	total := p.budget.Total
	serves, drains := total/2, total
	if last {
		serves, drains = total, total/10
	}
	ill := []manner{returns, panics, goexits, hangs}
	s := serverPlan{
		Name: label, Last: last,
		Bare:        rapid.IntRange(0, 2).Draw(t, label+" bare") == 0 && p.budget.Quiet == 0 && !last,
		Accepts:     rapid.SampledFrom([]time.Duration{0, 0, 0, 0, 0, unit, 3 * unit, 10 * unit, -1}).Draw(t, label+" accepts"),
		Elsewhere:   rapid.IntRange(0, 4).Draw(t, label+" elsewhere") == 0,
		Attach:      drawConduct(t, label+" attach", 0, returns, panics, goexits, hangs),
		Serve:       drawConduct(t, label+" serve", serves, yields, yields, fails, panics, goexits, returns, hangs, badText),
		Announce:    drawConduct(t, label+" announce", total/5, returns, fails, panics, goexits, hangs, obeys, badText),
		Graceful:    drawConduct(t, label+" graceful", drains, returns, yields, yields, panics, goexits, hangs),
		Cancel:      drawConduct(t, label+" cancel", total/10, returns, panics, goexits, hangs, obeys, obeys, waits, waits),
		Stop:        drawConduct(t, label+" stop", total/10, returns, ill...),
		Cut:         drawConduct(t, label+" cut", total/10, returns, ill...),
		Connections: rapid.IntRange(0, 1).Draw(t, label+" connections"),
		Idle:        rapid.Bool().Draw(t, label+" idle"),
		InFlight:    drawConduct(t, label+" in flight", total/10, returns, ill...),
		Notes:       drawConduct(t, label+" notes", total/10, returns, ill...),
	}
	s.Closure = s.Bare && rapid.Bool().Draw(t, label+" closure")
	if s.Serve.manner == yields {
		s.Serve.after = 0
	}
	if last {
		return s
	}
	if p.budget.Quiet > 0 {
		s.Arrival = drawConduct(t, label+" arrival", p.budget.Quiet, returns, ill...)
		for j := range rapid.IntRange(0, 8).Draw(t, label+" arrivals") {
			at := drawTime(t, name(label+" arrival ", j), 2*total)
			if rapid.Bool().Draw(t, name(label+" arrival off the grid ", j)) {
				at += unit / 4
			}
			s.Arrivals = append(s.Arrivals, at)
		}
	}
	for _, front := range p.servers {
		if rapid.IntRange(0, 3).Draw(t, label+" after "+front.Name) == 0 {
			s.After = append(s.After, front.Name)
		}
	}
	return s
}

// Setup returns what the plan registers.
func (w *adversaryWorld) Setup() *Setup {
	s := &Setup{Budget: w.plan.budget}
	for _, p := range w.plan.servers {
		f := newFake(w.actor, p)
		one := Server{Name: p.Name, After: p.After, Last: p.Last, Bare: p.Bare, server: f}
		if p.Closure {
			one.Serve = f.Serve
		}
		s.Servers = append(s.Servers, one)
	}
	for i, p := range w.plan.workers {
		s.Workers = append(s.Workers, Worker{name("worker", i), p.After, p.EndsProcess, func(claim, work context.Context) error {
			if p.WaitsForClaim {
				w.anyOf(claim.Done())
			}
			return w.act(work, p.How)
		}})
	}
	dep := func(kind string, i int, p stepPlan) Dep {
		return Dep{name(kind, i), p.Timeout, func(ctx context.Context) error { return w.act(ctx, p.How) }}
	}
	for i, p := range w.plan.announcers {
		s.Announcers = append(s.Announcers, dep("announcer", i, p))
	}
	s.Closers = groups(w.plan.closers, dep)
	for i, p := range w.plan.flushers {
		s.Flushers = append(s.Flushers, dep("flusher", i, p))
	}
	for i, p := range w.plan.observers {
		quick := p.How.after == 0 && p.How.manner != hangs && p.How.callback != callWait
		n := 0
		s.Observers = append(s.Observers, Observer{name("observer", i), quick, func(Step) {
			if n++; n >= p.From {
				_ = w.act(context.Background(), p.How)
			}
		}})
	}
	if w.plan.logger {
		s.Writer = &fakeWriter{w: w.actor, plan: w.plan.log}
	}
	return s
}

// groups returns closers in their groups.
func groups(closers []stepPlan, dep func(kind string, i int, p stepPlan) Dep) (all [][]Dep) {
	for i, p := range closers {
		if !p.Together {
			all = append(all, nil)
		}
		last := &all[len(all)-1]
		*last = append(*last, dep("closer", i, p))
	}
	return all
}

// Begin starts the timers of all requests to shut down, and returns the context for Run
// when it is time to call it.
func (w *adversaryWorld) Begin(ctl *Controller) context.Context {
	ctx := w.begin(ctl, w.plan.asks)
	time.Sleep(w.plan.runAt)
	return ctx
}

// Arrivals returns when work came to the servers.
func (w *adversaryWorld) Arrivals() (all []time.Time) {
	for _, s := range w.plan.servers {
		if !s.Last && !s.Bare {
			for _, after := range s.Arrivals {
				all = append(all, w.made.Add(after))
			}
		}
	}
	return all
}

func (p *adversaries) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v, Run at %v, asks %+v\n", p.budget, p.runAt, p.asks)
	for _, s := range p.servers {
		fmt.Fprintf(&b, "%+v\n", s)
	}
	fmt.Fprintf(&b, "workers %+v\nannouncers %+v\nclosers %+v\nflushers %+v\nobservers %+v\nlogger %v %+v\n",
		p.workers, p.announcers, p.closers, p.flushers, p.observers, p.logger, p.log)
	return b.String()
}
