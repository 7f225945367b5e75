package lastcall

import (
	"context"
	"time"
)

// Life is what work in flight may know of the shutdown around it. A server gets it in
// Attach and passes it on with [NewContext]; handlers read it with [Draining], [TimerAt]
// and [Late]. A Life may be copied and used by any number of goroutines. The zero Life
// never drains.
type Life struct{ *life } // one pointer: to put it into a context allocates nothing for it

type life struct {
	draining <-chan struct{}
	times    func() (Times, bool)
	arrived  time.Time // of work that arrived after the trigger
}

// Times are the instants of a shutdown.
type Times struct {
	Trigger  time.Time // from which the budget counts
	Timer    time.Time // when the timer fires, and work still running is cancelled
	Deadline time.Time // by which Run returns
}

// NewLife returns a Life. The channel is closed when the drain begins; times returns
// the instants of the shutdown, and whether they are known, and must not block.
// Either may be nil: never. The controller calls it; others need it in tests.
func NewLife(draining <-chan struct{}, times func() (Times, bool)) Life {
	return Life{&life{draining: draining, times: times}}
}

// Arrived returns the Life for a piece of work that arrived at an instant, so that [Late]
// knows that. Adapters call it. If that was before the trigger it is the same Life, and
// nothing is allocated.
func (l Life) Arrived(at time.Time) Life {
	if times, known := l.Times(); !known || !at.After(times.Trigger) {
		return l
	}
	return Life{&life{draining: l.draining, times: l.times, arrived: at}}
}

// Draining returns a channel that is closed when phase drain begins: from then on new
// work is refused, and what runs should come to an end. For the zero Life it is nil,
// which blocks for ever.
func (l Life) Draining() <-chan struct{} {
	if l.life == nil {
		return nil
	}
	return l.draining
}

// Times returns the instants of the shutdown. They are known, and the second result true,
// once it was triggered. A force, or a grace period that is shortened, moves the timer and
// the deadline to earlier instants.
func (l Life) Times() (Times, bool) {
	if l.life == nil || l.times == nil {
		return Times{}, false
	}
	return l.times()
}

// TimerAt returns the instant at which the timer fires and work still running is cancelled, as
// [Life.Times] does. In a server that stops last it is the deadline.
func (l Life) TimerAt() (time.Time, bool) {
	times, known := l.Times()
	return times.Timer, known
}

// Late returns how long after the trigger the work arrived, and which share of the time from
// the trigger to the deadline was over by then. That time is the budget's Total, unless the
// deadline was moved. The last result is false for work that arrived before the trigger, for
// work that the controller began itself, and where the adapter does not know.
func (l Life) Late() (after time.Duration, share float64, ok bool) {
	times, known := l.Times()
	if !known || l.arrived.IsZero() {
		return 0, 0, false
	}
	after = l.arrived.Sub(times.Trigger)
	return after, float64(after) / float64(times.Deadline.Sub(times.Trigger)), true
}

type lifeKey struct{}

// NewContext returns a context that carries a Life. Adapters call it for their
// handlers; the contexts of workers, announcers, closers and flushers carry a Life
// already.
func NewContext(ctx context.Context, l Life) context.Context {
	return context.WithValue(ctx, lifeKey{}, l)
}

// FromContext returns the Life that a context carries, or the zero Life.
func FromContext(ctx context.Context) Life {
	l, _ := ctx.Value(lifeKey{}).(Life)
	return l
}

// Draining returns the [Life.Draining] channel of the Life in ctx. Without one it is
// nil, which blocks for ever, so that a handler may select on it either way.
func Draining(ctx context.Context) <-chan struct{} { return FromContext(ctx).Draining() }

// TimerAt returns the [Life.TimerAt] of the Life in ctx, and false without one.
func TimerAt(ctx context.Context) (time.Time, bool) { return FromContext(ctx).TimerAt() }

// Late returns what [Life.Late] of the Life in ctx does, and false without one: for access
// logs, which can tell so who still sends work to a server that leaves.
func Late(ctx context.Context) (after time.Duration, share float64, ok bool) {
	return FromContext(ctx).Late()
}
