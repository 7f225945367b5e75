package inflight

import (
	"context"
	"time"

	"github.com/lastcall-go/lastcall"
)

// shutdown is what a server knows of the shutdown around it.
type shutdown struct {
	host  lastcall.Host // nil: no controller yet
	life  lastcall.Life
	scope context.Context //nolint:containedctx // it carries the Life, and nothing more
}

func of(h lastcall.Host, l lastcall.Life) *shutdown {
	return &shutdown{h, l, lastcall.NewContext(context.Background(), l)}
}

// Attach takes in the controller; the first one counts.
func (t *Tracker[T]) Attach(h lastcall.Host) {
	if known := t.shutdown.Load(); known == nil || known.host == nil {
		t.shutdown.CompareAndSwap(known, of(h, h.Life()))
	}
}

// SetLife sets the Life that counts as long as there is no controller.
func (t *Tracker[T]) SetLife(l lastcall.Life) { t.shutdown.CompareAndSwap(nil, of(nil, l)) }

// Host returns the controller; nil before Attach.
func (t *Tracker[T]) Host() lastcall.Host {
	if s := t.shutdown.Load(); s != nil {
		return s.host
	}
	return nil
}

// Life returns the Life of the controller; the zero Life before Attach.
func (t *Tracker[T]) Life() lastcall.Life {
	if s := t.shutdown.Load(); s != nil {
		return s.life
	}
	return lastcall.Life{}
}

// Value returns the record's Life if the key asks for it, and nil otherwise: it is the Value
// method of a record's context. For a record that has arrived after the trigger it allocates a
// Life, and nothing for others.
func (t *Tracker[T]) Value(x T, key any) any {
	if s := t.shutdown.Load(); s != nil {
		if life, ok := s.scope.Value(key).(lastcall.Life); ok {
			return life.Arrived(t.Began(x))
		}
	}
	return nil
}

// TimeIsUp reports whether the timer has fired. For a server that stops last that is the
// deadline.
func (t *Tracker[T]) TimeIsUp() bool {
	at, known := t.Life().TimerAt()
	return known && !time.Now().Before(at)
}

// Within returns d, but at most half of the time to the timer.
func (t *Tracker[T]) Within(d time.Duration) time.Duration {
	if at, known := t.Life().TimerAt(); known {
		return min(d, max(time.Until(at)/2, 0))
	}
	return d
}
