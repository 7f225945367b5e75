package grpcadapter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
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

// handshakes are credentials of which the handshake does something else first.
type handshakes struct {
	credentials.TransportCredentials
	fault faults.Fault
}

func (h handshakes) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	h.fault.Do()
	return h.TransportCredentials.ServerHandshake(c)
}

// A handshake that hangs holds neither the drain nor the forced end, and is named; one that
// panics or ends its goroutine is a failed handshake, and the server serves on.
func TestHandshakeHangs(t *testing.T) {
	for name, fault := range map[string]func(over <-chan struct{}) faults.Fault{
		"hangs":  func(over <-chan struct{}) faults.Fault { return faults.Hang(over) },
		"panics": func(<-chan struct{}) faults.Fault { return faults.Panic("no") },
		"exits":  func(<-chan struct{}) faults.Fault { return faults.Goexit },
	} {
		for _, force := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s force=%v", name, force), func(t *testing.T) {
				bubble(t, func(t *testing.T, lis *mempipe.Listener, over <-chan struct{}) {
					creds := handshakes{insecure.NewCredentials(), faults.Once(fault(over))}
					g := grpcadapter.New(lis)
					g.NewServer(grpc.Creds(grpcadapter.Credentials(creds)))
					c := mustNew(t, controller.WithServer("grpc", g), controller.WithoutStderr())
					ended := make(chan report.Report, 1)
					go func() { ended <- c.Run(context.Background()) }()
					<-c.Serving()
					silent, err := lis.Dial()
					if err != nil {
						t.Fatal(err)
					}
					defer silent.Close()
					synctest.Wait()
					if got := healthOf(t, dial(t, lis), ""); got != healthpb.HealthCheckResponse_SERVING {
						t.Errorf("another client is told %v", got)
					}
					asked := time.Now()
					c.Shutdown(nil)
					if force {
						c.Force()
					}
					r := <-ended
					if took, most := time.Since(asked), budget.Settle+2*time.Second; took > most {
						t.Errorf("after %v, at most %v", took, most)
					}
					if !force && (r.Outcome != report.OutcomeDrained || r.ExitCode() != report.ExitOK) || r.Outcome == report.OutcomeAbandoned {
						t.Error(r)
					}
					named := slices.ContainsFunc(r.Work, func(w lastcall.Work) bool { return w.Name == "credentials.ServerHandshake" && w.Running == 1 })
					if named != (name == "hangs") {
						t.Errorf("named: %v\n%v", named, r)
					}
				})
			})
		}
	}
}
