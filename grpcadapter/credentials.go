package grpcadapter

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// Credentials returns credentials that do what creds do, for a gRPC server on a [Listener].
// Give them to the server instead of creds. They have three uses:
//
//   - The deadlines that creds set for themselves do not count as grpc's: see [Listener].
//     Those of grpc set none.
//   - The Listener sees which connections are idle, as it does without TLS: those are closed
//     soon after their GOAWAY, and do not count as lost if the timer finds nothing else.
//   - A handshake that hangs, as in a GetCertificate that asks another server, holds neither
//     GracefulStop nor Stop: grpc waits for handshakes, and this one is over for it when the
//     connection is closed. The report names it.
//
// The connections that they return have the methods SyscallConn and ReadOnReady if those
// of creds have them, and no others. For nil Credentials returns nil.
func Credentials(creds credentials.TransportCredentials) credentials.TransportCredentials {
	if foreign.IsNil(creds) {
		return nil
	}
	return &knownCredentials{creds}
}

type knownCredentials struct {
	credentials.TransportCredentials
}

// callHandshake is the name under which a report has handshakes that do not return.
const callHandshake = "credentials.ServerHandshake"

// ServerHandshake is that of the credentials inside, and blocks as long, but at most until the
// connection is closed.
func (k *knownCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c := tracked(raw)
	if c == nil {
		return k.TransportCredentials.ServerHandshake(raw)
	}
	c.state.Or(securing)
	defer c.state.And(^uint32(securing))
	var inside net.Conn
	var info credentials.AuthInfo
	err := errors.New("grpcadapter: ServerHandshake of the credentials ended its goroutine")
	returned := c.listener.foreign.Run(callHandshake, func() {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("grpcadapter: ServerHandshake of the credentials panicked: %v", v)
			}
		}()
		inside, info, err = k.TransportCredentials.ServerHandshake(raw)
	})
	select {
	case <-returned:
	case <-c.Done():
		if !foreign.Within(returned, moment) {
			return nil, nil, net.ErrClosed
		}
	}
	if err != nil || foreign.IsNil(inside) || inside == raw {
		return inside, info, err
	}
	c.streams.cover(inside)
	c.state.Or(secured)
	return watch(c, inside), info, nil
}

// Clone returns credentials around a clone of those inside.
func (k *knownCredentials) Clone() credentials.TransportCredentials {
	return Credentials(k.TransportCredentials.Clone())
}

// UsesXDS is what package xds asks credentials for.
func (k *knownCredentials) UsesXDS() bool {
	x, ok := k.TransportCredentials.(interface{ UsesXDS() bool })
	return ok && x.UsesXDS()
}

// securedConn is what credentials have made of a conn. What is read from it and written to
// it is HTTP/2 in clear.
type securedConn struct {
	net.Conn
	below *conn
}

func (c *securedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.below.follow(b, n, (*streams).read)
	return n, err
}

func (c *securedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.below.follow(b, n, (*streams).wrote)
	return n, err
}

// securedReader is a securedConn that grpc reads with ReadOnReady.
type securedReader struct {
	securedConn
	reader onReady
}

func (c *securedReader) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	buf, n, err := c.reader.ReadOnReady(size, pool)
	if buf != nil {
		c.below.follow(*buf, n, (*streams).read)
	}
	return buf, n, err
}

// watch returns a connection that is secured, with SyscallConn and ReadOnReady if that has
// them.
func watch(below *conn, c net.Conn) net.Conn {
	own := securedConn{c, below}
	socket, isSocket := c.(syscall.Conn)
	reader, reads := c.(onReady)
	switch {
	case isSocket && reads:
		return &struct {
			securedReader
			syscall.Conn
		}{securedReader{own, reader}, socket}
	case isSocket:
		return &struct {
			securedConn
			syscall.Conn
		}{own, socket}
	case reads:
		return &securedReader{own, reader}
	default:
		return &own
	}
}
