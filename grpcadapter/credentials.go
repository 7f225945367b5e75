package grpcadapter

import (
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// Credentials returns credentials that do what creds do, and keep the deadlines that
// creds set for themselves from counting as grpc's: see [Listener]. Give them to the
// gRPC server instead of creds if theirs set and reset a deadline; those of grpc do not.
// What they return for a connection is what creds return. Nil stays nil.
func Credentials(creds credentials.TransportCredentials) credentials.TransportCredentials {
	if foreign.IsNil(creds) {
		return nil
	}
	return &knownCredentials{creds}
}

type knownCredentials struct {
	credentials.TransportCredentials
}

// ServerHandshake is that of the credentials inside, and blocks as long.
func (k *knownCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c := tracked(raw); c != nil {
		c.securing.Store(true)
		defer c.securing.Store(false)
	}
	return k.TransportCredentials.ServerHandshake(raw)
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
