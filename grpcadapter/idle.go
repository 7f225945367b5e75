package grpcadapter

import (
	"context"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

// A forced end with nothing to cancel is to take what Stop takes, and GracefulStop takes
// longer: it writes two GOAWAYs to each connection and waits for the peers. It is worth
// its time only while an answer is on its way: one that a handler has returned and that
// is not with the kernel yet, which Stop would drop (hazards 11 and 22).
//
// Where the streams of every connection are known (streams.go), none is on its way if none
// is open. Otherwise the rule is one that can only err on the side of waiting. None is on its
// way if all of this holds:
//
//   - The drain has just begun. What GracefulStop has not closed in drainTime is open for
//     a reason: an answer that is not read, a request that came half (hazard 28).
//   - No RPC is in flight, and none has ended for quietTime. grpc writes an answer as
//     soon as the handler has returned, if the peer lets it.
//   - No Write is in progress. A peer that lets the socket fill up blocks it.
//   - No answer has begun on a stream that is open. A peer that does not read can hold an
//     answer back by flow control, without any Write to see, but not its headers.
//   - Where streams are not known (TLS without Credentials), no connection has sent more
//     than smallVolume in the last minute. Such a peer has to take 65,535 bytes before it can
//     hold anything back, unless its settings say less, for each stream and for the
//     connection (RFC 9113, 6.9.2). An answer of which nothing has moved for a minute is not
//     on its way.
//
// What the last part does not see is a client with a window of less than smallVolume that
// has stopped reading for longer than quietTime.

const (
	quietTime   = 50 * time.Millisecond
	drainTime   = time.Second
	smallVolume = 16 << 10
	longAgo     = time.Minute
)

// volume is how much a connection has sent of late: since the present minute began, and in
// the minute before.
type volume struct {
	since     time.Time // when the present minute began
	now, then int
}

// add takes in n bytes more.
func (v *volume) add(n int) {
	v.forget()
	v.now += n
}

// forget begins the next minute if the present one is over.
func (v *volume) forget() {
	switch age := time.Since(v.since); {
	case age >= 2*longAgo:
		*v = volume{since: time.Now()}
	case age >= longAgo:
		*v = volume{since: time.Now(), then: v.now}
	}
}

// owes reports whether an answer may be on its way, for all that has moved of late.
func (s *streams) owes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.known():
		for _, answered := range s.open {
			if answered {
				return true
			}
		}
		return false
	case s.hidden == nil: // nothing has come
		return false
	}
	v := &s.hidden.sent
	v.forget()
	return v.now+v.then > smallVolume
}

// isQuiet reports whether only idle connections keep GracefulStop from returning, and no
// answer is on its way.
func (s *Server) isQuiet() bool {
	if s.skipped.Load() {
		return true
	}
	if s.listener == nil || s.usedHTTP() || len(s.tracker.InFlight()) > 0 || s.listener.set.Counts().Open == 0 { // without any, GracefulStop returns by itself
		return false
	}
	conns := s.listener.conns()
	busy := func(c *conn) bool { return !c.streams.none() }
	if !slices.ContainsFunc(conns, busy) {
		return true
	}
	owes := func(c *conn) bool { return c.writing.Load() > 0 || c.streams.owes() }
	return s.tracked.Load() && s.canTellQuiet() && s.quietIn() <= 0 && !slices.ContainsFunc(conns, owes)
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
	return !foreign.Either(s.stopped, ctx.Done(), s.quietIn()) && s.isQuiet()
}

// IdlePeers returns the connections that keep GracefulStop from returning, if no handler of an
// RPC is running. It returns true if none of these connections has had a stream since the
// announcement, complete or not. That is unknown, and so false, for a server from [Use], for
// one over HTTP, and if a connection is encrypted without [Credentials]. It blocks for as long
// as RemoteAddr and LocalAddr of the connections do. The controller calls it.
func (s *Server) IdlePeers() (connections []string, idle bool) {
	if s.isZero() || s.listener == nil || len(s.tracker.InFlight()) > 0 {
		return nil, false
	}
	conns := s.listener.set.Conns()
	idle = s.tracked.Load() && !s.usedHTTP()
	for _, c := range conns {
		idle = idle && tracked(c).streams.wasIdle()
	}
	return connset.Names(conns), idle
}
