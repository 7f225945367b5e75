package lastcall_test

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"

	"pgregory.net/rapid"
)

// unit is the grid on which times are drawn, so that ties come often.
const unit = 100 * time.Millisecond

// scenario is everything about a run that was drawn.
type scenario struct {
	budget     lastcall.Budget
	runAt      time.Duration
	servers    []serverPlan
	lasts      []serverPlan // the servers that are Last
	workers    []workerPlan
	announcers []stepPlan
	closers    []stepPlan
	together   []bool // by closer: it is closed together with the one before it
	flushers   []stepPlan
	observers  []observerPlan
	logger     bool
	logFrom    int
	log        conduct
	asks       []ask
}

type serverPlan struct {
	bare                                                 bool // only GracefulStop and Stop
	closure                                              bool // bare, but with Serving
	elsewhere                                            bool // Serve says that somebody else serves
	behind                                               []string
	attach, serve, announce, graceful, cancel, stop, cut conduct
	connections                                          int // how many Cut closes
	inFlight, notes, arrival                             conduct
	arrivals                                             []time.Duration // since the beginning
}

type workerPlan struct {
	waitsForClaim bool
	endsProcess   bool
	how           conduct
}

type stepPlan struct {
	how     conduct
	timeout time.Duration // 0: none
}

// observerPlan behaves from its nth step on.
type observerPlan struct {
	from int
	how  conduct
}

// ask is somebody who asks for a shutdown.
type ask struct {
	at   time.Duration
	what string
}

func name(i int) string { return string(rune('a' + i)) }

// lastName names a server that is Last.
func lastName(i int) string { return string(rune('y' + i)) }

// plan returns what was drawn for the server with a name.
func (s scenario) plan(server string) serverPlan {
	if server >= lastName(0) {
		return s.lasts[server[0]-'y']
	}
	return s.servers[server[0]-'a']
}

// all returns the servers that are not Last and those that are, by name.
func (s scenario) all() iter.Seq2[string, serverPlan] {
	return func(yield func(string, serverPlan) bool) {
		for i, p := range s.servers {
			if !yield(name(i), p) {
				return
			}
		}
		for i, p := range s.lasts {
			if !yield(lastName(i), p) {
				return
			}
		}
	}
}

// groups returns the closers in the order in which they are closed: those of a group at
// the same time.
func (s scenario) groups() [][]int {
	var all [][]int
	for i := range s.closers {
		if s.together[i] {
			all[len(all)-1] = append(all[len(all)-1], i)
		} else {
			all = append(all, []int{i})
		}
	}
	slices.Reverse(all)
	return all
}

func drawTime(t *rapid.T, label string, limit time.Duration) time.Duration {
	return unit * time.Duration(rapid.IntRange(0, int(limit/unit)).Draw(t, label))
}

func drawBudget(t *rapid.T) lastcall.Budget {
	total := rapid.IntRange(2, 60).Draw(t, "total")
	reserve := rapid.IntRange(1, total-1).Draw(t, "reserve")
	settle := 0
	if rapid.Bool().Draw(t, "settles") {
		settle = rapid.IntRange(0, total-reserve-1).Draw(t, "settle")
	}
	return lastcall.Budget{Total: unit * time.Duration(total), Settle: unit * time.Duration(settle), Reserve: unit * time.Duration(reserve)}
}

// drawConduct draws mostly what is harmless: two adversaries hide each other.
func drawConduct(t *rapid.T, label string, limit time.Duration, usual manner, others ...manner) conduct {
	c := conduct{manner: usual}
	if rapid.IntRange(0, 3).Draw(t, label+" is odd") == 0 {
		c.manner = rapid.SampledFrom(others).Draw(t, label)
	}
	if rapid.Bool().Draw(t, label+" takes time") {
		c.after = drawTime(t, label+" time", limit)
	}
	if rapid.IntRange(0, 7).Draw(t, label+" calls back") == 0 {
		c.callback = callback(rapid.IntRange(int(callShutdown), int(callRunAdd)).Draw(t, label+" callback"))
	}
	return c
}

