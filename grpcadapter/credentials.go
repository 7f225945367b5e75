package grpcadapter

import (
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// Credentials returns credentials that do what creds do, and keep the deadlines that
// creds set for themselves from counting as grpc's: see [Listener]. Give them to the
// gRPC server instead of creds. They know the connections that this Listener has
// accepted; what they return for those is what creds return. Nil stays nil.
func (l *Listener) Credentials(creds credentials.TransportCredentials) credentials.TransportCredentials {
	if foreign.IsNil(creds) {
		return nil
	}
	return &knownCredentials{TransportCredentials: creds, listener: l}
}

type knownCredentials struct {
	credentials.TransportCredentials
	listener *Listener
}

// ServerHandshake is that of the credentials inside, and blocks as long.
func (k *knownCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if ours, ok := raw.(interface{ tracked() *conn }); ok && ours.tracked().listener == k.listener {
		c := ours.tracked()
		k.listener.secures(c, true)
		defer k.listener.secures(c, false)
	}
	return k.TransportCredentials.ServerHandshake(raw)
}

// Clone returns credentials of the same Listener.
func (k *knownCredentials) Clone() credentials.TransportCredentials {
	return k.listener.Credentials(k.TransportCredentials.Clone())
}

// UsesXDS is what package xds asks credentials for.
func (k *knownCredentials) UsesXDS() bool {
	x, ok := k.TransportCredentials.(interface{ UsesXDS() bool })
	return ok && x.UsesXDS()
}
