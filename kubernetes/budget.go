// Package kubernetes derives the budget of a shutdown from a pod's spec, and explains
// it on one screen.
//
//	budget, err := kubernetes.Budget(30*time.Second, 0)
package kubernetes

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lastcall-go/lastcall"
)

// What Budget reckons with.
const (
	killMargin   = 2 * time.Second // between the deadline and SIGKILL: the process still has to exit
	propagation  = 5 * time.Second // until every proxy knows that an endpoint has gone
	leastReserve = time.Second
	mostReserve  = 5 * time.Second
	leastDrain   = time.Second // a shorter one cancels nearly every RPC
)

// Budget returns the budget that fits into a pod's
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
// there is a budget: one that leaves the drain 1 s. [Explain] tells where
// the numbers come from.
func Budget(terminationGracePeriod, preStop time.Duration) (lastcall.Budget, error) {
	if err := checkPod(terminationGracePeriod, preStop); err != nil {
		return lastcall.Budget{}, err
	}
	b := reckon(terminationGracePeriod, preStop)
	if drain := b.Total - b.Settle - b.Reserve; drain < leastDrain {
		return lastcall.Budget{}, fmt.Errorf("kubernetes: Budget: terminationGracePeriod %v less preStop %v and %v until SIGKILL leaves Total %v, "+
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
			errs = append(errs, fmt.Errorf("kubernetes: Budget: %s is %v, must not be negative", n.name, n.value))
		case n.value%time.Second != 0:
			hint := ""
			if n.value < time.Microsecond {
				hint = fmt.Sprintf(": write %d*time.Second for %[1]d", n.value)
			}
			errs = append(errs, fmt.Errorf("kubernetes: Budget: %s is %v, must be whole seconds, as in the pod's spec%s", n.name, n.value, hint))
		}
	}
	if preStop > math.MaxInt64-shortestGrace(0) { // so that no sum overflows
		errs = append(errs, fmt.Errorf("kubernetes: Budget: preStop is %v: no terminationGracePeriod is that long", preStop))
	}
	return errors.Join(errs...)
}

// reckon reckons without asking whether the result is any good.
func reckon(terminationGracePeriod, preStop time.Duration) lastcall.Budget {
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
		b := reckon(grace, preStop)
		if b.Total-b.Settle-b.Reserve >= leastDrain {
			return grace
		}
		grace += time.Second
	}
}