func drawScenario(t *rapid.T) scenario {
	s := scenario{budget: drawBudget(t)}
	total := s.budget.Total
	if rapid.IntRange(0, 4).Draw(t, "runs late") == 0 {
		s.runAt = drawTime(t, "run at", total)
	}
	if settle := int(s.budget.Settle / unit); settle > 0 && rapid.Bool().Draw(t, "is quiet") {
		s.budget.Quiet = unit * time.Duration(rapid.IntRange(1, settle).Draw(t, "quiet"))
		if rapid.Bool().Draw(t, "settles at least") {
			s.budget.MinSettle = unit * time.Duration(rapid.IntRange(1, settle).Draw(t, "min settle"))
		}
	}
	anyManner := []manner{returns, fails, panics, goexits, hangs, obeys, badText}
	for i := range rapid.IntRange(0, 3).Draw(t, "servers") {
		label := "server " + name(i)
		p := serverPlan{
			bare:        rapid.IntRange(0, 2).Draw(t, label+" bare") == 0,
			elsewhere:   rapid.IntRange(0, 4).Draw(t, label+" elsewhere") == 0,
			attach:      drawConduct(t, label+" attach", 0, returns, panics, goexits, hangs),
			serve:       drawConduct(t, label+" serve", total/2, yields, yields, fails, panics, goexits, returns, hangs, badText),
			announce:    drawConduct(t, label+" announce", total/5, returns, anyManner...),
			graceful:    drawConduct(t, label+" graceful", total, returns, yields, yields, panics, goexits, hangs),
			cancel:      drawConduct(t, label+" cancel", total/10, returns, panics, goexits, hangs, obeys, obeys, waits, waits),
			stop:        drawConduct(t, label+" stop", total/10, returns, panics, goexits, hangs),
			cut:         drawConduct(t, label+" cut", total/10, returns, panics, goexits, hangs),
			connections: rapid.IntRange(0, 1).Draw(t, label+" connections"),
			inFlight:    drawConduct(t, label+" in flight", total/10, returns, panics, goexits, hangs),
			notes:       drawConduct(t, label+" notes", total/10, returns, panics, goexits, hangs),
		}
		if s.budget.Quiet > 0 {
			p.arrival = drawConduct(t, label+" arrival", s.budget.Quiet, returns, panics, goexits, hangs)
			for j := range rapid.IntRange(0, 8).Draw(t, label+" arrivals") {
				at := drawTime(t, fmt.Sprintf("%s arrival %d", label, j), 2*total)
				if rapid.Bool().Draw(t, fmt.Sprintf("%s arrival %d is off the grid", label, j)) {
					at += unit / 4
				}
				p.arrivals = append(p.arrivals, at)
			}
		}
		p.closure = p.bare && rapid.Bool().Draw(t, label+" closure")
		if p.serve.manner == yields {
			p.serve.after = 0
		}
		for j := range i {
			if rapid.IntRange(0, 3).Draw(t, label+" behind "+name(j)) == 0 {
				p.behind = append(p.behind, name(j))
			}
		}
		s.servers = append(s.servers, p)
	}
	for i := range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "lasts") {
		label := "last " + lastName(i)
		p := serverPlan{
			bare:      rapid.IntRange(0, 2).Draw(t, label+" bare") == 0,
			elsewhere: rapid.IntRange(0, 4).Draw(t, label+" elsewhere") == 0,
			attach:    drawConduct(t, label+" attach", 0, returns, panics, goexits, hangs),
			serve:     drawConduct(t, label+" serve", total, yields, yields, yields, fails, panics, goexits, returns, hangs, badText),
			announce:  drawConduct(t, label+" announce", total/5, returns, anyManner...),
			graceful:  drawConduct(t, label+" graceful", total/10, returns, yields, yields, panics, goexits, hangs),
			stop:      drawConduct(t, label+" stop", total/10, returns, panics, goexits, hangs),
		}
		if rapid.Bool().Draw(t, label+" is off the grid") { // 100 ms are one unit
			p.graceful.after += unit / 4
		}
		p.closure = p.bare && rapid.Bool().Draw(t, label+" closure")
		if p.serve.manner == yields {
			p.serve.after = 0
		}
		s.lasts = append(s.lasts, p)
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "workers") {
		label := "worker " + name(i)
		p := workerPlan{
			waitsForClaim: rapid.Bool().Draw(t, label+" waits"),
			how:           drawConduct(t, label, total, obeys, anyManner...),
		}
		if rapid.IntRange(0, 3).Draw(t, label+" ends the process") == 0 {
			p.endsProcess = true
			if rapid.Bool().Draw(t, label+" returns early") {
				p.how = conduct{manner: returns, after: drawTime(t, label+" returns at", total)}
			}
		}
		s.workers = append(s.workers, p)
	}
	steps := func(kind string, n int, limit time.Duration) []stepPlan {
		var plans []stepPlan
		for i := range rapid.IntRange(0, n).Draw(t, kind+"s") {
			label := fmt.Sprintf("%s %d", kind, i)
			p := stepPlan{how: drawConduct(t, label, limit, returns, anyManner...)}
			if rapid.IntRange(0, 3).Draw(t, label+" has a timeout") == 0 {
				p.timeout = unit * time.Duration(rapid.IntRange(1, 10).Draw(t, label+" timeout"))
			}
			plans = append(plans, p)
		}
		return plans
	}
	s.announcers = steps("announcer", 2, total/5)
	s.closers = steps("closer", 4, total/4)
	for i := range s.closers {
		s.together = append(s.together, i > 0 && rapid.IntRange(0, 2).Draw(t, fmt.Sprintf("closer %d is closed with the one before", i)) == 0)
	}
	s.flushers = steps("flusher", 2, total/4)
	for i := range rapid.IntRange(0, 2).Draw(t, "observers") {
		label := fmt.Sprintf("observer %d", i)
		s.observers = append(s.observers, observerPlan{
			from: rapid.IntRange(1, 8).Draw(t, label+" from"),
			how:  drawConduct(t, label, total/10, returns, panics, goexits, hangs),
		})
	}
	s.logger = rapid.Bool().Draw(t, "logs")
	if s.logger {
		s.logFrom = rapid.IntRange(1, 8).Draw(t, "log from")
		s.log = drawConduct(t, "log", total/10, returns, panics, goexits, hangs)
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "asks") {
		s.asks = append(s.asks, ask{
			at:   drawTime(t, fmt.Sprintf("ask %d at", i), 2*total),
			what: rapid.SampledFrom([]string{"signal", "signal", "shutdown", "context", "force", "hostile", "fail"}).Draw(t, fmt.Sprintf("ask %d", i)),
		})
	}
	// The last one makes sure that the run comes to an end.
	s.asks = append(s.asks, ask{at: drawTime(t, "last ask at", 2*total), what: rapid.SampledFrom([]string{"signal", "shutdown"}).Draw(t, "last ask")})
	return s
}
