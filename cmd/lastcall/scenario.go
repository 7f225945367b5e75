package main

import (
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// scenario is what goes wrong in a demo.
type scenario struct {
	name string
	says string // what happens, in one line
	exit int    // the code that the demo is expected to exit with

	trouble     string // the RPC that troublesome clients make, beside the usual ones
	silent      bool   // a peer of each replica connects and says nothing
	hungCloser  bool   // a closer never returns
	hungFlusher bool   // a flusher never returns
	interrupt   bool   // a SIGINT comes during the drain
}

// scenarios are all of them; the first is the default.
func scenarios() []scenario {
	return []scenario{
		{name: "drain", exit: report.ExitOK, says: "everything finishes in time, and no RPC is lost"},
		{name: "stream", exit: report.ExitInterrupted, says: "streams that never end: the timer fires", trouble: methodEndless},
		{name: "stuck", exit: report.ExitAbandoned, says: "a handler that ignores its context: it is abandoned", trouble: methodStuck},
		{name: "silent", exit: report.ExitOK, says: "a peer that connects and says nothing, as a port scanner: its connection is closed", silent: true},
		{name: "closer", exit: report.ExitStep, says: "a closer that hangs: it gets its share of the time, not more", hungCloser: true},
		{name: "signal", exit: report.ExitInterrupted, says: "streams that never end, and then a SIGINT, which forces", trouble: methodEndless, interrupt: true},
		{name: "deadline", exit: report.ExitAbandoned, says: "handler, closer and flusher hang: Run returns at the deadline", trouble: methodStuck, hungCloser: true, hungFlusher: true},
	}
}

func (s scenario) called() string { return s.name }

func scenarioNames() []string { return names(scenarios(), scenario.called) }

// drainTime is how long the drain may take until the timer fires, if settle takes
// all of its time.
func drainTime(b lastcall.Budget) time.Duration { return b.Total - b.Settle - b.Reserve }

// slowTime is how long a slow call takes: one that begins right before the
// shutdown ends some time into the drain; before the drain has closed the
// connections of silent peers, if there are any.
func (s scenario) slowTime(b lastcall.Budget) time.Duration {
	if s.silent {
		return b.Settle + min(drainTime(b)/10, 300*time.Millisecond)
	}
	return b.Settle + min(drainTime(b)/3, time.Second)
}

// interruptAfter is how long after the beginning of the drain the SIGINT comes: before
// the slow calls end, but not so soon after SIGTERM that it would be the same request.
func interruptAfter(b lastcall.Budget) time.Duration {
	return max(min(drainTime(b)/6, time.Second/2), min(b.Total/10, time.Second)-b.Settle)
}
