package drain

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/sock"
)

// How long the drain waits for a peer that goes on sending when it is answered: until it is
// silent for lingerTime, and in all for maxLinger, but no more than half of the time that
// is left to the timer.
const (
	lingerTime = time.Second
	maxLinger  = 5 * time.Second
)

// callLinger is the name under which a report has such a peer.
const callLinger = "a peer that still sends"

// linger closes a connection over TCP, or TLS over TCP, whose peer has sent something that was not read, and
// reports whether it is such a one. It does not block: what comes is dropped on another
// goroutine. Close alone would make the kernel send a reset as soon as more comes, and drop
// what the peer does not have of its answer.
func (c *Conn) linger() bool {
	tcp, ok := c.Conn.(*net.TCPConn)
	secured, over := c.Conn.(*tls.Conn)
	if over {
		tcp, ok = secured.NetConn().(*net.TCPConn)
	}
	if !ok || !sock.Discard(tcp) {
		return false
	}
	c.mu.Lock()
	cancelled := c.cancelled
	if !cancelled {
		c.lingers = tcp
	}
	c.mu.Unlock()
	if cancelled {
		return false
	}
	most := maxLinger
	if at, known := lastcall.TimerAt(c.handle.Context()); known {
		most = min(most, time.Until(at)/2)
	}
	c.handle.group.callThen(callLinger, func() {
		if over {
			_ = secured.CloseWrite() // it fails if the peer has gone
		}
		if tcp.CloseWrite() == nil {
			sock.Drop(tcp, lingerTime, most)
		}
		_ = tcp.Close() // the peer has had its time
	}, c.closed)
	return true
}

// hurry ends linger. It does not block.
func (c *Conn) hurry() {
	c.mu.Lock()
	lingers := c.lingers
	c.mu.Unlock()
	if lingers != nil {
		_ = lingers.Close() // linger sees it
	}
}
