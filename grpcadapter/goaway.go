package grpcadapter

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"google.golang.org/grpc/credentials"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// firstGoAway is the frame with which GracefulStop of grpc asks a client to go: no
// error, and no stream is refused yet.
const firstGoAway = "\x00\x00\x15\x07\x00\x00\x00\x00\x00" + // 21 bytes, GOAWAY, no flags, stream 0
	"\x7f\xff\xff\xff" + "\x00\x00\x00\x00" + "graceful_stop"

// watchGoAways returns a channel that is closed when grpc has written its first
// GOAWAY, or somebody has called Close, on every connection that is open and past
// its handshake now. It is called right before GracefulStop; a later call returns
// the same channel.
//
// That may be never, so the caller bounds the wait: what is encrypted shows no
// GOAWAY unless the credentials are those of [Listener.Credentials], and a
// connection that grpc has sent away before, because of its age, gets no second
// one of this kind.
func (l *Listener) watchGoAways() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told != nil {
		return l.told
	}
	l.told = make(chan struct{})
	for c := range l.conns {
		if !c.open || c.handshaking {
			continue
		}
		c.untold = true
		l.untold++
		s := &search{found: func() { l.hasTold(c) }}
		if c.plain != nil {
			c.plain.search.Store(s)
		} else {
			c.lookout.search.Store(s)
		}
	}
	if l.untold == 0 {
		close(l.told)
	}
	return l.told
}

// hasTold is called when a connection's GOAWAY was written.
func (l *Listener) hasTold(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hasToldLocked(c)
}

// hasToldLocked is called with the mutex held.
func (l *Listener) hasToldLocked(c *conn) {
	if !c.untold {
		return
	}
	c.untold = false
	if l.untold--; l.untold == 0 {
		close(l.told)
	}
}

// lookout looks for the GOAWAY in what is written while somebody wants to know.
// Before and after, it costs one atomic load per Write.
type lookout struct{ search atomic.Pointer[search] }

func (o *lookout) write(w io.Writer, b []byte) (int, error) {
	s := o.search.Load() // before: what is on its way now was written before GracefulStop
	n, err := w.Write(b)
	if s != nil && s.in(b[:min(max(n, 0), len(b))]) {
		o.search.Store(nil)
		s.found()
	}
	return n, err
}

// search finds the GOAWAY in a sequence of Writes.
type search struct {
	found func()

	mu   sync.Mutex
	tail []byte // the last bytes of the Writes so far, one less than a frame has
}

// in says whether the frame ends in these bytes, which follow those of the calls
// before.
func (s *search) in(b []byte) bool {
	const rest = len(firstGoAway) - 1
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tail = append(s.tail, b[:min(len(b), rest)]...)
	if bytes.Contains(s.tail, []byte(firstGoAway)) || bytes.Contains(b, []byte(firstGoAway)) {
		return true
	}
	if len(b) >= rest {
		s.tail = append(s.tail[:0], b[len(b)-rest:]...)
	} else {
		s.tail = s.tail[max(0, len(s.tail)-rest):]
	}
	return false
}

// Credentials returns credentials that do what creds do and let the Listener see
// which clients have been told to go, which it cannot see in what is encrypted.
// Give them to the gRPC server instead of creds. The deadlines that creds set for
// themselves do not count as those of grpc then. They see the connections that this
// Listener has accepted; AuthInfo, and what clients do with them, are those of creds.
// Nil stays nil.
func (l *Listener) Credentials(creds credentials.TransportCredentials) credentials.TransportCredentials {
	if foreign.IsNil(creds) {
		return nil
	}
	return &seenCredentials{TransportCredentials: creds, listener: l}
}

type seenCredentials struct {
	credentials.TransportCredentials
	listener *Listener
}

// ServerHandshake is that of the credentials inside, and blocks as long.
func (s *seenCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	ours, ok := raw.(interface{ tracked() *conn })
	if !ok || ours.tracked().listener != s.listener {
		return s.TransportCredentials.ServerHandshake(raw)
	}
	c := ours.tracked()
	s.listener.secures(c, true)
	secured, info, err := s.TransportCredentials.ServerHandshake(raw)
	s.listener.secures(c, false)
	if err != nil || secured == raw || foreign.IsNil(secured) {
		return secured, info, err
	}
	return s.listener.link(c, secured), info, nil
}

// Clone returns credentials of the same Listener.
func (s *seenCredentials) Clone() credentials.TransportCredentials {
	return s.listener.Credentials(s.TransportCredentials.Clone())
}

// UsesXDS is what package xds asks credentials for.
func (s *seenCredentials) UsesXDS() bool {
	x, ok := s.TransportCredentials.(interface{ UsesXDS() bool })
	return ok && x.UsesXDS()
}

// link returns a connection whose Writes are watched in the place of those of the
// tracked one below.
func (l *Listener) link(below *conn, secured net.Conn) net.Conn {
	p := &plainConn{Conn: secured}
	l.mu.Lock()
	below.plain = &p.lookout
	l.mu.Unlock()
	if s, ok := secured.(syscall.Conn); ok {
		return &plainSocketConn{plainConn: p, socket: s}
	}
	return p
}

// plainConn is a connection that encrypts.
type plainConn struct {
	net.Conn
	lookout lookout
}

// Write is that of the connection inside.
func (p *plainConn) Write(b []byte) (int, error) { return p.lookout.write(p.Conn, b) }

// plainSocketConn is a plainConn over a connection that has SyscallConn.
type plainSocketConn struct {
	*plainConn
	socket syscall.Conn
}

// SyscallConn is that of the connection inside.
func (p *plainSocketConn) SyscallConn() (syscall.RawConn, error) { return p.socket.SyscallConn() }
