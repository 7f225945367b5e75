package grpcadapter

import (
	"context"
	"sync/atomic"
	"time"
)

// A forced end with nothing to cancel is to take what Stop takes, and GracefulStop takes
// longer: it writes two GOAWAYs to each connection and waits for the peers. It is worth
// its time only while an answer is on its way: one that a handler has returned and that
// is not with the kernel yet, which Stop would drop (hazards 11 and 22).
//
// Where the streams of every connection are known (streams.go), none is on its way if none
// is open. Of connections with TLS, without Credentials, they are not, so the rule is one that
// can only err on the side of waiting. None is on its way if all of this holds:
//
//   - The drain has just begun. What GracefulStop has not closed in drainTime is open for
//     a reason: an answer that is not read, a request that came half (hazard 28).
//   - No RPC is in flight, and none has ended for quietTime. grpc writes an answer as
//     soon as the handler has returned, if the peer lets it.
//   - No Write is in progress. A peer that lets the socket fill up blocks it.
//   - No connection has sent more than smallVolume in the last minute. A peer that does
//     not read can hold an answer back by flow control, without any Write to see. But it
//     has to take 65,535 bytes before that, unless its settings say less, for each stream
//     and for the connection (RFC 9113, 6.9.2). An answer of which nothing has moved for
//     a minute is not on its way.
//
// What the rule does not see is a client with a window of less than smallVolume that has
// stopped reading for longer than quietTime.

const (
	quietTime   = 50 * time.Millisecond
	drainTime   = time.Second
	smallVolume = 16 << 10
	longAgo     = time.Minute
)

// volume is how much a connection has sent of late: in the present minute, and in the
// one before. One goroutine adds, as grpc writes; any number may read.
type volume struct {
	since     atomic.Int64 // when the present minute began, in Unix nanoseconds
	now, then atomic.Int64
}

func (v *volume) add(n int) {
	at := time.Now().UnixNano()
	switch age := time.Duration(at - v.since.Load()); {
	case age >= 2*longAgo:
		v.then.Store(0)
		v.now.Store(0)
		v.since.Store(at)
	case age >= longAgo:
		v.then.Store(v.now.Swap(0))
		v.since.Store(at)
	}
	v.now.Add(int64(n))
}

// recent returns the bytes that were sent in the last minute, and perhaps in up to two
// minutes before that.
func (v *volume) recent(at time.Time) int64 {
	switch age := time.Duration(at.UnixNano() - v.since.Load()); {
	case age >= 2*longAgo:
		return 0
	case age >= longAgo:
		return v.now.Load()
	default:
		return v.now.Load() + v.then.Load()
	}
}

// onlyIdle reports whether there are connections, and none of them may owe an answer, as
// far as their Writes tell. Without any, GracefulStop returns by itself.
func (l *Listener) onlyIdle() bool {
	at := time.Now()
	for _, c := range l.set.Conns() {
		if c := tracked(c); c.writing.Load() > 0 || c.sent.recent(at) > smallVolume {
			return false
		}
	}
	return l.set.Counts().Open > 0
}

// noStreams reports whether there are connections, and it is known that none of them has a
// stream.
func (l *Listener) noStreams() bool {
	for _, c := range l.set.Conns() {
		if !tracked(c).streams.none() {
			return false
		}
	}
	return l.set.Counts().Open > 0
}

// isQuiet reports whether only idle connections keep GracefulStop from returning, and no
// answer is on its way.
func (s *Server) isQuiet() bool {
	if s.listener == nil || s.usedHTTP() || len(s.tracker.InFlight()) > 0 {
		return false
	}
	return s.listener.noStreams() || s.canTellQuiet() && s.quietIn() <= 0 && s.listener.onlyIdle()
}

// canTellQuiet reports whether isQuiet can become true where streams are not known.
func (s *Server) canTellQuiet() bool {
	return s.listener != nil && !s.usedHTTP() && time.Since(s.tracker.DrainBegan()) < drainTime
}

// quietIn returns how long it takes until no RPC has ended for quietTime.
func (s *Server) quietIn() time.Duration { return time.Until(s.tracker.LastEnd().Add(quietTime)) }

// awaitQuiet blocks until isQuiet can be told, for quietTime at most, and returns it; or
// until GracefulStop has returned, or ctx has ended, and returns false.
func (s *Server) awaitQuiet(ctx context.Context) bool {
	if s.isQuiet() {
		return true
	}
	if !s.canTellQuiet() {
		return false
	}
	timer := time.NewTimer(s.quietIn())
	defer timer.Stop()
	select {
	case <-timer.C:
		return s.isQuiet()
	case <-s.stopped:
	case <-ctx.Done():
	}
	return false
}
