package grpcadapter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// gate holds the Writes of a connection while it is shut.
type gate struct {
	mu   sync.Mutex
	shut chan struct{}
}

func (g *gate) close() { g.set(make(chan struct{})) }
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.shut)
	g.shut = nil
}

func (g *gate) set(c chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = c
}

func (g *gate) pass() {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		<-shut
	}
}

// gatedListener has one gate for the first of its connections.
type gatedListener struct {
	net.Listener
	first *gate
	once  sync.Once
}

func (l *gatedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.once.Do(func() { c = gatedConn{c, l.first} })
	return c, nil
}

type gatedConn struct {
	net.Conn
	gate *gate
}

func (c gatedConn) Write(b []byte) (int, error) {
	c.gate.pass()
	return c.Conn.Write(b)
}

func isClosed(c <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// goAways is a server with three clients. Writes to the first can be held, and it
// has an RPC in flight until over is closed.
type goAways struct {
	lis   *grpcadapter.Listener
	srv   *grpc.Server
	inner *mempipe.Listener
	first *gate
	over  chan struct{}
	conns []net.Conn // the clients' ends
}

func newGoAways(t *testing.T, secured bool) *goAways {
	g := &goAways{inner: mempipe.Listen(1 << 16), first: &gate{}, over: make(chan struct{})}
	g.lis = grpcadapter.WrapListener(&gatedListener{Listener: g.inner, first: g.first})
	server, client := insecure.NewCredentials(), insecure.NewCredentials()
	if secured {
		server, client = certified(t)
	}
	g.srv = serveOn(t, g.lis, grpc.Creds(server), grpc.UnaryInterceptor(
		func(ctx context.Context, r any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			if r.(*testgrpc.SimpleRequest).FillUsername {
				<-g.over
			}
			return h(ctx, r)
		}))
	for i := range 3 {
		c := clientOf(t, func(ctx context.Context) (net.Conn, error) {
			c, err := g.inner.DialContext(ctx)
			if err == nil {
				g.conns = append(g.conns, c)
			}
			return c, err
		}, client)
		if i == 0 {
			go func() { _, _ = c.UnaryCall(t.Context(), &testgrpc.SimpleRequest{FillUsername: true}) }()
		}
	}
	synctest.Wait()
	return g
}

// The channel is closed in the instant in which the last GOAWAY is written, also
// where it is encrypted.
func TestGoAwaysAreOut(t *testing.T) {
	for name, secured := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGoAways(t, secured)
				g.first.close()
				out := g.lis.WatchGoAways()
				stopped := make(chan struct{})
				go func() {
					g.srv.GracefulStop()
					close(stopped)
				}()
				time.Sleep(time.Second)
				if isClosed(out) {
					t.Error("told, but one client has no GOAWAY")
				}
				if open, _ := g.lis.Connections(); open != 1 {
					t.Errorf("%d connections are open, want the one that is held", open)
				}
				if g.lis.WatchGoAways() != out {
					t.Error("a second call returned another channel")
				}
				g.first.open()
				if !isClosed(out) {
					t.Error("not told, but every client has its GOAWAY")
				}
				if open, _ := g.lis.Connections(); open != 1 {
					t.Errorf("%d connections are open, want the one with an RPC", open)
				}
				close(g.over)
				<-stopped
			})
		})
	}
}

// The GOAWAY counts while the connection stays open: it is written, not answered.
func TestGoAwayIsWrittenNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mempipe.Listen(1 << 16)
		lis := grpcadapter.WrapListener(inner)
		srv := serveOn(t, lis)
		c, err := inner.Dial()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, clientPreface); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		out := lis.WatchGoAways()
		if isClosed(out) {
			t.Error("told before GracefulStop")
		}
		go srv.GracefulStop()
		if !isClosed(out) {
			t.Error("not told")
		}
		wantConnections(t, lis, 1, 0)
		said := make([]byte, 1<<10)
		n, err := c.Read(said)
		if err != nil || !hasGoAway(said[:n]) {
			t.Errorf("grpc wrote %q, %v, where no GOAWAY is", said[:n], err)
		}
		c.Close()
	})
}

