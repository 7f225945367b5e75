package faults

import (
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// Dial connects to the listener and says nothing: a silent peer, until its owner closes
// it, or writes. The listener is on this machine.
func Dial(ctx context.Context, lis net.Listener) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, lis.Addr().Network(), lis.Addr().String())
}

// HalfClose ends what the peer sends, as shutdown(SHUT_WR) does; it still reads.
func HalfClose(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Reset closes a TCP connection with a reset, as a peer that has crashed does.
func Reset(c *net.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) }

// BrokenPipe returns a pipe that nothing reads: each write fails with EPIPE.
func BrokenPipe() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return w, r.Close()
}

// FullPipe returns a pipe that has no room: each write blocks until something is read.
func FullPipe() (r, w *os.File, err error) {
	r, w, err = os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	if err = w.SetWriteDeadline(time.Now().Add(fillTime)); err == nil {
		for err == nil {
			_, err = w.Write(make([]byte, 4<<10))
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = w.SetWriteDeadline(time.Time{})
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, r.Close(), w.Close())
	}
	return r, w, nil
}

// fillTime is more than a pipe takes to be filled.
const fillTime = 50 * time.Millisecond
