package grpcadapter_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// slowCloses returns a listener whose connections take their time to close.
func slowCloses(lis net.Listener, d time.Duration) net.Listener {
	return faults.Conns(lis, faults.In{faults.Close: faults.Slow(d)})
}

// 20 connections whose Close takes 100 ms are closed in 100 ms, also by grpc, which
// closes one after the other.
func TestSlowClosesRunSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mempipe.Listen(1 << 16)
		lis := grpcadapter.WrapListener(slowCloses(inner, 100*time.Millisecond))
		srv := serveOn(t, lis)
		for range 20 {
			clientOf(t, inner.DialContext, insecure.NewCredentials())
		}
		began, stopped := time.Now(), make(chan time.Duration, 1)
		go func() {
			srv.Stop()
			stopped <- time.Since(began)
		}()
		<-lis.Drained()
		synctest.Wait() // Accept has returned
		left := lis.Left()
		if len(left) != 1 || left[0].Name != "net.Conn.Close" || left[0].Running != 20 || !left[0].Oldest.Equal(began) {
			t.Errorf("left are %+v", left)
		}
		<-lis.Closed()
		if took, stop := time.Since(began), <-stopped; took != 100*time.Millisecond || stop != took {
			t.Errorf("the connections were closed after %v, Stop took %v", took, stop)
		}
		synctest.Wait()
		if left := lis.Left(); len(left) != 0 {
			t.Errorf("left are %+v", left)
		}
	})
}

// Cut closes side by side what is left, waits for the Closes that began before it,
// and names those that hang.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mempipe.Listen(1 << 16)
		lis := grpcadapter.WrapListener(slowCloses(inner, time.Minute))
		var all []net.Conn
		for range 5 {
			go func() { _, _ = inner.Dial() }()
			c, err := lis.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.SetDeadline(time.Time{}); err != nil { // past its handshake
				t.Fatal(err)
			}
			all = append(all, c)
		}
		lis.Close()
		all[0].Close()
		time.Sleep(time.Second)
		began, done := time.Now(), make(chan struct{})
		go func() {
			if n := lis.Cut(); n != 4 {
				t.Errorf("Cut returned %d, want 4", n)
			}
			close(done)
		}()
		time.Sleep(59*time.Second - 1)
		left := lis.Left()
		if len(left) != 1 || left[0].Name != "net.Conn.Close" || left[0].Running != 5 || !left[0].Oldest.Equal(began.Add(-time.Second)) {
			t.Errorf("left are %+v", left)
		}
		<-done
		if took := time.Since(began); took != time.Minute {
			t.Errorf("Cut took %v", took)
		}
		if handshakes, cut := lis.ClosedEarly(); handshakes != 0 || cut != 4 {
			t.Errorf("%d handshakes were closed and %d connections cut, want 0 and 4", handshakes, cut)
		}
		began = time.Now()
		if n, took := lis.Cut(), time.Since(began); n != 0 || took != 0 {
			t.Errorf("Cut of nothing returned %d and took %v", n, took)
		}
		<-lis.Closed()
	})
	synctest.Test(t, func(t *testing.T) { // a Close that began before and is the only one
		inner := mempipe.Listen(1 << 16)
		lis := grpcadapter.WrapListener(slowCloses(inner, time.Minute))
		go func() { _, _ = inner.Dial() }()
		c, err := lis.Accept()
		if err != nil {
			t.Fatal(err)
		}
		lis.Close()
		c.Close()
		<-lis.Drained()
		began := time.Now()
		lis.Cut()
		if took := time.Since(began); took != time.Minute {
			t.Errorf("Cut took %v", took)
		}
	})
}

// awaitCloses waits for the Closes that have begun, and for no open connection.
func TestAwaitCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mempipe.Listen(1 << 16)
		lis := grpcadapter.WrapListener(slowCloses(inner, time.Minute))
		var all []net.Conn
		for range 2 {
			go func() { _, _ = inner.Dial() }()
			c, err := lis.Accept()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		all[0].Close()
		began := time.Now()
		lis.AwaitCloses()
		if took := time.Since(began); took != time.Minute {
			t.Errorf("awaitCloses took %v", took)
		}
		all[1].Close()
		lis.AwaitCloses() // a bubble ends with its goroutines
	})
}

