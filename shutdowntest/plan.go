package shutdowntest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall"
)

// plan is what a check does: who asks for the shutdown, and which clients there are.
// Instants are thousandths: of the calm before the trigger (negative), and of Total after
// it.
type plan struct {
	budget  lastcall.Budget
	trigger trigger
	more    []again
	clients []clientPlan
	peers   []peer
	watch   bool // a client watches grpc.health.v1
	phase   int  // how much later the trigger comes, in thousandths of the calm: periodic work is elsewhere then
	claimed bool // the trigger comes when work has been claimed
	late    time.Duration
	own     bool // the budget is the service's
}

// trigger is what begins the shutdown.
type trigger string

// The triggers; the simplest one first, for shrinking.
const (
	byShutdown trigger = "Shutdown"
	byStop     trigger = "the stop function"
	bySignal   trigger = "SIGTERM"
	byContext  trigger = "the end of Run's context"
	byFail     trigger = "Fail"
	byWorker   trigger = "a worker that fails"
	byForce    trigger = "Force"
	early      trigger = "Shutdown before Run"
)

// again is what happens after the trigger.
type again struct {
	What string
	At   int
}

// What may happen again. A repeated signal comes right after the first one, as from a
// wrapper that passes it on; an impatient one comes later, and forces.
const (
	repeatTERM = "SIGTERM right again"
	repeatINT  = "SIGINT right after"
	laterTERM  = "SIGTERM again"
	laterINT   = "SIGINT, which may force"
	laterForce = "Force"
	laterAsk   = "Shutdown again"
	laterCut   = "Shorten, to half of what is left"
)

// temper is how a client behaves.
type temper string

// The tempers.
const (
	normal   temper = "normal"
	slow     temper = "slow"
	deaf     temper = "deaf from the trigger on"
	vanishes temper = "vanishing"
)

type clientPlan struct {
	Load   int
	name   string // of the load
	Temper temper
	Calls  []int
	Leaves int // when a vanishing client closes its connection
}

// peer connects and says nothing, or not all of it.
type peer struct {
	Listener string
	Says     string
	At       int
}

// drawPlan draws one check.
func (k *kit) drawPlan(t *rapid.T) *plan {
	p := &plan{trigger: byStop}
	if k.build != nil {
		p.trigger = rapid.SampledFrom([]trigger{byShutdown, byShutdown, bySignal, bySignal, byContext, byFail, byWorker, byForce, byForce, early}).Draw(t, "trigger")
		p.more = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) again {
			return again{
				rapid.SampledFrom([]string{laterAsk, repeatTERM, repeatINT, laterTERM, laterINT, laterCut, laterForce}).Draw(t, "what"),
				rapid.IntRange(200, 1000).Draw(t, "at"),
			}
		}), 0, 2).Draw(t, "then")
	}
	if p.late = k.pace().late; k.budget != nil {
		p.budget, p.own = *k.budget, true
	} else {
		p.budget = drawBudget(t, k.real != "")
	}
	peers := rapid.Bool().Draw(t, "peers") // without them a drain ends as soon as it can
	least := 0
	if k.real != "" { // there are few checks: each has calls
		least = 1
	}
	for i, l := range k.loads {
		if l.probe != "" {
			continue
		}
		clients := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) clientPlan {
			return clientPlan{
				Load:   i,
				name:   l.name,
				Temper: rapid.SampledFrom([]temper{normal, normal, normal, slow, deaf, vanishes}).Draw(t, "temper"),
				Calls:  rapid.SliceOfN(drawInstant(), 1, 4).Draw(t, "calls"),
				Leaves: drawInstant().Draw(t, "leaves"),
			}
		}), least, 3).Draw(t, l.name)
		p.clients = append(p.clients, clients...)
		if !peers {
			continue
		}
		p.peers = append(p.peers, rapid.SliceOfN(rapid.Custom(func(t *rapid.T) peer {
			return peer{
				l.listener,
				rapid.SampledFrom([]string{"", "GET / HTTP/1.1\r\nHo", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "x"}).Draw(t, "says"),
				drawInstant().Draw(t, "at"),
			}
		}), 1, 1).Draw(t, "peer of "+l.name)...)
	}
	p.watch = rapid.Bool().Draw(t, "watch health")
	p.phase, p.claimed = rapid.IntRange(0, 1000).Draw(t, "phase"), rapid.Bool().Draw(t, "claimed")
	return p
}

// drawInstant draws before, around and after the trigger, and as the drain begins, or right
// before either: what is under way then, such as a job of which a call was the reason, is not
// done when closers run.
func drawInstant() *rapid.Generator[int] {
	return rapid.OneOf(rapid.IntRange(-1000, -1), rapid.IntRange(-100, 250), rapid.IntRange(0, 1100), rapid.IntRange(-10, 0), rapid.Just(atDrain), rapid.IntRange(atDrain-20, atDrain))
}

// atDrain is the instant in which the drain begins, if settle is not ended early; up to 20
// less is so many milliseconds before it.
const atDrain = 1 << 20

func drawBudget(t *rapid.T, quick bool) lastcall.Budget {
	unit := 100 * time.Millisecond
	if quick {
		unit = 10 * time.Millisecond
	}
	b := lastcall.Budget{
		Reserve: time.Duration(rapid.IntRange(10, 50).Draw(t, "reserve")) * unit,
		Settle:  time.Duration(rapid.IntRange(0, 50).Draw(t, "settle")) * unit,
	}
	b.Total = b.Reserve + b.Settle + time.Duration(rapid.IntRange(20, 200).Draw(t, "drain"))*unit
	return b
}

// at returns the instant that a number of thousandths stands for.
func (s *seen) at(n int, budget lastcall.Budget) time.Time {
	switch {
	case n >= atDrain-20:
		return s.planned.Add(budget.Settle - time.Duration(atDrain-n)*time.Millisecond)
	case n < 0:
		return s.planned.Add(time.Duration(n) * s.calm / 1000)
	}
	return s.planned.Add(time.Duration(n) * budget.Total / 1000)
}

// GoString says what was asked: rapid prints it.
func (p *plan) GoString() string {
	var b strings.Builder
	fmt.Fprintf(&b, "what was asked:\n  %s (Env.Budget: total %v, settle %v, reserve %v)\n", p.trigger, p.budget.Total, p.budget.Settle, p.budget.Reserve)
	for _, m := range p.more {
		fmt.Fprintf(&b, "  then %s\n", m.What)
	}
	for _, c := range p.clients {
		fmt.Fprintf(&b, "  a %s client of load %s\n", c.Temper, c.name)
	}
	return b.String()
}

func checksGiven() bool {
	return os.Getenv("RAPID_CHECKS") != "" || slices.ContainsFunc(os.Args, func(a string) bool { return strings.Contains(a, "rapid.checks") })
}
