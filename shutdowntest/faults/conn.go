package faults

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// Conn is a connection of which some calls go wrong. It hides what else the connection
// inside can do: there is no descriptor, CloseWrite or ReadFrom.
type Conn struct {
	net.Conn
	Faults In
}

// Read is that of the connection inside, after its Fault.
func (c *Conn) Read(b []byte) (int, error) { c.Faults.Do(Read); return c.Conn.Read(b) }

// Write is that of the connection inside, after its Fault.
func (c *Conn) Write(b []byte) (int, error) { c.Faults.Do(Write); return c.Conn.Write(b) }

// Close is that of the connection inside, after its Fault.
func (c *Conn) Close() error { c.Faults.Do(Close); return c.Conn.Close() }

// LocalAddr is that of the connection inside, after its Fault.
func (c *Conn) LocalAddr() net.Addr { c.Faults.Do(LocalAddr); return c.Conn.LocalAddr() }

// RemoteAddr is that of the connection inside, after its Fault.
func (c *Conn) RemoteAddr() net.Addr { c.Faults.Do(RemoteAddr); return c.Conn.RemoteAddr() }

// SetDeadline is that of the connection inside, after the Fault of Deadline.
func (c *Conn) SetDeadline(t time.Time) error { c.Faults.Do(Deadline); return c.Conn.SetDeadline(t) }

// SetReadDeadline is that of the connection inside, after the Fault of Deadline.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.Faults.Do(Deadline)
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline is that of the connection inside, after the Fault of Deadline.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.Faults.Do(Deadline)
	return c.Conn.SetWriteDeadline(t)
}

// OverConn is a Conn that names the connection below it, as *tls.Conn does.
type OverConn struct {
	Conn
	Below func(outside net.Conn) net.Conn // what NetConn returns; nil: the connection inside
}

// NetConn is what Below returns, after the Fault of Below.
func (c *OverConn) NetConn() net.Conn {
	c.Faults.Do(Below)
	if c.Below != nil {
		return c.Below(c)
	}
	return c.Conn.Conn
}

// SocketConn is an OverConn with a SyscallConn of its own.
type SocketConn struct{ OverConn }

// SyscallConn is that of the connection inside, if it has one, after the Fault of Socket.
func (c *SocketConn) SyscallConn() (syscall.RawConn, error) {
	c.Faults.Do(Socket)
	if s, ok := c.Conn.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Over returns an OverConn around c.
func Over(c net.Conn, faults In) *OverConn { return &OverConn{Conn: Conn{c, faults}} }

// OverSocket returns a SocketConn around c.
func OverSocket(c net.Conn, faults In) *SocketConn { return &SocketConn{*Over(c, faults)} }
