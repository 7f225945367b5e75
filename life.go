package lastcall

import (
	"context"
	"time"
)

// Life is what work in flight may know of the shutdown around it. A server gets it in
// Attach and passes it on with [NewContext]; handlers read it with [Draining] and
// [TimerAt]. A Life may be copied and used by any number of goroutines. The zero Life
// never drains.
type Life struct{ *life } // one pointer: to put it into a context allocates nothing for it

type life struct {
	draining <-chan struct{}
	timerAt  func() (time.Time, bool)
}

// NewLife returns a Life. The channel is closed when the drain begins; timerAt returns
// the instant in which the timer fires, and whether that is known, and must not block.
// Either may be nil: never. The controller calls it; others need it in tests.
func NewLife(draining <-chan struct{}, timerAt func() (time.Time, bool)) Life {
	return Life{&life{draining: draining, timerAt: timerAt}}
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

// TimerAt returns the instant in which the timer fires and work still running is
// cancelled. It is known, and the second result true, once the shutdown was triggered.
// A force, or a grace period that is shortened, moves it to an earlier instant.
func (l Life) TimerAt() (time.Time, bool) {
	if l.life == nil || l.timerAt == nil {
		return time.Time{}, false
	}
	return l.timerAt()
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
