package controller

import (
	"errors"
	"fmt"
	"github.com/lastcall-go/lastcall"
	"math"
	"strings"
	"text/tabwriter"
	"time"
)

// What KubernetesBudget reckons with.
const (
	killMargin   = 2 * time.Second // between the deadline and SIGKILL: the process still has to exit
	propagation  = 5 * time.Second // until every proxy knows that an endpoint has gone
	leastReserve = time.Second
	mostReserve  = 5 * time.Second
	leastDrain   = time.Second // less is no drain that anybody would want
)

// KubernetesBudget returns the budget that fits into a pod's
// terminationGracePeriodSeconds when its preStop hook takes preStop (0: there is
// no hook, or the hook itself triggers the shutdown). Both are whole seconds, as
// in the pod's spec. kubelet counts the grace period from the beginning of the
// hook and sends SIGTERM, the trigger, after it. So
//
//	Total   = terminationGracePeriod - preStop - 2s  SIGKILL comes 2 s after the deadline
//	Settle  = 5s - preStop, at least 0               preStop is a settle as well: the endpoints go meanwhile
//	Reserve = Total/5, at least 1s, at most 5s
//
// and what is left is for the drain: the longest RPC that may run to its end. As
// a rule of thumb, terminationGracePeriod is the sum of 5 s (or preStop, if that
// is longer) for the endpoints, the longest RPC, 5 s for the forced fallback and
// for cleanup, and 2 s.
//
// The error names the numbers, and the shortest terminationGracePeriod with which
// there is a budget: one that leaves the drain 1 s. [Budget.Explain] tells where
// the numbers come from.
func KubernetesBudget(terminationGracePeriod, preStop time.Duration) (lastcall.Budget, error) {
	if err := checkPod(terminationGracePeriod, preStop); err != nil {
		return lastcall.Budget{}, err
	}
	b := kubernetesBudget(terminationGracePeriod, preStop)
	if drain := b.Total - b.Settle - b.Reserve; drain < leastDrain {
		return lastcall.Budget{}, fmt.Errorf("controller: KubernetesBudget: terminationGracePeriod %v less preStop %v and %v until SIGKILL leaves Total %v, "+
			"of which Settle %v and Reserve %v leave %v for the drain, must be at least %v: raise terminationGracePeriodSeconds to at least %d",
			terminationGracePeriod, preStop, killMargin, b.Total, b.Settle, b.Reserve, drain, leastDrain, shortestGrace(preStop)/time.Second)
	}
	return b, nil
}

// checkPod returns what is wrong with the two numbers by themselves.
func checkPod(terminationGracePeriod, preStop time.Duration) error {
	var errs []error
	for _, n := range []struct {
		name  string
		value time.Duration
	}{{"terminationGracePeriod", terminationGracePeriod}, {"preStop", preStop}} {
		switch {
		case n.value < 0:
			errs = append(errs, fmt.Errorf("controller: KubernetesBudget: %s is %v, must not be negative", n.name, n.value))
		case n.value%time.Second != 0:
			errs = append(errs, fmt.Errorf("controller: KubernetesBudget: %s is %v, must be whole seconds, as in the pod's spec: write 30*time.Second for 30", n.name, n.value))
		}
	}
	if preStop > math.MaxInt64-shortestGrace(0) { // so that no sum overflows
		errs = append(errs, fmt.Errorf("controller: KubernetesBudget: preStop is %v: no terminationGracePeriod is that long", preStop))
	}
	return errors.Join(errs...)
}

// kubernetesBudget reckons without asking whether the result is any good.
func kubernetesBudget(terminationGracePeriod, preStop time.Duration) lastcall.Budget {
	total := terminationGracePeriod - preStop - killMargin
	return lastcall.Budget{
		Total:   total,
		Settle:  max(0, propagation-preStop),
		Reserve: min(max(total/5, leastReserve), mostReserve),
	}
}

// shortestGrace is the shortest grace period, in whole seconds, that leaves
// leastDrain for the drain.
func shortestGrace(preStop time.Duration) time.Duration {
	grace := preStop + killMargin + max(0, propagation-preStop) + leastReserve + leastDrain
	for { // a longer Reserve than leastReserve takes a few seconds more
		b := kubernetesBudget(grace, preStop)
		if b.Total-b.Settle-b.Reserve >= leastDrain {
			return grace
		}
		grace += time.Second
	}
}

