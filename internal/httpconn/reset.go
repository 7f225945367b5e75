package httpconn

import (
	"crypto/tls"
	"net"
)

// Resets has the peer see a reset, over TCP, by whomever the connection is closed: where its
// end is that of the answer, the peer could take a part for all of it. What was written and
// has not arrived is lost then. Resets(false) takes it back. It does not block.
func (c *Conn) Resets(on bool) {
	linger := -1
	if on {
		linger = 0
	}
	if tcp := c.tcp(); tcp != nil {
		_ = tcp.SetLinger(linger) // fails if it is closed
	}
}

// Reset closes the connection, over TCP so that the peer sees a reset. It does not block.
func (c *Conn) Reset() {
	if c.Resets(true); c.tcp() != nil {
		_ = c.tcp().Close() // here: net/http goes on to say goodbye over a TLS of the listener
	}
	c.Finish()
}

// tcp returns the connection of TCP below; nil if there is none.
func (c *Conn) tcp() *net.TCPConn {
	nc := c.NetConn()
	if secured, ok := nc.(*tls.Conn); ok {
		nc = secured.NetConn()
	}
	tcp, _ := nc.(*net.TCPConn)
	return tcp
}
