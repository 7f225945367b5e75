package connset

import (
	"context"
	"crypto/tls"
	"io"
	"net"
)

// Wired is a connection type that embeds a *[Wire]. Its methods are what a server calls,
// whatever [WithMethods] adds.
type Wired interface {
	net.Conn
	NetConn() net.Conn
	wire() *Wire
	// EndWrites is called for CloseWrite. It calls close, or does something else instead.
	EndWrites(closeWrite func() error) error
}

func (w *Wire) wire() *Wire { return w }

// EndWrites closes the sending side.
func (*Wire) EndWrites(closeWrite func() error) error { return closeWrite() }

// WithMethods returns a net.Conn that is c, and has the optional methods of the connection
// inside for which servers look: all of a *net.TCPConn; CloseWrite; and those by which
// net/http recognizes TLS. It has none that the connection inside does not have.
func WithMethods(c Wired) net.Conn {
	switch inner := c.wire().NetConn().(type) {
	case *net.TCPConn:
		return &tcpConn{inner, c}
	case secured:
		return &securedConn{c, inner}
	case closeWriter:
		return &halfConn{c, inner}
	}
	return c
}

// WithoutMethods returns the connection that [WithMethods] was given, or c itself if it is
// not from there.
func WithoutMethods(c net.Conn) net.Conn {
	if m, ok := c.(interface{ plain() Wired }); ok {
		return m.plain()
	}
	return c
}

type (
	closeWriter interface{ CloseWrite() error }
	secured     interface{ ConnectionState() tls.ConnectionState }

	tcpConn struct {
		*net.TCPConn
		own Wired
	}
	halfConn struct {
		Wired
		inner closeWriter
	}
	securedConn struct {
		Wired
		inner secured
	}
)

func (c *tcpConn) plain() Wired     { return c.own }
func (c *halfConn) plain() Wired    { return c.Wired }
func (c *securedConn) plain() Wired { return c.Wired }

func (c *tcpConn) Read(b []byte) (int, error)               { return c.own.Read(b) }
func (c *tcpConn) Write(b []byte) (int, error)              { return c.own.Write(b) }
func (c *tcpConn) Close() error                             { return c.own.Close() }
func (c *tcpConn) NetConn() net.Conn                        { return c.TCPConn }
func (c *tcpConn) ReadFrom(r io.Reader) (int64, error)      { return c.own.wire().readFrom(c.TCPConn, r) }
func (c *tcpConn) CloseWrite() error                        { return c.own.EndWrites(c.TCPConn.CloseWrite) }
func (c *halfConn) CloseWrite() error                       { return c.EndWrites(c.inner.CloseWrite) }
func (c *securedConn) ConnectionState() tls.ConnectionState { return c.inner.ConnectionState() }

// HandshakeContext is that of the connection inside; without one there is nothing to do.
func (c *securedConn) HandshakeContext(ctx context.Context) error {
	if h, ok := c.inner.(interface{ HandshakeContext(context.Context) error }); ok {
		return h.HandshakeContext(ctx)
	}
	return nil
}
