package kubernetes

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lastcall-go/lastcall"
)

// Explain tells on one screen how the budget fits into a pod with this
// terminationGracePeriodSeconds and preStop hook: where each number comes from if
// it is [Budget]'s, and otherwise what that would be; and when SIGTERM,
// drain, timer, deadline and SIGKILL come, counted from the pod's deletion and from
// SIGTERM. It says so if SIGKILL comes too early. For numbers that are no budget
// or no pod's the text is that of the error.
func Explain(b lastcall.Budget, terminationGracePeriod, preStop time.Duration) string {
	if err := errors.Join(b.Validate(), checkPod(terminationGracePeriod, preStop)); err != nil {
		return err.Error() + "\n"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "terminationGracePeriodSeconds %d, preStop %s:\n", terminationGracePeriod/time.Second, hook(preStop))
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	explainNumbers(b, w, terminationGracePeriod, preStop)
	_ = w.Flush() // a strings.Builder takes everything
	text.WriteString("\n")
	explainTimes(b, w, terminationGracePeriod, preStop)
	_ = w.Flush()

	deadline := sum(preStop, b.Total)
	enough := sum(deadline, lastcall.ExitMargin, time.Second-1) / time.Second // rounded up
	switch margin := terminationGracePeriod - deadline; {
	case margin < 0:
		fmt.Fprintf(&text, "\nSIGKILL comes before the deadline: raise terminationGracePeriodSeconds to at least %d.\n", enough)
	case margin < lastcall.ExitMargin:
		fmt.Fprintf(&text, "\nSIGKILL comes %v after the deadline, less than %v: raise terminationGracePeriodSeconds to at least %d.\n", margin, lastcall.ExitMargin, enough)
	}
	return text.String()
}

// explainNumbers writes one line for each number of the budget.
func explainNumbers(b lastcall.Budget, w *tabwriter.Writer, terminationGracePeriod, preStop time.Duration) {
	ours, err := Budget(terminationGracePeriod, preStop)
	line := func(name string, is time.Duration, why string) {
		_, _ = fmt.Fprintf(w, "  %s\t%v\t%s\n", name, is, why) // Flush has the error
	}
	row := func(name string, is, ours time.Duration, why string) {
		switch {
		case err != nil:
			why = "given; kubernetes.Budget has none for this pod"
		case is != ours:
			why = fmt.Sprintf("given; kubernetes.Budget computes %v", ours)
		}
		line(name, is, why)
	}
	propagation := wantedSettle(0)
	settle := fmt.Sprintf("%v until every proxy has dropped the endpoint", propagation)
	switch {
	case preStop >= propagation:
		settle += ": preStop waits that long"
	case preStop > 0:
		settle += fmt.Sprintf(", less the %v of preStop", preStop)
	}
	if wanted := wantedSettle(preStop); ours.Settle < wanted {
		settle += fmt.Sprintf(", cut short for the drain: raise terminationGracePeriodSeconds to %d for %v", enoughForSettle(terminationGracePeriod, preStop)/time.Second, wanted)
	}
	reserve := "a fifth of Total"
	switch fifth := ours.Total / 5; {
	case ours.Reserve > fifth:
		reserve += fmt.Sprintf(", at least %v", ours.Reserve)
	case ours.Reserve < fifth:
		reserve += fmt.Sprintf(", at most %v", ours.Reserve)
	}
	row("Total", b.Total, ours.Total, fmt.Sprintf("%v less preStop %v and %v until SIGKILL", terminationGracePeriod, preStop, lastcall.ExitMargin))
	row("Settle", b.Settle, ours.Settle, settle)
	row("Reserve", b.Reserve, ours.Reserve, reserve+": cancel, stop, close, flush")
	if b.Quiet > 0 {
		line("Quiet", b.Quiet, "ends settle early, once nothing has arrived for that long")
	}
	line("drain", b.Total-b.Settle-b.Reserve, "what is left: the longest RPC that may run to its end")
}

// enoughForSettle returns the shortest grace period, from the one given on, that leaves
// Settle its whole time.
func enoughForSettle(grace, preStop time.Duration) time.Duration {
	for {
		if b, err := Budget(grace, preStop); err != nil || b.Settle >= wantedSettle(preStop) {
			return grace
		}
		grace += time.Second
	}
}

// explainTimes writes one line for each instant, in order.
func explainTimes(b lastcall.Budget, w *tabwriter.Writer, terminationGracePeriod, preStop time.Duration) {
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
	announced := fmt.Sprintf("SIGTERM: announce, which takes at most %s", round(b.Announce()))
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

// round makes a duration readable: full milliseconds from one second on.
func round(d time.Duration) string {
	if d >= time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Microsecond).String()
}
