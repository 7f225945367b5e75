// Package mempipe provides connections in memory for tests in virtual time. grpc's bufconn does
// not suit all of these tests: a read deadline that net/http has set and removed may still fire
// there, and its timers that fire at once can crash the race detector in bubbles of
// testing/synctest (golang/go#78156).
package mempipe

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// New returns the two ends of a connection, each of which has room for so many bytes
// that the other has not read. Their methods may be called by any number of goroutines.
func New(room int) (near, far net.Conn) { return between(room, "memory", "memory") }

// between returns the ends of a connection between two addresses.
func between(room int, nearby, faraway string) (near, far *conn) {
	a, b := newHalf(room), newHalf(room)
	return &conn{in: a, out: b, local: nearby, remote: faraway}, &conn{in: b, out: a, local: faraway, remote: nearby}
}

// conn is one end of a connection.
type conn struct {
	in, out       *half
	local, remote string
}

func (c *conn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *conn) Write(b []byte) (int, error) { return c.out.write(b) }
func (c *conn) LocalAddr() net.Addr         { return &net.UnixAddr{Name: c.local, Net: "memory"} }
func (c *conn) RemoteAddr() net.Addr        { return &net.UnixAddr{Name: c.remote, Net: "memory"} }

func (c *conn) Close() error {
	c.in.change(func() { c.in.unread = true })
	c.out.change(func() { c.out.ended = true })
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.deadline(&c.in.readBy, t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
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
	if left := time.Until(t); !t.IsZero() && left > 0 {
		time.AfterFunc(left, func() { h.change(func() {}) })
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
