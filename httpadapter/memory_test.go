package httpadapter_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memory is a network whose connections have room for as much as those of TCP have.
// The bufconn of grpc will not do: a read deadline that net/http has set and taken
// back may fire there all the same.
func memory() *network { return memoryOf(64 << 10) }

// narrow is a network whose connections have next to no room.
func narrow() *network { return memoryOf(1 << 10) }

func memoryOf(room int) *network {
	lis := &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	return &network{Listener: lis, dial: func(ctx context.Context) (net.Conn, error) {
		a, b := newHalf(room), newHalf(room)
		select {
		case lis.conns <- &memoryConn{in: a, out: b}:
			return &memoryConn{in: b, out: a}, nil
		case <-lis.closed:
			return nil, errors.New("refused")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

type memoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }
func (*memoryListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// memoryConn is one end of a connection.
type memoryConn struct{ in, out *half }

func (c *memoryConn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *memoryConn) Write(b []byte) (int, error) { return c.out.write(b) }
func (*memoryConn) LocalAddr() net.Addr           { return &net.UnixAddr{Name: "memory"} }
func (*memoryConn) RemoteAddr() net.Addr          { return &net.UnixAddr{Name: "memory"} }

func (c *memoryConn) Close() error {
	c.in.change(func() { c.in.unread = true })
	c.out.change(func() { c.out.ended = true })
	return nil
}

func (c *memoryConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.in.deadline(&c.in.readBy, t)
	return nil
}

func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	c.out.deadline(&c.out.writeBy, t)
	return nil
}

// half is one direction of a connection.
type half struct {
	room int

	mu              sync.Mutex
	changed         *sync.Cond
	data            []byte
	ended           bool // the writer has closed
	unread          bool // the reader has closed
	readBy, writeBy time.Time
}

func newHalf(room int) *half {
	h := &half{room: room}
	h.changed = sync.NewCond(&h.mu)
	return h
}

func (h *half) change(what func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	what()
	h.changed.Broadcast()
}

func (h *half) deadline(which *time.Time, t time.Time) {
	h.change(func() { *which = t })
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), func() { h.change(func() {}) })
	}
}

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.unread:
			return 0, net.ErrClosed
		case passed(h.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(h.data) > 0:
			n := copy(b, h.data)
			h.data = h.data[n:]
			h.changed.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(b []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(b) > 0 {
		switch {
		case h.ended:
			return n, net.ErrClosed
		case h.unread:
			return n, io.ErrClosedPipe
		case passed(h.writeBy):
			return n, os.ErrDeadlineExceeded
		}
		if k := min(len(b), h.room-len(h.data)); k > 0 {
			h.data = append(h.data, b[:k]...)
			b, n = b[k:], n+k
			h.changed.Broadcast()
			continue
		}
		h.changed.Wait()
	}
	return n, nil
}
