package grpcadapter

// GracefulStop of grpc closes its listeners, waits for the handshakes in progress, and
// then asks every client to go: the GOAWAY is the next thing that it writes to a
// connection on which nothing else happens. So a client counts as asked when a Write
// that began after the last handshake has returned. That needs no look at what is
// written, and works below TLS and xds. Where answers go out in that same instant, one
// of them may be taken for the GOAWAY, which is then a few microseconds behind.

// watchGoAways returns a channel that is closed when every connection that is open once
// the listener is closed and no handshake is in progress has been written to after that,
// or is closed. It is called right before GracefulStop; a later call returns the same
// channel.
//
// That may be never, so the caller bounds the wait: a peer may not read, and a
// connection that grpc has sent away before, because of its age, gets no second
// GOAWAY of this kind.
func (l *Listener) watchGoAways() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told == nil {
		l.told = make(chan struct{})
		l.settle()
	}
	return l.told
}

// beginTelling notes the connections whose GOAWAY is awaited, once. The mutex is held.
func (l *Listener) beginTelling() {
	if l.told == nil || l.telling || !l.isClosed || l.handshaking > 0 {
		return
	}
	l.telling = true
	for c := range l.conns {
		if c.open {
			c.untold.Store(true)
			l.untold++
		}
	}
	if l.untold == 0 {
		close(l.told)
	}
}

// hasTold is called when a connection that was untold has been written to.
func (l *Listener) hasTold(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hasToldLocked(c)
}

// hasToldLocked is called with the mutex held.
func (l *Listener) hasToldLocked(c *conn) {
	if !c.untold.Swap(false) {
		return
	}
	if l.untold--; l.untold == 0 {
		close(l.told)
	}
}
