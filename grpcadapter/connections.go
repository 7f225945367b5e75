package grpcadapter

import (
	"net"
	"time"
)

// Connections returns how many connections are open, and how many of these are in
// their handshake. A connection is open until its Close is called.
func (l *Listener) Connections() (open, handshaking int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.handshaking
}

// Cut closes every connection that is open, all at once, and blocks until each of
// them, and each whose Close was called before, is closed: for ever, if a Close
// hangs. What peers have sent and nobody has read is discarded, so that they see
// the end of the stream and no reset. It returns how many were open. Close comes
// first: Cut does not keep the listener from accepting.
func (l *Listener) Cut() int {
	l.mu.Lock()
	var left []*conn
	var closed []<-chan struct{}
	for c := range l.conns {
		closed = append(closed, c.whenClosed())
		if l.leave(c) {
			left = append(left, c)
		}
	}
	l.cut += len(left)
	l.settle()
	l.mu.Unlock()
	for _, c := range left {
		c.cut()
	}
	for _, c := range closed {
		<-c
	}
	return len(left)
}

// closeAll closes every connection that is open as Cut does, but does not wait, and
// counts none: it is a part of Stop. Writes that begin later fail at once.
func (l *Listener) closeAll() {
	l.mu.Lock()
	var left []*conn
	for c := range l.conns {
		if l.leave(c) {
			c.shut.Store(true)
			left = append(left, c)
		}
	}
	l.settle()
	l.mu.Unlock()
	for _, c := range left {
		c.cut()
	}
}

// awaitCloses blocks until every connection whose Close was called is closed: for
// ever, if a Close hangs.
func (l *Listener) awaitCloses() {
	l.mu.Lock()
	var closed []<-chan struct{}
	for c := range l.conns {
		if !c.open {
			closed = append(closed, c.whenClosed())
		}
	}
	l.mu.Unlock()
	for _, c := range closed {
		<-c
	}
}

// whenClosed returns a channel that is closed when Close of the connection has returned.
// The listener's mutex is held, and the connection is one of those whose has not.
func (c *conn) whenClosed() <-chan struct{} {
	if c.done == nil { // most connections need none
		c.done = make(chan struct{})
	}
	return c.done
}

// closeHandshakes closes the connections that are in their handshake, and every
// one that is accepted from now on. It does not block.
func (l *Listener) closeHandshakes() {
	l.mu.Lock()
	l.refusing = true
	l.mu.Unlock()
	l.cutHandshakes()
}

// cutHandshakes closes the connections that are in their handshake.
func (l *Listener) cutHandshakes() {
	l.mu.Lock()
	var silent []*conn
	for c := range l.conns {
		if c.handshaking && l.leave(c) {
			silent = append(silent, c)
		}
	}
	if len(silent) > 0 {
		l.silent += len(silent)
		l.silentUntil = time.Now()
	}
	l.settle()
	l.mu.Unlock()
	for _, c := range silent {
		c.cut()
	}
}

// closedEarly returns how many connections were closed in their handshake because it took
// too long, or because of closeHandshakes, and how many by Cut.
func (l *Listener) closedEarly() (handshakes, connections int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silent, l.cut
}

// limitHandshakes shortens HandshakeTime to d, if it is longer. It comes before
// Close.
func (l *Listener) limitHandshakes(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handshakeTime = min(l.handshakeTime, max(d, 0))
}

// heldUntil returns until when connections in their handshake held grpc; zero if
// none was closed for that.
func (l *Listener) heldUntil() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silentUntil
}

// drained returns a channel that is closed once Close was called and no connection
// is open. That is final: none comes any more. It is always the same channel.
func (l *Listener) drained() <-chan struct{} { return l.emptied }

// closed returns a channel that is closed once the listener is drained and every
// Close of a connection has returned. It is always the same channel. A listener
// whose Accept ignores Close may still come with a connection, which is closed at
// once; until then left names that Accept.
func (l *Listener) closed() <-chan struct{} { return l.finished }

// admit tracks a connection and returns it as grpc gets it. It closes the
// connection instead, and returns false, if none is wanted any more.
func (l *Listener) admit(inner net.Conn) (net.Conn, bool) {
	c := &conn{Conn: inner, listener: l}
	l.mu.Lock()
	wanted := !l.isClosed && !l.refusing
	l.conns[c] = struct{}{}
	if wanted {
		c.open, c.handshaking = true, true
		l.open++
		l.handshaking++
	}
	l.mu.Unlock()
	if !wanted {
		_ = c.close() // nobody has seen it
		return nil, false
	}
	return c.outside(), true
}

// handshakeOver is called when grpc has ended the handshake of a connection.
func (l *Listener) handshakeOver(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.handshaking && !c.securing {
		c.handshaking = false
		l.handshaking--
		l.greeted = true
		l.settle()
	}
}

// secures is called when credentials begin and end their part of a handshake, in
// which deadlines are theirs.
func (l *Listener) secures(c *conn, begins bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.securing = begins
}

// served says whether a handshake was over on any connection.
func (l *Listener) served() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.greeted
}

// closes is called when somebody closes a connection, and reports whether he is
// the first.
func (l *Listener) closes(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.leave(c)
	l.settle()
	return first
}

// leave takes a connection out of those that are open and reports whether it was
// one. The mutex is held, and settle comes next.
func (l *Listener) leave(c *conn) bool {
	if !c.open {
		return false
	}
	c.open = false
	l.open--
	if c.handshaking {
		c.handshaking = false
		l.handshaking--
	}
	l.hasToldLocked(c)
	return true
}

// ended is called when Close of a connection has returned.
func (l *Listener) ended(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.done != nil {
		close(c.done)
	}
	delete(l.conns, c)
	l.settle()
}

// settle draws the conclusions from what has just changed. The mutex is held.
func (l *Listener) settle() {
	if l.handshaking == 0 && l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	l.beginTelling()
	if !l.isClosed || l.open > 0 {
		return
	}
	closeOnce(l.emptied)
	if len(l.conns) == 0 {
		closeOnce(l.finished)
	}
}

// closeOnce closes a channel that nobody else closes at the same time.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}
