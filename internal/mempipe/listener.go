package mempipe

import (
	"context"
	"net"
	"sync"
)

// Listener is a net.Listener in memory. Its methods may be called by any number of
// goroutines.
type Listener struct {
	room   int
	came   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Listen returns a Listener whose connections have room for so many bytes each way.
func Listen(room int) *Listener {
	return &Listener{room: room, came: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept blocks until a client dials, or until Close, and returns net.ErrClosed then.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.came:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close refuses who dials from now on.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns an address that says nothing.
func (*Listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// Dial is DialContext without an end.
func (l *Listener) Dial() (net.Conn, error) { return l.DialContext(context.Background()) }

// DialContext blocks until the connection is accepted, or refused, or until ctx ends.
func (l *Listener) DialContext(ctx context.Context) (net.Conn, error) {
	return l.DialFrom(ctx, "memory")
}

// DialFrom is DialContext for a client with an address.
func (l *Listener) DialFrom(ctx context.Context, address string) (net.Conn, error) {
	select {
	case <-l.closed: // first: who comes later is refused
		return nil, net.ErrClosed
	default:
	}
	near, far := between(l.room, address, "memory")
	select {
	case l.came <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
