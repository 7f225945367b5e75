package shutdowntest

import (
	"context"
	"net"
	"sync"
	"time"
)

// listener notes when it accepts, and what becomes of its connections.
type listener struct {
	net.Listener
	name string
	seen *seen
	dial func(context.Context) (net.Conn, error)

	once     sync.Once
	accepts  chan struct{} // closed when Accept is first called
	accepted time.Time     // guarded by seen, as closed is
	closed   time.Time
}

func (l *listener) Close() error {
	l.seen.do(func() {
		if l.closed.IsZero() {
			l.closed = time.Now()
			l.seen.event("%s is closed", l.name)
		}
	})
	return l.Listener.Close()
}

func (l *listener) Accept() (net.Conn, error) {
	l.once.Do(func() {
		l.seen.do(func() { l.accepted = time.Now(); l.seen.event("%s accepts", l.name) })
		close(l.accepts)
	})
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	sc := &serverConn{Conn: c, seen: l.seen, listener: l.name, peer: c.RemoteAddr().String(), opened: time.Now()}
	l.seen.do(func() { l.seen.conns = append(l.seen.conns, sc) })
	return sc, nil
}

// serverConn is the service's end of a connection.
type serverConn struct {
	net.Conn
	seen           *seen
	listener, peer string
	opened, closed time.Time // guarded by seen, as wrote is
	wrote          time.Time // when the last Write was called
}

func (c *serverConn) Write(b []byte) (int, error) {
	c.seen.do(func() { c.wrote = time.Now() })
	return c.Conn.Write(b)
}

func (c *serverConn) Close() error {
	c.seen.do(func() {
		if c.closed.IsZero() {
			c.closed = time.Now()
		}
	})
	return c.Conn.Close()
}

// clientConn is a client's end of a connection, with the client's temper.
type clientConn struct {
	net.Conn
	client *client
	over   chan struct{}
	once   sync.Once
}

// pause is what a slow client takes for each read.
const pause = 20 * time.Millisecond

func (c *clientConn) Read(b []byte) (int, error) {
	switch c.client.Temper {
	case slow:
		select {
		case <-time.After(pause):
		case <-c.over:
		}
	case deaf:
		select {
		case <-c.client.turned:
			<-c.over
		default:
		}
	default:
	}
	return c.Conn.Read(b)
}

// Write ends a client's temper if it fails: grpc's client begins a call again and again
// until its reader knows that the connection is gone, and virtual time would stand still.
func (c *clientConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		c.once.Do(func() { close(c.over) })
	}
	return n, err
}

func (c *clientConn) Close() error {
	c.once.Do(func() { close(c.over) })
	return c.Conn.Close()
}

// dial connects a client to a listener.
func (c *client) dial(ctx context.Context, l *listener) (net.Conn, error) {
	conn, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	cc := &clientConn{Conn: conn, client: c, over: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, cc)
	c.seen.do(func() { c.addrs = append(c.addrs, conn.LocalAddr().String()) })
	return cc, nil
}

// leave closes all connections of a client at once.
func (c *client) leave() {
	c.mu.Lock()
	conns := c.conns
	c.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
	}
}
