package grpcadapter

import (
	"io"
	"math"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/mem"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/sock"
)

// socket is a connection of package net with a descriptor.
type socket interface {
	net.Conn
	syscall.Conn
}

// poller is onReady for a socket. The runtime's poller waits, so that deadlines and
// Close end the wait as they end a Read.
type poller struct {
	conn *connset.Conn // around the socket
	raw  syscall.RawConn
	read func(fd uintptr) bool // p.attempt; kept, as each method value is an allocation

	mu   sync.Mutex // held during a call, as package net lets one goroutine read at a time
	size int32
	n    int32
	pool mem.BufferPool
	buf  *[]byte
	err  syscall.Errno
}

// newPoller returns nil for a connection that has no descriptor any more.
func newPoller(c *connset.Conn, s socket) onReady {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	p := &poller{conn: c, raw: raw}
	p.read = p.attempt
	return p
}

// ReadOnReady blocks as Read of the socket does; see onReady. It may be called by any
// number of goroutines.
func (p *poller) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	if size <= 0 {
		return nil, 0, nil // as Read: nothing was asked for, and zero bytes are no end
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size, p.pool = int32(min(size, math.MaxInt32)), pool
	defer p.reset()
	if err := p.raw.Read(p.read); err != nil { // closed, or the deadline has passed
		p.release()
		return nil, 0, err
	}
	switch {
	case p.err != 0:
		return nil, 0, &net.OpError{
			Op: "read", Net: p.conn.LocalAddr().Network(), Source: p.conn.LocalAddr(), Addr: p.conn.RemoteAddr(),
			Err: os.NewSyscallError("read", p.err),
		}
	case p.n == 0:
		p.release()
		return nil, 0, io.EOF
	}
	return p.buf, int(p.n), nil
}

// attempt reads what there is, and reports whether the wait is over. A buffer is held
// only for as long as that takes.
func (p *poller) attempt(fd uintptr) bool {
	p.buf = p.pool.Get(int(p.size))
	for {
		// Package syscall, as package net uses it: the race detector takes reads and writes
		// through golang.org/x/sys/unix for a race with those.
		n, err := syscall.Read(int(fd), *p.buf)
		p.n = int32(n)                 //nolint:gosec // it is at most size
		p.err, _ = err.(syscall.Errno) //nolint:errorlint // it is returned as it is
		if p.err != syscall.EINTR {
			break
		}
	}
	if p.err == 0 {
		return true
	}
	p.release()
	return p.err != syscall.EAGAIN
}

// release returns the buffer to the pool.
func (p *poller) release() {
	if p.buf != nil {
		p.pool.Put(p.buf)
		p.buf = nil
	}
}

// reset keeps nothing alive until the next call.
func (p *poller) reset() { p.pool, p.buf, p.n, p.err = nil, nil, 0, 0 }

// setUserTimeout sets TCP_USER_TIMEOUT, to a millisecond at least. What is no TCP
// socket stays as it is.
func setUserTimeout(c net.Conn, d time.Duration) {
	ms := int(min((d+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
	sock.Control(c, func(fd uintptr) {
		// The connection serves as well without: an error is no reason to lose it.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms)
	})
}