// accept returns both ends of a connection.
func accept(t testing.TB, network string, opts ...grpcadapter.ListenerOption) (lis *grpcadapter.Listener, ours, theirs net.Conn) {
	t.Helper()
	inner, dial := listenOn(t, network)
	lis = grpcadapter.WrapListener(inner, opts...)
	theirs, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	ours, err = lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	return lis, ours, theirs
}

// The peer of a connection that is cut, or closed in its handshake, sees the end of
// the stream after all that was written to it, also if nobody has read what it
// sent, and no reset.
func TestCutIsNoReset(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("unread input is discarded on unix")
	}
	cuts := map[string]func(*grpcadapter.Listener){
		"Cut": func(lis *grpcadapter.Listener) { lis.Cut() },
		"handshake": func(lis *grpcadapter.Listener) {
			lis.CloseHandshakes()
			lis.Close()
			<-lis.Closed()
		},
	}
	for name, cut := range cuts {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(name+" "+network, func(t *testing.T) {
				lis, ours, theirs := accept(t, network)
				if _, err := theirs.Write(make([]byte, 100<<10)); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(ours, make([]byte, 1<<10)); err != nil { // the rest stays in the socket
					t.Fatal(err)
				}
				if _, err := io.WriteString(ours, "good bye"); err != nil {
					t.Fatal(err)
				}
				cut(lis)
				said, err := io.ReadAll(theirs)
				if err != nil || string(said) != "good bye" {
					t.Errorf("the peer reads %q and %v", said, err)
				}
				if network == "tcp" { // a reset that came after the end would fail this
					if _, err := theirs.Write([]byte("x")); err != nil {
						t.Errorf("the peer writes: %v", err)
					}
				}
			})
		}
	}
}

// Cut does not wait for a Read or a Write that blocks in a connection, and ends
// them.
func TestCutEndsReadsAndWrites(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		lis, ours, _ := accept(t, network)
		returned := make(chan error, 2)
		go func() {
			_, err := ours.Read(make([]byte, 1))
			returned <- err
		}()
		go func() {
			for {
				if _, err := ours.Write(make([]byte, 1<<20)); err != nil {
					returned <- err
					return
				}
			}
		}()
		lis.Cut()
		for range 2 {
			if err := <-returned; err == nil {
				t.Errorf("%s: no error", network)
			}
		}
	}
}

// A connection shows a descriptor if and only if the one inside does; addresses
// and deadlines are those of the one inside.
func TestConnIsThatInside(t *testing.T) {
	_, ours, theirs := accept(t, "tcp")
	s, ok := ours.(syscall.Conn)
	if !ok {
		t.Fatal("a TCP connection has no SyscallConn")
	}
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	called := false
	if err := raw.Control(func(uintptr) { called = true }); err != nil || !called {
		t.Errorf("Control returned %v; its function was called: %v", err, called)
	}
	if ours.RemoteAddr().String() != theirs.LocalAddr().String() || ours.LocalAddr().String() != theirs.RemoteAddr().String() {
		t.Errorf("addresses are %v and %v", ours.LocalAddr(), ours.RemoteAddr())
	}
	for name, set := range map[string]func(time.Time) error{"SetDeadline": ours.SetDeadline, "SetReadDeadline": ours.SetReadDeadline} {
		if err := set(time.Now()); err != nil {
			t.Error(err)
		}
		if _, err := ours.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: Read returned %v", name, err)
		}
	}

	inner := mempipe.Listen(1)
	lis := grpcadapter.WrapListener(inner)
	go func() { _, _ = inner.Dial() }()
	c, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.(syscall.Conn); ok {
		t.Error("a connection without a descriptor has SyscallConn")
	}
}

