package controller

import (
	"github.com/lastcall-go/lastcall/report"
	"sync"
	"time"
)

// result is how a call into foreign code came back.
type result struct {
	call   *call
	at     time.Time
	result report.Result
	err    error
	text   string
	stack  string
}

// inbox is where the goroutines that run foreign code leave their results for
// the loop. Nobody waits here: put appends and pokes, and the loop takes
// everything at once.
type inbox struct {
	mu      sync.Mutex
	results []result
	wake    chan struct{} // capacity 1: a poke that finds it full was already made
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) put(r result) {
	b.mu.Lock()
	b.results = append(b.results, r)
	b.mu.Unlock()
	b.poke()
}

func (b *inbox) poke() {
	if b == nil { // of a Controller that New did not make
		return
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) take() []result {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.results
	b.results = nil
	return all
}
