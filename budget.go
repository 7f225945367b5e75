package lastcall

import (
	"errors"
	"fmt"
	"time"
)

// Budget is the time that a shutdown may take. All of it counts from the
// trigger, the instant of the first request to shut down. The zero Budget is an
// error: zero never means for ever.
type Budget struct { //nolint:recvcheck // UnmarshalText changes it, as encoding.TextUnmarshaler wants
	// Total is how long after the trigger Run returns at the latest: the
	// deadline. It must be positive.
	Total time.Duration
	// Settle is the longest phase settle, counted from the end of phase announce:
	// how long the server goes on serving while endpoints, proxies and clients
	// learn that it is leaving. Zero skips the phase.
	Settle time.Duration
	// Quiet ends phase settle early: once no new work has arrived for that long,
	// counted from the beginning of the phase or, if that is later, from the last
	// arrival. So a settle lasts at least Quiet and at most Settle. Zero leaves
	// every settle its whole time. With it every server that does not stop last must
	// know when work last arrived.
	Quiet time.Duration
	// MinSettle is how long a settle that Quiet may end lasts at least: how long the
	// network may need to learn that the server leaves, while no client has anything
	// to ask. It counts as Settle does.
	MinSettle time.Duration
	// Reserve is the end of Total, kept for what comes after the timer: force,
	// close and flush. It must be positive. The timer fires at Total - Reserve,
	// and Settle + Reserve must leave room before Total for the drain.
	Reserve time.Duration
}

// ExitMargin is the time that BudgetFor leaves between the deadline and SIGKILL: the
// process still has to exit after Run has returned.
const ExitMargin = 2 * time.Second

// What BudgetFor computes with.
const (
	defaultGrace = 30 * time.Second // a pod's grace period, if its spec names none
	propagation  = 5 * time.Second  // until every proxy knows that an endpoint has gone
	leastReserve = time.Second
	mostReserve  = 5 * time.Second
	leastDrain   = 2 * time.Second // peers such as HAProxy close a second after the last GOAWAY
)

// DefaultBudget returns BudgetFor(30 * time.Second), 30 s being the grace period that
// Kubernetes gives a pod by default: Total 28 s, Settle 5 s, Reserve 5 s.
func DefaultBudget() Budget {
	b, _ := BudgetFor(defaultGrace) // a test shows that it has no error
	return b
}

// BudgetFor returns the budget that fits into a grace period, the time from SIGTERM (or
// whatever else asks the process to leave) to SIGKILL:
//
//	Total   = grace - 2s  the deadline; SIGKILL comes ExitMargin later
//	Reserve = Total/5     at least 1s, at most 5s
//	Settle  = 5s          less if the drain would get less than 2s
//
// What is left is for the drain: the longest RPC or request that may run to its end. It
// is never shorter than 2 s. A grace period under 11 s shortens Settle for that, so a
// rollout may lose requests; one of 5 s has no settle at all, and a shorter one is an error
// that names both numbers. Where no proxy and no client has to learn that the server
// leaves, set Settle to 0: the drain then gets its time.
func BudgetFor(grace time.Duration) (Budget, error) {
	if grace > 0 && grace < time.Microsecond {
		return Budget{}, fmt.Errorf("lastcall: budget: the grace period is %v: a number without a unit counts nanoseconds; write %d*time.Second", grace, int64(grace))
	}
	if least := ExitMargin + leastReserve + leastDrain; grace < least {
		return Budget{}, fmt.Errorf("lastcall: budget: the grace period is %v, must be at least %v: %v from the deadline to SIGKILL, "+
			"Reserve %v and %v for the drain", grace, least, ExitMargin, leastReserve, leastDrain)
	}
	total := grace - ExitMargin
	reserve := min(max(total/5, leastReserve), mostReserve)
	return Budget{Total: total, Settle: min(propagation, total-reserve-leastDrain), Reserve: reserve}, nil
}

// Validate returns nil if New would accept the budget, or an error that joins
// one error, with the numbers, for each thing that is wrong with it. A field of less than a
// microsecond is taken for a number whose unit was forgotten.
func (b Budget) Validate() error {
	var errs []error
	report := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("lastcall: budget: "+format, args...))
	}
	if b == (Budget{}) {
		return errors.New("lastcall: budget: the zero Budget has no time for anything; start from DefaultBudget()")
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"Total", b.Total}, {"Settle", b.Settle}, {"Quiet", b.Quiet}, {"MinSettle", b.MinSettle}, {"Reserve", b.Reserve}} {
		if f.value > 0 && f.value < time.Microsecond {
			report("%s is %v: a number without a unit counts nanoseconds; write %d*time.Second", f.name, f.value, int64(f.value))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...) // the rest would only hide this
	}
	if b.Total <= 0 {
		report("Total is %v, must be positive", b.Total)
	}
	if b.Settle < 0 {
		report("Settle is %v, must not be negative (0 skips the phase)", b.Settle)
	}
	switch {
	case b.Quiet < 0:
		report("Quiet is %v, must not be negative (0 leaves Settle its whole time)", b.Quiet)
	case b.Quiet > 0 && b.Settle == 0:
		report("Quiet is %v, but Settle is 0s: there is no settle to end early", b.Quiet)
	case b.Settle > 0 && b.Quiet > b.Settle:
		report("Quiet is %v, must not be longer than Settle %v", b.Quiet, b.Settle)
	}
	switch {
	case b.MinSettle < 0:
		report("MinSettle is %v, must not be negative (0 is none)", b.MinSettle)
	case b.MinSettle > 0 && b.Quiet == 0:
		report("MinSettle is %v, but Quiet is 0s: nothing would end settle before its %v are over", b.MinSettle, b.Settle)
	case b.MinSettle > 0 && b.MinSettle > b.Settle:
		report("MinSettle is %v, must not be longer than Settle %v", b.MinSettle, b.Settle)
	}
	if b.Reserve <= 0 {
		report("Reserve is %v, must be positive: closing and flushing need time", b.Reserve)
	}
	if b.Reserve > 0 && b.Total > 0 && b.Reserve >= b.Total {
		report("Reserve %v must be less than Total %v, of which it is a part", b.Reserve, b.Total)
	}
	// Written so that sums of very long durations cannot overflow.
	if len(errs) == 0 && b.Settle >= b.Total-b.Reserve {
		report("Settle %v + Reserve %v leave nothing of Total %v for the drain", b.Settle, b.Reserve, b.Total)
	}
	return errors.Join(errs...)
}

// Announce returns the longest phase announce, counted from the trigger: a tenth of the
// time to the timer.
func (b Budget) Announce() time.Duration { return (b.Total - b.Reserve) / 10 }
