package grpcadapter_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// Credentials do what those inside do: the same Info, AuthInfo and errors, and
// SyscallConn if the connection has it.
func TestCredentials(t *testing.T) {
	server, client := certified(t)
	over := func(creds credentials.TransportCredentials, ours, theirs net.Conn) (net.Conn, error) {
		done := make(chan error)
		go func() {
			_, _, err := client.ClientHandshake(t.Context(), "server", theirs)
			done <- err
		}()
		c, info, err := creds.ServerHandshake(ours)
		if err == nil {
			if err := <-done; err != nil {
				t.Error(err)
			}
			if i, ok := info.(credentials.TLSInfo); !ok || !i.State.HandshakeComplete {
				t.Errorf("AuthInfo is %v", info)
			}
		}
		return c, err
	}
	t.Run("TCP", func(t *testing.T) {
		_, ours, theirs := accept(t, "tcp")
		creds := grpcadapter.Credentials(server)
		if creds.Info() != server.Info() {
			t.Errorf("Info is %v, want %v", creds.Info(), server.Info())
		}
		c, err := over(creds, ours, theirs)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := c.(syscall.Conn)
		if !ok {
			t.Fatal("a secured TCP connection has no SyscallConn")
		}
		if _, err := s.SyscallConn(); err != nil {
			t.Error(err)
		}
	})
	t.Run("bufconn", func(t *testing.T) {
		inner := mempipe.Listen(1 << 16)
		lis := grpcadapter.WrapListener(inner)
		dialled := make(chan net.Conn, 1)
		go func() {
			c, _ := inner.Dial()
			dialled <- c
		}()
		ours, err := lis.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c, err := over(grpcadapter.Credentials(server), ours, <-dialled)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c.(syscall.Conn); ok {
			t.Error("a connection without a descriptor has SyscallConn")
		}
	})
	t.Run("a failing handshake", func(t *testing.T) {
		_, ours, theirs := accept(t, "tcp")
		theirs.Close()
		if c, info, err := grpcadapter.Credentials(server).ServerHandshake(ours); !errors.Is(err, io.EOF) || c != nil || info != nil {
			t.Errorf("ServerHandshake returned %v, %v, %v", c, info, err)
		}
	})
	t.Run("nothing to see", func(t *testing.T) {
		_, ours, _ := accept(t, "tcp")
		if c, _, err := grpcadapter.Credentials(insecure.NewCredentials()).ServerHandshake(ours); err != nil || c != ours {
			t.Errorf("ServerHandshake returned %v, %v", c, err)
		}
		if grpcadapter.Credentials(nil) != nil {
			t.Error("no credentials became some")
		}
	})
	t.Run("of another connection", func(t *testing.T) {
		ours, theirs := net.Pipe()
		c, err := over(grpcadapter.Credentials(server), ours, theirs)
		if err != nil {
			t.Fatal(err)
		}
		theirs.Close()
		c.Close()
	})
}
