package inflight

import (
	"time"

	"github.com/lastcall-go/lastcall"
)

// Stage is how far the shutdown of a server is. Stages come in the order of their
// values and never go back.
type Stage uint32

// The stages of a server.
const (
	Serving   Stage = iota + 1 // nothing is counted
	Announced                  // work is counted
	Draining                   // work that begins now is late
	Sealed                     // the drain is over, and new work is refused
	Refusing                   // what runs was cancelled, and new work is refused
	Stopped                    // what ends now was cut
)

// Fate is what became of a piece of work.
type Fate uint8

// The fates of work. The zero Fate leaves it to the stage: Cut once the server was
// stopped, Completed before.
const (
	ByStage Fate = iota
	Completed
	Cancelled
	Cut
)

// Label is what belongs together in the numbers.
type Label struct {
	Name string
	Kind lastcall.WorkKind
}

// Record is a type of the caller's that embeds an [Item] of itself.
type Record[T any] interface {
	comparable
	item() *Item[T]
}

// Item is the tracker's part of a record; the zero Item is ready. It belongs to one
// tracker.
type Item[T any] struct {
	prev, next T
	began      time.Duration
	shard      uint32

	// guarded by the shard's lock
	holds    uint8 // how many parts have not ended
	before   bool  // it ran when the counting began
	late     bool
	released bool
}

func (i *Item[T]) item() *Item[T] { return i }
