package proptest

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// memory is a listener in memory whose connections are spans of the log: from the dial
// until the server closes them.
type memory struct {
	log    *Log
	server string
	came   chan net.Conn
	once   sync.Once
	closed chan struct{}
	served chan struct{} // closed when Accept is called
	first  sync.Once
}

func newMemory(l *Log, server string) *memory {
	return &memory{log: l, server: server, came: make(chan net.Conn), closed: make(chan struct{}), served: make(chan struct{})}
}

var errRefused = errors.New("connection refused")

func (m *memory) Accept() (net.Conn, error) {
	m.first.Do(func() { close(m.served) })
	select {
	case c := <-m.came:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.once.Do(func() { close(m.closed) }); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// memoryConn is the server's end of a connection.
type memoryConn struct {
	net.Conn
	log  *Log
	span *Span
	once sync.Once
	read sync.Once
}

// Read notes, as the span's value, when something first came.
func (c *memoryConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.read.Do(func() { c.log.do(func() { c.span.Value = time.Now() }) })
	}
	return n, err
}

func (c *memoryConn) Close() error {
	c.once.Do(func() { c.log.leave(c.span, Returned, nil) })
	return c.Conn.Close()
}

// dial connects. Its span has the name of the server, and how the client speaks as its
// text.
func (m *memory) dial(ctx context.Context, over string) (net.Conn, error) {
	select {
	case <-m.closed: // first: who comes later is refused
		return nil, errRefused
	default:
	}
	near, far := mempipe.New(4 << 10)
	c := &memoryConn{Conn: far, log: m.log, span: &Span{Op: opConn, Name: m.server, Text: over, In: time.Now()}}
	err := errRefused
	select {
	case m.came <- c:
		m.log.do(func() { c.span.in = m.log.seq; m.log.spans = append(m.log.spans, c.span) })
		return near, nil
	case <-m.closed:
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = near.Close()
	return nil, err
}
