package grpcadapter

import (
	"encoding/binary"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
)

// After its last GOAWAY grpc waits a second for a peer without streams to close the
// connection, as a close with something unread would be a reset. Peers that leave the
// closing to the server (HAProxy, grpc-java, Caddy) make each drain a second long. grpc
// does not tell which connections those are, so the headers of the HTTP/2 frames are read on
// their way (RFC 9113, 4.1): they tell which streams are open, and no more is looked at.
// What is not HTTP/2 in clear, as TLS without Credentials, is left to grpc.

// The frames of RFC 9113, section 6, that begin and end streams, and those that begin and end
// the connection.
const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameReset    = 0x3
	frameSettings = 0x4
	frameGoAway   = 0x7

	flagEndStream = 0x1

	frameHead = 9         // the length of a frame's header
	maxID     = 1<<31 - 1 // and the last stream in a GOAWAY that is not the last one

	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // with which a client begins
)

// frames finds the headers of frames in one direction of a connection.
type frames struct {
	skip int32 // bytes to come that are not looked at
	n    uint8 // bytes of head that have come
	head [frameHead + 4]byte
}

// scan calls frame for each frame whose header is complete with b; id is that of the
// stream, or of the last stream of a GOAWAY.
func (f *frames) scan(b []byte, frame func(kind, flags byte, id uint32)) {
	for len(b) > 0 {
		if f.skip > 0 {
			n := min(int(f.skip), len(b))
			f.skip, b = f.skip-int32(n), b[n:] //nolint:gosec // it is at most skip
			continue
		}
		want := uint8(frameHead)
		if f.n >= frameHead { // only a GOAWAY is read on
			want += 4
		}
		n := copy(f.head[f.n:want], b)
		f.n, b = f.n+uint8(n), b[n:] //nolint:gosec // it is at most 13
		if f.n < want {
			return
		}
		kind, id := f.head[3], f.head[5:9]
		length := int32(f.head[0])<<16 | int32(f.head[1])<<8 | int32(f.head[2])
		switch {
		case want > frameHead:
			length, id = length-4, f.head[frameHead:]
		case kind == frameGoAway && length >= 4:
			continue
		}
		f.skip, f.n = length, 0
		frame(kind, f.head[4], binary.BigEndian.Uint32(id)&maxID)
	}
}

// streams knows which streams of a connection are open on the wire: from when the peer has
// begun one until its end is with the kernel, or either side has reset it. The zero value is
// a new connection.
type streams struct {
	mu      sync.Mutex
	in, out frames
	greeted int8            // bytes of the preface that have come
	spoke   bool            // the server has written a frame
	blind   bool            // this is not HTTP/2 in clear
	used    bool            // there was a stream, since mark
	open    map[uint32]bool // whether an answer has begun on it; nil as long as there was none

	*goingAway // nil: no GOAWAY was written

	hidden *hidden // nil: what goes over the wire is HTTP/2 in clear, as far as is known
}

// hidden is what is needed of a connection whose HTTP/2 is not in clear on the wire.
type hidden struct {
	outer net.Conn // what Credentials have made of the connection; nil: nothing
	sent  volume   // while streams are not known
}

// hide returns what is needed as nothing can be told from the bytes.
func (s *streams) hide() *hidden {
	if s.hidden == nil {
		s.hidden = &hidden{}
	}
	return s.hidden
}

// cover takes in what Credentials have made of the connection.
func (s *streams) cover(outer net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden = &hidden{outer: outer}
}

// goingAway is what is known of a connection once a GOAWAY was written. Most never need it.
type goingAway struct {
	told    time.Time     // when the first GOAWAY was written
	last    uint32        // of the last GOAWAY: the last stream that is served
	moved   time.Time     // when something was read or written, from the last GOAWAY on; zero: that was not written
	silence time.Duration // how long an idle connection has to be silent then
	quiet   *time.Timer   // runs while it is idle then
}

// mark forgets the streams that have ended.
func (s *streams) mark() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = len(s.open) > 0
}

// wasIdle reports whether it is known that there was no stream since mark, and that none is
// about to begin with a frame of which some bytes have come.
func (s *streams) wasIdle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known() && !s.used && s.in.n == 0
}

// none reports whether it is known that no stream is open, and that what was written last
// ended with a frame.
func (s *streams) none() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known() && len(s.open) == 0 && s.out.skip == 0 && s.out.n == 0
}

