package drain

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/sock"
)

// Conn is a connection that a group waits for until Close is called. It is idle at first,
// because nothing has been read from it, and busy from the first byte that Read returns.
//
// In the drain an idle connection ends at once: Read returns io.EOF without having read
// anything. A connection from which nothing was ever read may wait for its first byte until a
// second after WatchConn was called, or for half of the time to the timer if that is less: the
// client has just connected, and no other process will serve it. A busy connection goes on as
// if nothing had happened, until it is idle again: see Idle. So a request of which a byte was
// read is served to its end, and none is read in part. If Idle is never called, the group waits
// until the connection is closed; Tell and lastcall.Draining are for such connections.
//
// All methods may be called by any number of goroutines. Those that are not described here are
// those of the connection inside.
type Conn struct {
	net.Conn
	handle *Handle
	kept   *connset.Conn // which closes it

	mu        sync.Mutex // guards what is below; never held while the connection inside is called
	idle      bool
	first     time.Time // until when the first byte may come in the drain; zero: it has come
	draining  bool
	cancelled bool
	cause     error // of the cancellation
	left      bool  // Close was called
	gone      bool  // Close of the connection inside has returned
	reads     limit
	writes    limit
	goodbye   bool // the deadline for writes was set after the cancellation
	woken     int  // how often a Read may have been woken by us
	peer      string
}

func newConn(kept *connset.Conn) net.Conn {
	return &Conn{Conn: kept.Conn, kept: kept, idle: true, first: time.Now().Add(firstTime)}
}

// Context returns the context of the work on the connection; see [Handle.Context].
// It ends with Close.
func (c *Conn) Context() context.Context { return c.handle.Context() }

// Tell is [Handle.Tell], for protocols that say goodbye.
func (c *Conn) Tell(f func()) { c.handle.Tell(f) }

// NetConn returns the connection inside. A Read from that does not make the Conn busy.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Idle marks the connection as being between two requests: the last one is answered, and no
// byte of the next one has been read. It returns false if there is to be no next one, because
// the group has closed; Read then returns io.EOF. It does not block. Call it on the goroutine
// that reads: a byte that another goroutine has read in the meantime would count as not read.
// With a bufio.Reader a server loops like this:
//
//	for r.Buffered() > 0 || conn.Idle() {
//		line, err := r.ReadString('\n')
//		...
//	}
func (c *Conn) Idle() bool {
	c.mu.Lock()
	c.idle = true
	c.reads.version++
	ending, over := c.draining || c.cancelled, c.cancelled || c.over()
	c.mu.Unlock()
	if ending {
		c.wake(c.setReadDeadline) // another goroutine may be reading
	}
	return !over
}

// over reports whether the drain has ended the connection. The mutex is held.
func (c *Conn) over() bool { return c.draining && c.idle && !time.Now().Before(c.first) }

// Read reads from the connection. It returns io.EOF if the connection is idle and
// the group has closed, and the cause of the cancellation, which is lastcall.ErrTimer,
// after that.
func (c *Conn) Read(b []byte) (int, error) {
	for {
		if err := c.mayRead(); err != nil {
			return 0, err
		}
		n, err := c.Conn.Read(b)
		if n > 0 {
			c.received()
			return n, err
		}
		if !isTimeout(err) || !c.wasWoken() {
			return n, err
		}
		if err := c.mayRead(); err != nil {
			return 0, err
		}
		// The drain has tried to wake it when a byte had come.
		if err := c.setReadDeadline(); err != nil {
			return 0, err
		}
	}
}

// mayRead returns why nothing is to be read.
func (c *Conn) mayRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cancelled:
		return c.cause
	case c.over():
		return io.EOF
	default:
		return nil
	}
}

// received is called when something was read.
func (c *Conn) received() {
	c.mu.Lock()
	begins := c.idle
	if begins {
		c.idle, c.first = false, time.Time{}
		c.reads.version++
	}
	unknown := c.peer == "" && !c.kept.Direct()
	c.mu.Unlock()
	if begins {
		c.handle.group.tracker.Arrive()
	}
	if unknown {
		// Asked for here, as RemoteAddr may wait for the peer (PROXY protocol).
		peer := connset.Address(c.RemoteAddr)
		c.mu.Lock()
		c.peer = peer
		c.mu.Unlock()
	}
}

func (c *Conn) peerAddr() string {
	if c.kept.Direct() {
		return connset.Address(c.RemoteAddr)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer
}

// ReadFrom is io.Copy to the connection inside, so that an io.Copy to the Conn can use that
// connection's ReadFrom.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// Close closes the connection and marks the work on it as ended. It blocks for as long as Close
// of a *net.TCPConn or *net.UnixConn does. Any other connection is closed on another goroutine,
// and its error is dropped. In the drain Close first drops the data that the peer has sent and
// that was not read, so that the peer sees the end of the stream and not a reset. If there was
// such data, the peer may go on sending for a while; Close does not wait for that, but the
// drain does. A second call does nothing and returns nil.
func (c *Conn) Close() error {
	c.mu.Lock()
	again := c.left
	c.left = true
	inDrain, gone := c.draining || c.cancelled, c.gone
	c.mu.Unlock()
	switch {
	case gone:
		c.handle.Done()
	case again: // Done comes when that has returned
	case !inDrain:
		return c.kept.Close()
	case c.linger():
	case c.kept.Direct():
		c.kept.FinishHere()
	default:
		c.kept.Finish()
	}
	return nil
}

// closed is called when Close of the connection inside has returned.
func (c *Conn) closed() {
	c.mu.Lock()
	c.gone = true
	left := c.left
	c.mu.Unlock()
	if left {
		c.handle.Done()
	}
}

// linger closes a connection over TCP, or TLS over TCP, whose peer has sent something that was
// not read, and reports whether it is such a one; see [connset.Conn.Linger]. The drain waits for
// the peer, but for no more than half of the time that is left to the timer. It does not block.
func (c *Conn) linger() bool {
	tcp, ok := c.Conn.(*net.TCPConn)
	if secured, over := c.Conn.(*tls.Conn); over {
		tcp, ok = secured.NetConn().(*net.TCPConn)
	}
	if !ok || c.isCancelled() || !sock.Discard(tcp) {
		return false
	}
	c.kept.Linger(tcp, connset.LingerTime, c.handle.group.tracker.Within(connset.MaxLinger))
	if c.isCancelled() {
		c.hurry()
	}
	return true
}

// hurry ends linger. It does not block.
func (c *Conn) hurry() {
	c.mu.Lock()
	left := c.left
	c.mu.Unlock()
	if left {
		c.kept.Finish()
	}
}

func (c *Conn) isCancelled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cancelled
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}
