package grpcadapter

import (
	"bytes"
	"github.com/lastcall-go/lastcall"
	"testing"
	"time"
)

// What the tests of the listener, which are outside, see of its inside.

const FirstGoAway = firstGoAway

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

// The frame is found at every place of a Write, split over two or over many, and
// what is nearly the frame is not.
func TestSearch(t *testing.T) {
	const before, after = "\x00\x00\x15\x07\x00\x00\x00some data", "\x00\x00\x08\x06and more"
	all := []byte(before + firstGoAway + after)
	end := len(before) + len(firstGoAway)
	for i := range len(all) + 1 {
		for j := i; j <= len(all); j++ {
			s, sent := &search{}, 0
			for _, b := range [][]byte{all[:i], all[i:j], all[j:]} {
				sent += len(b)
				if got, want := s.in(b), sent >= end; got != want {
					t.Fatalf("Writes of %d, %d and %d bytes: after %d in says %v", i, j-i, len(all)-j, sent, got)
				}
				if sent >= end {
					break
				}
			}
		}
	}
	s := &search{}
	for i := range all {
		if got, want := s.in(all[i:i+1]), i == end-1; got != want {
			t.Fatalf("byte by byte: after %d in says %v", i+1, got)
		}
		if i == end-1 {
			break // nobody asks any more
		}
		if len(s.tail) >= len(firstGoAway) {
			t.Fatalf("the tail has %d bytes", len(s.tail))
		}
	}
	s = &search{}
	for range 3 {
		if s.in(bytes.Replace(all, []byte("\x7f\xff"), []byte("\x00\x00"), 1)) {
			t.Error("a GOAWAY with another last stream was taken for the first")
		}
	}
}
