package controller

import (
	"context"
	"sync/atomic"
	"time"
)

// Life is what work in flight may know of the shutdown around it. Adapters get
// it through [Attacher] and pass it on with [NewContext]; handlers read it with
// [Draining] and [TimerAt]. A Life may be copied and used by any number of
// goroutines. The zero Life never drains.
type Life struct{ *life }

// life is the part of a controller that contexts carry.
type life struct {
	draining <-chan struct{}
	timer    *atomic.Pointer[time.Time] // nil: never known
}

func newLife(draining <-chan struct{}) *life {
	return &life{draining: draining, timer: new(atomic.Pointer[time.Time])}
}

// WithDraining returns a Life with another Draining channel and the same timer. It
// is for adapters that tell their handlers later than the controller begins to
// drain. The timer of the zero Life is never known.
func (l Life) WithDraining(draining <-chan struct{}) Life {
	var timer *atomic.Pointer[time.Time]
	if l.life != nil {
		timer = l.timer
	}
	return Life{&life{draining: draining, timer: timer}}
}

// Draining returns a channel that is closed when phase drain begins: from then
// on new work is refused, and what runs should come to an end. For the zero Life
// it is nil, which blocks for ever.
func (l Life) Draining() <-chan struct{} {
	if l.life == nil {
		return nil
	}
	return l.draining
}

// TimerAt returns the instant in which the timer fires and work still running is
// cancelled. It is known, and the second result true, once the shutdown was
// triggered. A force moves it to an earlier instant.
func (l Life) TimerAt() (time.Time, bool) {
	if l.life == nil || l.timer == nil {
		return time.Time{}, false
	}
	if at := l.timer.Load(); at != nil {
		return *at, true
	}
	return time.Time{}, false
}

type lifeKey struct{}

// NewContext returns a context that carries a Life. It is for the authors of
// adapters; the contexts that the controller hands to workers, announcers,
// closers and flushers carry it already.
func NewContext(ctx context.Context, l Life) context.Context {
	return context.WithValue(ctx, lifeKey{}, l)
}

// Draining returns the [Life.Draining] channel of the Life in ctx. Without one
// it is nil, which blocks for ever, so that a handler may select on it either
// way.
func Draining(ctx context.Context) <-chan struct{} { return fromContext(ctx).Draining() }

// TimerAt returns the [Life.TimerAt] of the Life in ctx, and false without one.
func TimerAt(ctx context.Context) (time.Time, bool) { return fromContext(ctx).TimerAt() }

func fromContext(ctx context.Context) Life {
	l, _ := ctx.Value(lifeKey{}).(Life)
	return l
}