// Explain tells on one screen how the budget fits into a pod with this
// terminationGracePeriodSeconds and preStop hook: where each number comes from if
// it is [KubernetesBudget]'s, and otherwise what that would be; and when SIGTERM,
// drain, timer, deadline and SIGKILL come, counted from the pod's deletion and from
// SIGTERM. It says so if SIGKILL comes too early. For numbers that are no budget
// or no pod's the text is that of the error.
func (b lastcall.Budget) Explain(terminationGracePeriod, preStop time.Duration) string {
	if err := errors.Join(b.Validate(), checkPod(terminationGracePeriod, preStop)); err != nil {
		return err.Error() + "\n"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "terminationGracePeriodSeconds %d, preStop %s:\n", terminationGracePeriod/time.Second, hook(preStop))
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	b.explainNumbers(w, terminationGracePeriod, preStop)
	_ = w.Flush() // a strings.Builder takes everything
	text.WriteString("\n")
	b.explainTimes(w, terminationGracePeriod, preStop)
	_ = w.Flush()

	deadline := sum(preStop, b.Total)
	enough := sum(deadline, killMargin, time.Second-1) / time.Second // rounded up
	switch margin := terminationGracePeriod - deadline; {
	case margin < 0:
		fmt.Fprintf(&text, "\nSIGKILL comes before the deadline: raise terminationGracePeriodSeconds to at least %d.\n", enough)
	case margin < killMargin:
		fmt.Fprintf(&text, "\nSIGKILL comes %v after the deadline, less than %v: raise terminationGracePeriodSeconds to at least %d.\n", margin, killMargin, enough)
	}
	return text.String()
}

// explainNumbers writes one line for each number of the budget.
func (b lastcall.Budget) explainNumbers(w *tabwriter.Writer, terminationGracePeriod, preStop time.Duration) {
	ours := kubernetesBudget(terminationGracePeriod, preStop)
	row := func(name string, is, ours time.Duration, why string) {
		if is != ours {
			why = fmt.Sprintf("given; KubernetesBudget reckons %v", max(0, ours))
		}
		_, _ = fmt.Fprintf(w, "  %s\t%v\t%s\n", name, is, why) // Flush has the error
	}
	settle := fmt.Sprintf("%v until every proxy has dropped the endpoint", propagation)
	switch {
	case preStop >= propagation:
		settle += ": preStop waits that long"
	case preStop > 0:
		settle += fmt.Sprintf(", less the %v of preStop", preStop)
	}
	var reserve string
	switch ours.Reserve {
	case leastReserve:
		reserve = fmt.Sprintf("a fifth of Total, at least %v", leastReserve)
	case mostReserve:
		reserve = fmt.Sprintf("a fifth of Total, at most %v", mostReserve)
	default:
		reserve = "a fifth of Total"
	}
	row("Total", b.Total, ours.Total, fmt.Sprintf("%v less preStop %v and %v until SIGKILL", terminationGracePeriod, preStop, killMargin))
	row("Settle", b.Settle, ours.Settle, settle)
	row("Reserve", b.Reserve, ours.Reserve, reserve+": cancel, stop, close, flush")
	if b.Quiet > 0 {
		row("Quiet", b.Quiet, b.Quiet, "ends settle early, once nothing has arrived for that long")
	}
	drain := b.Total - b.Settle - b.Reserve
	row("drain", drain, drain, "what is left: the longest RPC that may run to its end")
}

// explainTimes writes one line for each instant, in order.
func (b lastcall.Budget) explainTimes(w *tabwriter.Writer, terminationGracePeriod, preStop time.Duration) {
	// kubelet ends a hook that takes longer than the grace period, sends SIGTERM all
	// the same, and then waits for 2 s.
	sigterm := min(preStop, terminationGracePeriod)
	kill := max(terminationGracePeriod-sigterm, 2*time.Second)
	row := func(since time.Duration, what string) {
		_, _ = fmt.Fprintf(w, "  %v\t%v\t%s\n", sum(sigterm, since), since, what) // Flush has the error
	}
	killed := false
	until := func(at time.Duration, what string) {
		if kill < at && !killed {
			killed = true
			row(kill, "SIGKILL by kubelet")
		}
		row(at, what)
	}
	hooked := ""
	if preStop > 0 {
		hooked = "; preStop begins"
	}
	announced := fmt.Sprintf("SIGTERM: announce, which takes at most %s", round(b.announce()))
	if b.Settle > 0 {
		announced += ", then settle: still serving"
	}
	_, _ = fmt.Fprintf(w, "  deletion\tSIGTERM\tat the latest\n  0s\t\tdeletion: proxies begin to drop the endpoint%s\n", hooked)
	until(0, announced)
	until(b.Settle, "drain: no new connections, GOAWAY, work in flight finishes; later by what announce took")
	until(b.Total-b.Reserve, "timer: what still runs is cancelled and stopped")
	until(b.Total, "deadline: all is closed and flushed, Run has returned")
	if !killed {
		row(kill, "SIGKILL by kubelet, if the process is still there")
	}
}

// hook describes a preStop hook.
func hook(preStop time.Duration) string {
	if preStop == 0 {
		return "none"
	}
	return preStop.String()
}

// sum adds durations that are not negative. What is too long for a duration is the
// longest one.
func sum(durations ...time.Duration) time.Duration {
	var total time.Duration
	for _, d := range durations {
		if d > math.MaxInt64-total {
			return math.MaxInt64
		}
		total += d
	}
	return total
}
