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

// Budget returns the budget that fits into a pod's
// terminationGracePeriodSeconds when its preStop hook takes preStop (0: there is
// no hook, or the hook itself triggers the shutdown). Both are whole seconds, as
// in the pod's spec. kubelet counts the grace period from the beginning of the
// hook and sends SIGTERM, the trigger, after it. So the process has
// terminationGracePeriod - preStop, from which [lastcall.BudgetFor] computes:
//
//	Total   = terminationGracePeriod - preStop - 2s  SIGKILL comes 2 s after the deadline
//	Reserve = Total/5, at least 1s, at most 5s
//	Settle  = 5s - preStop, at least 0               preStop is a settle as well: the endpoints go meanwhile
//
// and what is left is for the drain: the longest RPC that may run to its end. It is never
// shorter than 2 s: a short grace period shortens Settle, and [Explain] shows from which
// one on it would not. As a rule of thumb, terminationGracePeriod is the sum of 5 s (or
// preStop, if that is longer) for the endpoints, the longest RPC, 5 s for the forced
// fallback and for cleanup, and 2 s.
//
// The error names the numbers, and the shortest terminationGracePeriod with which
// there is a budget: preStop and 5 s.
func Budget(terminationGracePeriod, preStop time.Duration) (lastcall.Budget, error) {
	if err := checkPod(terminationGracePeriod, preStop); err != nil {
		return lastcall.Budget{}, err
	}
	b, err := lastcall.BudgetFor(terminationGracePeriod - preStop)
	if err != nil {
		least, _ := lastcall.BudgetFor(shortestGrace)
		return lastcall.Budget{}, fmt.Errorf("kubernetes: terminationGracePeriod %v less preStop %v leaves %v, must leave at least %v: "+
			"%v from the deadline to SIGKILL, Reserve %v and %v for the drain: raise terminationGracePeriodSeconds to at least %d",
			terminationGracePeriod, preStop, terminationGracePeriod-preStop, shortestGrace,
			lastcall.ExitMargin, least.Reserve, least.Total-least.Settle-least.Reserve, (preStop+shortestGrace)/time.Second)
	}
	b.Settle = min(b.Settle, wantedSettle(preStop))
	return b, nil
}

// shortestGrace is the shortest grace period that BudgetFor takes.
const shortestGrace = 5 * time.Second

// wantedSettle is the settle of a pod whose grace period is long enough.
func wantedSettle(preStop time.Duration) time.Duration {
	return max(0, lastcall.DefaultBudget().Settle-preStop)
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
			errs = append(errs, fmt.Errorf("kubernetes: %s is %v, must not be negative", n.name, n.value))
		case n.value%time.Second != 0:
			hint := ""
			if n.value < time.Microsecond {
				hint = fmt.Sprintf(": write %d*time.Second for %[1]d", n.value)
			}
			errs = append(errs, fmt.Errorf("kubernetes: %s is %v, must be whole seconds, as in the pod's spec%s", n.name, n.value, hint))
		}
	}
	if preStop > math.MaxInt64-shortestGrace { // so that no sum overflows
		errs = append(errs, fmt.Errorf("kubernetes: preStop is %v: no terminationGracePeriod is that long", preStop))
	}
	return errors.Join(errs...)
}
