package grpcadapter

import (
	"time"

	"github.com/lastcall-go/lastcall"
)

// What the tests of the listener, which are outside, see of its inside.

func (l *Listener) Problems() error               { return l.problems() }
func (l *Listener) CloseHandshakes()              { l.closeHandshakes() }
func (l *Listener) ClosedEarly() (int, int)       { return l.closedEarly() }
func (l *Listener) Drained() <-chan struct{}      { return l.drained() }
func (l *Listener) Closed() <-chan struct{}       { return l.closed() }
func (l *Listener) WatchGoAways() <-chan struct{} { return l.watchGoAways() }
func (l *Listener) Left() []lastcall.Work         { return l.left() }
func (l *Listener) AwaitCloses()                  { l.awaitCloses() }
func (l *Listener) Failures() int                 { return l.foreign.Failures() }

// Timer returns the timer that will close connections in their handshake, or nil.
func (l *Listener) Timer() *time.Timer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.timer
}
