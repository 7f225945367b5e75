package inflight

import (
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"
)

// Stage is how far the shutdown of a server is. Stages come in the order of their
// values and never go back.
type Stage uint32

// The stages of a server.
const (
	Serving   Stage = iota + 1 // what ends was served
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

// Label is the name and kind under which records are counted together.
type Label struct {
	Name string
	Kind lastcall.WorkKind
	kept *kept // see Keep
}

// Record is a type of the caller's that embeds an [Item] of itself.
type Record[T any] interface {
	comparable
	item() *Item[T]
}

// Item is the tracker's part of a record; the zero Item is ready. It belongs to one
// tracker. It has 32 bytes, as one is made for each RPC.
type Item[T any] struct {
	// State is the owner's; the tracker does not look at it. It costs no memory here.
	State atomic.Uint32

	shard    uint8
	holds    uint8    // how many parts have not ended; guarded by the shard's lock, as all that follows
	came     presence // relative to the shutdown
	released bool

	prev, next T
	began      time.Duration
}

// presence tells when a piece of work began, relative to the shutdown.
type presence uint8

const (
	arrived presence = iota // while it was counted
	before                  // before that: it ran when the counting began
	late                    // when the drain had begun
)

func (i *Item[T]) item() *Item[T] { return i }

// Began returns when the work began, counted from when the Tracker was made.
func (i *Item[T]) Began() time.Duration { return i.began }
