package drain_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/lastcall-go/lastcall/drain"
)

// Cut counts a connection over TLS once, and lets it say goodbye, if nothing has closed it
// before.
func TestCutOverTLS(t *testing.T) {
	server, client := certified(t)
	for range 20 {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		peer, err := new(net.Dialer).DialContext(t.Context(), "tcp", lis.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		inside, err := lis.Accept()
		if err != nil {
			t.Fatal(err)
		}
		secured, outside := tls.Server(inside, server), tls.Client(peer, client)
		shaken := make(chan error, 1)
		go func() { shaken <- outside.HandshakeContext(t.Context()) }()
		if err := secured.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-shaken; err != nil {
			t.Fatal(err)
		}
		g := drain.New()
		c, err := g.Watcher().WatchConn(context.Background(), "conn", secured)
		if err != nil {
			t.Fatal(err)
		}
		if n := g.Cut(); n != 1 {
			t.Fatalf("Cut has closed one connection, and returned %d", n)
		}
		if _, err := outside.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // as it comes
			t.Errorf("the peer read %v", err)
		}
		_, _, _ = c.Close(), outside.Close(), lis.Close()
		g.GracefulStop()
	}
}