// Whatever a connection says of the one below it, Accept returns it, and it can be cut. A
// call that hangs is named.
func TestAcceptOddConnections(t *testing.T) {
	for name, tt := range map[string]struct {
		below func(net.Conn) net.Conn
		hangs bool
	}{
		"itself": {func(c net.Conn) net.Conn { return c }, false},
		"nobody": {func(net.Conn) net.Conn { return nil }, false},
		"panics": {func(net.Conn) net.Conn { panic("no") }, false},
		"exits":  {func(net.Conn) net.Conn { runtime.Goexit(); return nil }, false},
		"hangs":  {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				over := make(chan struct{})
				if tt.hangs {
					if runtime.GOOS != "linux" {
						t.Skip("nobody asks what is below where there is no TCP_USER_TIMEOUT")
					}
					tt.below = func(net.Conn) net.Conn { <-over; return nil }
				}
				inner := mempipe.Listen(1)
				lis := grpcadapter.WrapListener(&faults.Listener{Listener: inner, OnAccept: func() (net.Conn, error) {
					c, err := inner.Accept()
					if err != nil {
						return nil, err
					}
					return &faults.OverConn{Conn: faults.Conn{Conn: c}, Below: tt.below}, nil
				}})
				came := make(chan error, 1)
				go func() {
					_, err := lis.Accept()
					came <- err
				}()
				theirs, err := inner.Dial()
				if err != nil {
					t.Fatal(err)
				}
				if err := <-came; err != nil {
					t.Errorf("Accept returned %v", err)
				}
				lis.Close()
				if n := lis.Cut(); n != 1 {
					t.Errorf("Cut closed %d connections, want 1", n)
				}
				if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("the peer reads %v", err)
				}
				synctest.Wait()
				left := lis.Left()
				if tt.hangs != (len(left) == 1 && left[0].Name == "net.Conn.SyscallConn") || len(left) > 1 {
					t.Errorf("left are %v", left)
				}
				close(over)
			})
		})
	}
}

// patient are credentials that give their handshake a time limit of their own, and
// leave everything else to others.
type patient struct {
	credentials.TransportCredentials
}

func (p patient) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if err := errors.Join(c.SetDeadline(time.Now().Add(time.Minute)), c.SetDeadline(time.Time{})); err != nil {
		return nil, nil, err
	}
	return p.TransportCredentials.ServerHandshake(c)
}

// Deadlines that credentials set and reset are not those of grpc: with those of
// Credentials a peer that then says nothing is closed as any other. Without
// it nobody can tell.
func TestCredentialsWithDeadlines(t *testing.T) {
	for _, ours := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			inner := mempipe.Listen(1 << 16)
			lis := grpcadapter.WrapListener(inner)
			var creds credentials.TransportCredentials = patient{insecure.NewCredentials()}
			if ours {
				creds = grpcadapter.Credentials(creds)
			}
			srv := serveOn(t, lis, grpc.Creds(creds))
			silent, err := inner.Dial()
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			handshaking := 0
			if ours {
				handshaking = 1
			}
			wantConnections(t, lis, 1, handshaking)
			want := time.Hour
			if ours {
				want = time.Second
			}
			began := time.Now()
			time.AfterFunc(time.Hour, func() { silent.Close() })
			srv.GracefulStop()
			if took := time.Since(began); took != want {
				t.Errorf("Credentials: %v: GracefulStop took %v, want %v", ours, took, want)
			}
			time.Sleep(time.Hour)
		})
	}
	synctest.Test(t, func(t *testing.T) { // a client that does say something is served
		inner := mempipe.Listen(1 << 16)
		lis := grpcadapter.WrapListener(inner)
		serveOn(t, lis, grpc.Creds(grpcadapter.Credentials(patient{insecure.NewCredentials()})))
		clientOf(t, inner.DialContext, insecure.NewCredentials())
		synctest.Wait()
		wantConnections(t, lis, 1, 0)
	})
}