// hasGoAway reports whether there is a GOAWAY among complete HTTP/2 frames.
func hasGoAway(frames []byte) bool {
	for len(frames) >= 9 {
		if frames[3] == 7 {
			return true
		}
		frames = frames[min(len(frames), 9+(int(frames[0])<<16|int(frames[1])<<8|int(frames[2]))):]
	}
	return false
}

// A connection that is closed is not waited for; one that was in its handshake is, as
// soon as that is over.
func TestGoAwaysOfWhom(t *testing.T) {
	t.Run("closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newGoAways(t, false)
			g.first.close()
			out := g.lis.WatchGoAways()
			go g.srv.GracefulStop()
			if isClosed(out) {
				t.Error("told, but one client has no GOAWAY")
			}
			g.conns[0].Close()
			if !isClosed(out) {
				t.Error("waits for a connection that is closed")
			}
			g.first.open()
			close(g.over)
		})
	})
	t.Run("cut", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newGoAways(t, true)
			g.first.close()
			out := g.lis.WatchGoAways()
			go g.srv.GracefulStop()
			if isClosed(out) {
				t.Error("told, but one client has no GOAWAY")
			}
			g.lis.Cut()
			if !isClosed(out) {
				t.Error("waits for connections that are cut")
			}
			g.first.open()
			close(g.over)
		})
	})
	t.Run("in its handshake", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			inner := mempipe.Listen(1 << 16)
			lis := grpcadapter.WrapListener(inner)
			srv := serveOn(t, lis)
			connecting, err := inner.Dial()
			if err != nil {
				t.Fatal(err)
			}
			clientOf(t, inner.DialContext, insecure.NewCredentials())
			synctest.Wait()
			began := time.Now()
			out := lis.WatchGoAways()
			go srv.GracefulStop() // tells nobody while a handshake goes on
			time.Sleep(500 * time.Millisecond)
			if isClosed(out) {
				t.Error("told while a handshake goes on, and so no GOAWAY is out")
			}
			if _, err := io.WriteString(connecting, clientPreface); err != nil {
				t.Fatal(err)
			}
			<-out
			if took := time.Since(began); took != 500*time.Millisecond {
				t.Errorf("told after %v", took)
			}
			connecting.Close()
			time.Sleep(time.Hour)
		})
	})
	t.Run("nobody", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			lis := grpcadapter.WrapListener(mempipe.Listen(1))
			out := lis.WatchGoAways()
			if isClosed(out) {
				t.Error("told, but connections may still come")
			}
			lis.Close()
			if !isClosed(out) {
				t.Error("waits, but there are no connections")
			}
		})
	})
}

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
		lis, ours, theirs := accept(t, "tcp")
		creds := lis.Credentials(server)
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
		c, err := over(lis.Credentials(server), ours, <-dialled)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c.(syscall.Conn); ok {
			t.Error("a connection without a descriptor has SyscallConn")
		}
	})
	t.Run("a failing handshake", func(t *testing.T) {
		lis, ours, theirs := accept(t, "tcp")
		theirs.Close()
		if c, info, err := lis.Credentials(server).ServerHandshake(ours); !errors.Is(err, io.EOF) || c != nil || info != nil {
			t.Errorf("ServerHandshake returned %v, %v, %v", c, info, err)
		}
	})
	t.Run("nothing to see", func(t *testing.T) {
		lis, ours, _ := accept(t, "tcp")
		if c, _, err := lis.Credentials(insecure.NewCredentials()).ServerHandshake(ours); err != nil || c != ours {
			t.Errorf("ServerHandshake returned %v, %v", c, err)
		}
		if lis.Credentials(nil) != nil {
			t.Error("no credentials became some")
		}
	})
	t.Run("of another listener", func(t *testing.T) {
		lis, _, _ := accept(t, "tcp")
		_, ours, theirs := accept(t, "tcp")
		bare, err := over(server, ours, theirs)
		if err != nil {
			t.Fatal(err)
		}
		_, ours, theirs = accept(t, "tcp")
		c, err := over(lis.Credentials(server), ours, theirs)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprintf("%T", c), fmt.Sprintf("%T", bare); got != want {
			t.Errorf("the connection is a %s, want a %s", got, want)
		}
	})
}