// wentAway reports whether a GOAWAY was written, or is not needed, as no stream is open;
// and whether that can be known.
func (s *streams) wentAway() (away, knows bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goingAway != nil || len(s.open) == 0, !s.blind
}

// known reports whether the peer speaks HTTP/2 in clear. The mutex is held.
func (s *streams) known() bool { return !s.blind && int(s.greeted) == len(preface) }

// read takes in what the peer has sent. It reports whether the connection has become idle
// after its last GOAWAY, as wrote does.
func (s *streams) read(b []byte) (idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; int(s.greeted) < len(preface) && len(b) > 0 && !s.blind; b = b[1:] {
		s.blind = b[0] != preface[s.greeted]
		s.greeted++
	}
	if s.blind {
		s.hide()
		return false
	}
	s.in.scan(b, func(kind, _ byte, id uint32) {
		switch {
		case kind == frameReset:
			delete(s.open, id)
		case kind != frameHeaders:
		case s.goingAway == nil || s.moved.IsZero() || id <= s.last: // others are refused, and the peer is told so
			s.used = true // also if there was one: grpc takes the number of a stream that it has reset as malformed
			if s.open == nil {
				s.open = map[uint32]bool{}
			}
			if _, began := s.open[id]; !began { // otherwise these are trailers
				s.open[id] = false
			}
		}
	})
	return s.moves()
}

// wrote takes in what the kernel has taken.
func (s *streams) wrote(b []byte) (idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blind {
		s.hide().sent.add(len(b))
		return false
	}
	s.out.scan(b, func(kind, flags byte, id uint32) {
		s.blind = s.blind || !s.spoke && kind != frameSettings // grpc begins with its settings, before it has read anything
		s.spoke = true
		switch kind {
		case frameHeaders, frameData:
			if flags&flagEndStream != 0 {
				delete(s.open, id)
			} else if answered, open := s.open[id]; open && !answered {
				s.open[id] = true
			}
		case frameReset:
			delete(s.open, id)
		case frameGoAway:
			s.goesAway(id)
		}
	})
	if s.blind { // only now
		s.hide().sent.add(len(b))
	}
	return s.moves()
}

// goesAway takes in that a GOAWAY was written. grpc sends the last one when the peer has
// acknowledged the first, so the time between them is a round trip: what the peer had on its
// way has come after as much silence. The mutex is held.
func (s *streams) goesAway(last uint32) {
	now := time.Now()
	if s.goingAway == nil {
		s.goingAway = &goingAway{told: now}
	}
	if last == maxID {
		return
	}
	s.last, s.moved, s.silence = last, now, max(quietTime, now.Sub(s.told))
	maps.DeleteFunc(s.open, func(id uint32, _ bool) bool { return id > last })
}

// moves notes that something was read or written, and reports whether the connection is
// idle after its last GOAWAY and no timer runs. The mutex is held.
func (s *streams) moves() (idle bool) {
	if s.goingAway == nil || s.moved.IsZero() {
		return false
	}
	s.moved = time.Now()
	return len(s.open) == 0 && s.quiet == nil
}

// awaitQuiet closes the connection once it is idle after its last GOAWAY, and has been
// silent for long enough.
func (c *conn) awaitQuiet() {
	s := &c.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quiet == nil {
		s.quiet = time.AfterFunc(s.silence, func() {
			if s.isQuiet(c.writing.Load() > 0) {
				c.endIdle()
			}
		})
	}
}

// endIdle closes the connection. grpc's reader sees that, and takes it for the peer's. It
// does not block.
func (c *conn) endIdle() {
	if h := c.streams.hidden; h != nil { // TLS may say goodbye
		outer := h.outer
		c.listener.foreign.Run(connset.CallCloseConn, func() { _ = outer.Close() }) // nothing depends on its error
		return
	}
	c.Finish()
}

// isQuiet reports whether the silence was long enough. If not, the timer runs again.
func (s *streams) isQuiet(writing bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.silence - time.Since(s.moved)
	if writing {
		left = s.silence
	}
	switch {
	case len(s.open) > 0:
		s.quiet = nil // until the last of them ends
		return false
	case left > 0:
		s.quiet.Reset(left)
		return false
	}
	return true
}
