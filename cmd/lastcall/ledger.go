package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
)

// ledger is where the servers write which RPCs are in flight, and the clients how
// each of theirs ended. It may be used by any number of goroutines.
type ledger struct {
	mu       sync.Mutex
	changed  chan struct{} // closed, and made anew, with every change
	begun    map[place]bool
	inFlight map[place]int
	ended    []rpc
}

// place is a kind of RPC on one server.
type place struct{ replica, method string }

// rpc is one RPC that is over, as the client saw it.
type rpc struct {
	place
	begun  time.Time
	code   codes.Code
	hungUp bool // the client ended it, because the demo was over
}

func (r rpc) failed() bool { return r.code != codes.OK && !r.hungUp }

func newLedger() *ledger {
	return &ledger{changed: make(chan struct{}), begun: make(map[place]bool), inFlight: make(map[place]int)}
}

// enter says that a server has begun to handle an RPC.
func (l *ledger) enter(p place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun[p] = true
	l.inFlight[p]++
	l.tellLocked()
}

// leave says that a server's handler has returned.
func (l *ledger) leave(p place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight[p]--
	l.tellLocked()
}

// add says how an RPC ended.
func (l *ledger) add(r rpc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = append(l.ended, r)
	l.tellLocked()
}

func (l *ledger) tellLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// running returns how many RPCs a replica handles.
func (l *ledger) running(replica string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for p, count := range l.inFlight {
		if p.replica == replica {
			n += count
		}
	}
	return n
}

// rpcs returns the RPCs that are over.
func (l *ledger) rpcs() []rpc {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ended)
}

// await blocks until a replica has begun to handle an RPC of a kind, or until ctx ends, and
// then returns the cause of that.
func (l *ledger) await(ctx context.Context, p place) error {
	for {
		l.mu.Lock()
		changed, begun := l.changed, l.begun[p]
		l.mu.Unlock()
		if begun {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
