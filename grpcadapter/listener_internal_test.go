package grpcadapter

import (
	"github.com/lastcall-go/lastcall"
)

// What the tests of the listener, which are outside, see of its inside.

func (l *Listener) Problems() error          { return l.problems() }
func (l *Listener) CloseHandshakes()         { l.set.RefuseHandshakes() }
func (l *Listener) Drained() <-chan struct{} { return l.set.Drained() }
func (l *Listener) Closed() <-chan struct{}  { return l.set.Finished() }
func (l *Listener) Left() []lastcall.Work    { return l.foreign.Left() }
func (l *Listener) AwaitCloses()             { l.set.Await() }
func (l *Listener) Failures() int            { return l.foreign.Failures() }
func (l *Listener) Cut() int                 { return l.set.Cut() }

func (l *Listener) Connections() (open, handshaking int) {
	c := l.set.Counts()
	return c.Open, c.Handshaking
}

func (l *Listener) ClosedEarly() (handshakes, connections int) {
	c := l.set.Counts()
	return c.Silent, c.Cut
}
