package grpcadapter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
	"github.com/lastcall-go/lastcall/internal/tlstest"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// answers returns to every request what it has.
type answers struct {
	testgrpc.UnimplementedTestServiceServer
}

func (answers) UnaryCall(_ context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{Payload: r.Payload}, nil
}

// serveOn serves answers and stops it when the test ends.
func serveOn(t testing.TB, lis net.Listener, opts ...grpc.ServerOption) *grpc.Server {
	t.Helper()
	srv := grpc.NewServer(opts...)
	testgrpc.RegisterTestServiceServer(srv, answers{})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return srv
}

// clientOf returns a client whose connections come from dial, with one RPC behind
// it.
func clientOf(t testing.TB, dial func(context.Context) (net.Conn, error), creds credentials.TransportCredentials) testgrpc.TestServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///server",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
		grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	client := testgrpc.NewTestServiceClient(conn)
	if _, err := client.UnaryCall(t.Context(), &testgrpc.SimpleRequest{}); err != nil {
		t.Fatal(err)
	}
	return client
}

// certified returns credentials of a server, and of a client that trusts it.
func certified(t testing.TB) (server, client credentials.TransportCredentials) {
	t.Helper()
	cert, roots, err := tlstest.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	return credentials.NewServerTLSFromCert(&cert),
		credentials.NewClientTLSFromCert(roots, tlstest.Name)
}

// listenOn listens on a socket of this machine and says how to dial it.
func listenOn(t testing.TB, network string) (net.Listener, func(context.Context) (net.Conn, error)) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		if runtime.GOOS == "windows" {
			t.Skip("sockets of type unix are for unix")
		}
		address = filepath.Join(t.TempDir(), "s")
	}
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	return lis, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, lis.Addr().String())
	}
}

// wantConnections waits until the listener has these.
func wantConnections(t testing.TB, lis *grpcadapter.Listener, open, handshaking int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		o, h := lis.Connections()
		if o == open && h == handshaking {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are open, %d in their handshake; want %d and %d", o, h, open, handshaking)
		}
		time.Sleep(time.Millisecond)
	}
}

// wantEnd reads until the peer's end of the stream.
func wantEnd(t testing.TB, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("the peer sees %v instead of the end of the stream", err)
	}
}

// A peer that says nothing holds GracefulStop and Stop for HandshakeTime, not a
// moment longer, and the client beside it is told to go.
func TestSilentPeer(t *testing.T) {
	stops := map[string]func(*grpc.Server){"GracefulStop": (*grpc.Server).GracefulStop, "Stop": (*grpc.Server).Stop}
	for name, stop := range stops {
		for _, secured := range []bool{false, true} {
			for _, limit := range []time.Duration{0, 3 * time.Second} {
				t.Run(fmt.Sprintf("%s secured=%v limit=%v", name, secured, limit), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var opts []grpcadapter.ListenerOption
						if limit > 0 {
							opts = append(opts, grpcadapter.HandshakeTime(limit))
						}
						inner := mempipe.Listen(1 << 16)
						lis := grpcadapter.WrapListener(inner, opts...)
						var grpcOpts []grpc.ServerOption
						client := insecure.NewCredentials()
						if secured {
							var server credentials.TransportCredentials
							server, client = certified(t)
							grpcOpts = append(grpcOpts, grpc.Creds(server))
						}
						srv := serveOn(t, lis, grpcOpts...)
						clientOf(t, inner.DialContext, client)
						var silent []net.Conn
						for range 3 {
							c, err := inner.Dial()
							if err != nil {
								t.Fatal(err)
							}
							silent = append(silent, c)
						}
						synctest.Wait() // grpc has begun with each of them
						wantConnections(t, lis, 4, 3)
						began := time.Now()
						stop(srv)
						if took, want := time.Since(began), max(limit, time.Second); limit == 0 && took != time.Second || took != want {
							t.Errorf("%s took %v, want %v", name, took, want)
						}
						for _, c := range silent {
							wantEnd(t, c)
						}
						<-lis.Closed()
						if n, cut := lis.ClosedEarly(); n != 3 || cut != 0 {
							t.Errorf("%d handshakes were closed and %d connections cut, want 3 and 0", n, cut)
						}
						wantConnections(t, lis, 0, 0)
					})
				})
			}
		}
	}
}

// beginning are credentials that say when the first handshake begins.
type beginning struct {
	credentials.TransportCredentials
	begun chan struct{}
}

func (b beginning) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	close(b.begun)
	return b.TransportCredentials.ServerHandshake(c)
}

// The same on sockets.
func TestSilentPeerOnSockets(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for _, secured := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s secured=%v", network, secured), func(t *testing.T) {
				inner, dial := listenOn(t, network)
				lis := grpcadapter.WrapListener(inner, grpcadapter.HandshakeTime(50*time.Millisecond))
				creds := insecure.NewCredentials()
				if secured {
					creds, _ = certified(t)
				}
				begun := make(chan struct{})
				srv := serveOn(t, lis, grpc.Creds(beginning{creds, begun}))
				c, err := dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				<-begun
				began := time.Now()
				srv.GracefulStop()
				if took := time.Since(began); took < 50*time.Millisecond || took > 30*time.Second { // grpc's own limit is 120 s
					t.Errorf("GracefulStop took %v", took)
				}
				wantEnd(t, c)
				<-lis.Closed()
			})
		}
	}
}

// closeHandshakes ends the handshakes at once, and those that come later, so that
// Stop has nothing to wait for.
func TestCloseHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mempipe.Listen(1 << 16)
		lis := grpcadapter.WrapListener(inner)
		srv := serveOn(t, lis)
		client := clientOf(t, inner.DialContext, insecure.NewCredentials())
		silent, err := inner.Dial()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // grpc has begun with it
		wantConnections(t, lis, 2, 1)
		began := time.Now()
		lis.CloseHandshakes()
		wantEnd(t, silent)
		if _, err := client.UnaryCall(t.Context(), &testgrpc.SimpleRequest{}); err != nil {
			t.Errorf("on a connection that is past its handshake: %v", err)
		}
		late, err := inner.Dial() // the listener is not closed yet
		if err != nil {
			t.Fatal(err)
		}
		wantEnd(t, late)
		wantConnections(t, lis, 1, 0)
		srv.Stop()
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		if n, _ := lis.ClosedEarly(); n != 1 {
			t.Errorf("%d handshakes were closed, want 1", n)
		}
		<-lis.Closed()
	})
}

const (
	clientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	frameGoAway   = 7
)

// readFrame returns the type and the payload of the next HTTP/2 frame.
func readFrame(t testing.TB, r io.Reader) (byte, []byte) {
	t.Helper()
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(r, payload); err != nil {
		t.Fatal(err)
	}
	return head[3], payload
}

// readGoAway reads up to the next GOAWAY.
func readGoAway(t testing.TB, r io.Reader) string {
	t.Helper()
	for {
		if kind, payload := readFrame(t, r); kind == frameGoAway {
			return string(payload)
		}
	}
}

// A client in the middle of its handshake when GracefulStop is called gets through
// and is told to go; the timer is then of no use any more.
func TestClientInItsHandshakeGetsThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mempipe.Listen(1 << 16)
		lis := grpcadapter.WrapListener(inner)
		srv := serveOn(t, lis)
		c, err := inner.Dial()
		if err != nil {
			t.Fatal(err)
		}
		if kind, _ := readFrame(t, c); kind != 4 { // SETTINGS: grpc has begun
			t.Fatalf("the first frame is of type %d", kind)
		}
		began, stopped := time.Now(), make(chan struct{})
		go func() {
			srv.GracefulStop()
			close(stopped)
		}()
		time.Sleep(900 * time.Millisecond)
		if _, err := io.WriteString(c, clientPreface); err != nil {
			t.Fatal(err)
		}
		if got := readGoAway(t, c); !strings.HasSuffix(got, "graceful_stop") {
			t.Errorf("GOAWAY says %q", got)
		}
		synctest.Wait()
		wantConnections(t, lis, 1, 0)
		time.Sleep(2 * time.Second) // beyond HandshakeTime, and short of the second GOAWAY
		if open, _ := lis.Connections(); open != 1 {
			t.Error("a connection past its handshake was closed")
		}
		c.Close()
		<-stopped
		if took := time.Since(began); took != 2900*time.Millisecond {
			t.Errorf("GracefulStop took %v", took)
		}
		if n, _ := lis.ClosedEarly(); n != 0 {
			t.Errorf("%d handshakes were closed", n)
		}
	})
}

// deadlines records what grpc does with the deadline of a connection.
type deadlines struct {
	net.Conn
	seen *record
}

type record struct {
	mu  sync.Mutex
	all string
}

func (r *record) add(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !strings.HasSuffix(r.all, s) {
		r.all += s
	}
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}

func (d deadlines) Read(b []byte) (int, error) { d.seen.add("read "); return d.Conn.Read(b) }
func (d deadlines) Close() error               { d.seen.add("close "); return d.Conn.Close() }
func (d deadlines) SetDeadline(t time.Time) error {
	if t.IsZero() {
		d.seen.add("none ")
	} else {
		d.seen.add("deadline ")
	}
	return d.Conn.SetDeadline(t)
}

type deadlineListener struct {
	net.Listener
	seen *record
}

func (l deadlineListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return deadlines{c, l.seen}, nil
}

// What the Listener knows of grpc: it sets a deadline before the handshake, takes
// it away after it and not in between. If a new grpc fails this, Listener has to
// learn from something else when a handshake is over.
func TestHandshakeEndsWithTheDeadline(t *testing.T) {
	for name, tt := range map[string]struct {
		secured bool
		say     string // if not what a real client says
		want    string
	}{
		"plain":            {want: "deadline read none read "},
		"TLS":              {secured: true, want: "deadline read none read "},
		"bad preface":      {say: strings.Repeat("x", 100), want: "deadline read close none "},
		"bad TLS":          {secured: true, say: strings.Repeat("x", 100), want: "deadline read close none "},
		"preface, no more": {say: clientPreface[:24], want: "deadline read "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner, seen := mempipe.Listen(1<<16), &record{}
				lis := grpcadapter.WrapListener(inner)
				var opts []grpc.ServerOption
				creds := insecure.NewCredentials()
				if tt.secured {
					var server credentials.TransportCredentials
					server, creds = certified(t)
					opts = append(opts, grpc.Creds(server))
				}
				serveOn(t, deadlineListener{lis, seen}, opts...)
				handshaking := 0
				if tt.say == "" {
					clientOf(t, inner.DialContext, creds)
				} else {
					c, err := inner.Dial()
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.WriteString(c, tt.say); err != nil {
						t.Fatal(err)
					}
					handshaking = 1
				}
				synctest.Wait()
				if got := seen.String(); got != tt.want {
					t.Errorf("grpc did %q, want %q", got, tt.want)
				}
				open := 1
				if strings.Contains(tt.want, "close") {
					open, handshaking = 0, 0
				}
				if o, h := lis.Connections(); o != open || h != handshaking {
					t.Errorf("%d open and %d in their handshake, want %d and %d", o, h, open, handshaking)
				}
			})
		})
	}
}

// Whatever the listener inside does, Close returns at once, and so do Accept and
// Serve then; what it comes with later is closed.
func TestOddListeners(t *testing.T) {
	t.Run("Accept ignores Close", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			late := make(chan struct{})
			accepts := 0
			odd := &faults.Listener{Listener: mempipe.Listen(1), OnAccept: func() (net.Conn, error) { accepts++; <-late; return ours, nil }, OnClose: func() error { return nil }}
			lis := grpcadapter.WrapListener(odd)
			srv, began := serveOn(t, lis), time.Now()
			time.Sleep(time.Minute)
			srv.GracefulStop()
			if took := time.Since(began); took != time.Minute {
				t.Errorf("GracefulStop took %v", took-time.Minute)
			}
			if _, err := lis.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept after Close returned %v", err)
			}
			<-lis.Closed()
			synctest.Wait()
			left := lis.Left()
			if len(left) != 1 || left[0].Name != "net.Listener.Accept" || left[0].Running != 1 || !left[0].Oldest.Equal(began.Add(time.Minute)) {
				t.Errorf("left are %+v", left)
			}
			close(late)
			wantEnd(t, theirs)
			synctest.Wait()
			if left := lis.Left(); len(left) != 0 || accepts != 1 {
				t.Errorf("left are %+v after %d calls of Accept", left, accepts)
			}
		})
	})
	t.Run("Close blocks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			over, inner := make(chan struct{}), mempipe.Listen(1)
			defer inner.Close()
			defer close(over)
			lis := grpcadapter.WrapListener(&faults.Listener{Listener: inner, OnClose: func() error { <-over; return nil }})
			srv, began := serveOn(t, lis), time.Now()
			synctest.Wait()
			srv.GracefulStop()
			if took := time.Since(began); took != 0 {
				t.Errorf("GracefulStop took %v", took)
			}
			left := lis.Left()
			if len(left) != 2 || left[0].Name != "net.Listener.Accept" || left[1].Name != "net.Listener.Close" {
				t.Errorf("left are %+v", left)
			}
		})
	})
	for name, f := range map[string]func(){"panicked: at the disco": func() { panic("at the disco") }, "ended its goroutine": runtime.Goexit} {
		t.Run("Accept "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lis := grpcadapter.WrapListener(&faults.Listener{Listener: mempipe.Listen(1), OnAccept: func() (net.Conn, error) { f(); return nil, nil }})
				if _, err := lis.Accept(); err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("Accept returned %v", err)
				}
				if err := lis.Close(); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if left := lis.Left(); len(left) != 0 {
					t.Errorf("left are %+v", left)
				}
			})
		})
	}
	t.Run("Close panics", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			lis := grpcadapter.WrapListener(&faults.Listener{Listener: mempipe.Listen(1), OnClose: func() error { panic("no") }})
			if err := lis.Close(); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if n := lis.Failures(); n != 1 || len(lis.Left()) != 0 {
				t.Errorf("%d failures, left are %+v", n, lis.Left())
			}
		})
	})
	t.Run("neither a connection nor an error", func(t *testing.T) {
		lis := grpcadapter.WrapListener(&faults.Listener{OnAccept: func() (net.Conn, error) { return nil, nil }})
		if _, err := lis.Accept(); err == nil {
			t.Error("Accept returned nil and nil")
		}
	})
	t.Run("an error of its own", func(t *testing.T) {
		lis := grpcadapter.WrapListener(&faults.Listener{OnAccept: func() (net.Conn, error) { return nil, io.ErrNoProgress }})
		if _, err := lis.Accept(); !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("Accept returned %v", err)
		}
	})
}

// Nothing is accepted before somebody calls Accept, and the listener inside is
// closed once.
func TestListenerDoesNotAcceptAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var accepts, closed atomic.Int32
		inner := mempipe.Listen(1)
		odd := &faults.Listener{Listener: inner, Faults: faults.In{
			faults.Accept: func() { accepts.Add(1) },
			faults.Close:  func() { closed.Add(1) },
		}}
		lis := grpcadapter.WrapListener(odd)
		for i := range int32(3) {
			go func() {
				if _, err := inner.Dial(); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
			if n := accepts.Load(); n != i {
				t.Errorf("Accept was called %d times for %d connections", n, i)
			}
			c, err := lis.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { lis.Close() })
		}
		all.Wait()
		synctest.Wait()
		if n := closed.Load(); n != 1 {
			t.Errorf("the listener inside was closed %d times", n)
		}
	})
}

// Accept of a known listener returns net.ErrClosed itself when Close is called and
// afterwards, and leaves no goroutine.
func TestSocketListenerAfterClose(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for range 20 {
			inner, _ := listenOn(t, network)
			lis := grpcadapter.WrapListener(inner)
			returned := make(chan error)
			accept := func() {
				_, err := lis.Accept()
				returned <- err
			}
			go accept()
			time.Sleep(time.Millisecond) // most often Accept blocks now; it need not
			if err := lis.Close(); err != nil {
				t.Error(err)
			}
			go accept()
			for range 2 {
				if err := <-returned; err != net.ErrClosed { //nolint:errorlint // this very error is what is promised
					t.Errorf("%s: Accept returned %v", network, err)
				}
			}
			<-lis.Closed()
			for end := time.Now().Add(10 * time.Second); len(lis.Left()) != 0 && time.Now().Before(end); { // Close waits only for a while for the processor
				time.Sleep(time.Millisecond)
			}
			if len(lis.Left()) != 0 {
				t.Errorf("%s: left are %+v", network, lis.Left())
			}
		}
	}
}

// What is wrong with the arguments is told by Accept, all of it, and nothing
// panics.
func TestListenerArguments(t *testing.T) {
	var typed *net.TCPListener
	for name, tt := range map[string]struct {
		lis  net.Listener
		opts []grpcadapter.ListenerOption
		want []string // none: it is fine
	}{
		"nil":                 {nil, nil, []string{"the listener is nil"}},
		"a nil pointer":       {typed, nil, []string{"the listener is nil"}},
		"a nil option":        {mempipe.Listen(1), []grpcadapter.ListenerOption{nil}, []string{"option of the listener is nil"}},
		"no handshake time":   {mempipe.Listen(1), []grpcadapter.ListenerOption{grpcadapter.HandshakeTime(0)}, []string{"HandshakeTime is 0s"}},
		"below zero":          {mempipe.Listen(1), []grpcadapter.ListenerOption{grpcadapter.HandshakeTime(-1), grpcadapter.UserTimeout(-1)}, []string{"HandshakeTime is -1ns", "UserTimeout is -1ns"}},
		"no user timeout":     {mempipe.Listen(1), []grpcadapter.ListenerOption{grpcadapter.UserTimeout(0)}, nil},
		"wrapped once before": {grpcadapter.WrapListener(mempipe.Listen(1)), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			lis := grpcadapter.WrapListener(tt.lis, tt.opts...)
			if lis.Addr() == nil || lis.Addr().String() == "" {
				t.Error("there is no address")
			}
			if _, err := lis.SyscallConn(); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("SyscallConn returned %v", err)
			}
			if len(tt.want) == 0 {
				if err := lis.Problems(); err != nil {
					t.Error(err)
				}
			} else {
				_, err := lis.Accept()
				for _, want := range tt.want {
					if err == nil || !strings.Contains(err.Error(), want) || lis.Problems().Error() != err.Error() {
						t.Errorf("Accept returned %v, want %q", err, want)
					}
				}
				if err := grpc.NewServer().Serve(lis); err == nil {
					t.Error("Serve returned nil")
				}
			}
			if err := lis.Close(); err != nil {
				t.Error(err)
			}
			<-lis.Closed()
		})
	}
}

// A known listener shows its descriptor, for channelz.
func TestListenerHasSyscallConn(t *testing.T) {
	inner, _ := listenOn(t, "tcp")
	lis := grpcadapter.WrapListener(inner)
	raw, err := lis.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	called := false
	if err := raw.Control(func(uintptr) { called = true }); err != nil || !called {
		t.Errorf("Control returned %v; its function was called: %v", err, called)
	}
	if lis.Addr() != inner.Addr() {
		t.Errorf("Addr is %v, want %v", lis.Addr(), inner.Addr())
	}
}

// drained is closed when the listener and every connection are; closed when the
// Closes have returned as well.
func TestDrainedAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mempipe.Listen(1)
		lis := grpcadapter.WrapListener(slowCloses(inner, 10*time.Second))
		accept := func() net.Conn {
			go func() { _, _ = inner.Dial() }()
			c, err := lis.Accept()
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		accept().Close() // before Close of the listener it does not matter that none is open
		time.Sleep(time.Minute)
		c := accept()
		at := func(c <-chan struct{}) *atomic.Int64 {
			var when atomic.Int64
			began := time.Now()
			go func() {
				<-c
				when.Store(int64(time.Since(began)))
			}()
			return &when
		}
		drained, closed := at(lis.Drained()), at(lis.Closed())
		time.Sleep(time.Second)
		lis.Close()
		time.Sleep(time.Second)
		c.Close()
		c.Close()
		time.Sleep(time.Minute)
		if d, c := time.Duration(drained.Load()), time.Duration(closed.Load()); d != 2*time.Second || c != 12*time.Second {
			t.Errorf("drained after %v, closed after %v", d, c)
		}
	})
}

// Everything at the same time; the race detector watches, and the bubble that no
// goroutine stays behind.
func TestListenerInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for round := range 20 {
			inner := mempipe.Listen(1 << 16)
			stir(t, grpcadapter.WrapListener(inner), inner.DialContext, time.Duration(round)*time.Millisecond)
		}
	})
	for range 3 {
		inner, dial := listenOn(t, "tcp")
		stir(t, grpcadapter.WrapListener(inner, grpcadapter.HandshakeTime(10*time.Millisecond)), dial, 5*time.Millisecond)
	}
}

func stir(t *testing.T, lis *grpcadapter.Listener, dial func(context.Context) (net.Conn, error), d time.Duration) {
	srv := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(srv, answers{})
	var all, served sync.WaitGroup
	served.Go(func() { _ = srv.Serve(lis) })
	for range 4 {
		conn, err := grpc.NewClient("passthrough:///server", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer conn.Close()
			for range 10 {
				_, _ = testgrpc.NewTestServiceClient(conn).UnaryCall(t.Context(), &testgrpc.SimpleRequest{})
				time.Sleep(time.Millisecond)
			}
		})
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if c, err := dial(ctx); err == nil {
				time.Sleep(3 * time.Millisecond)
				c.Close()
			}
		})
	}
	time.Sleep(d)
	for _, f := range []func(){
		srv.GracefulStop, func() { lis.Close() }, lis.CloseHandshakes, func() { lis.Cut() },
		func() { lis.Connections() }, func() { lis.Left() }, func() { lis.ClosedEarly() },
	} {
		all.Go(f)
	}
	all.Wait()
	srv.Stop()
	served.Wait()
	lis.Cut()
	<-lis.Drained()
	<-lis.Closed()
	if open, handshaking := lis.Connections(); open != 0 || handshaking != 0 {
		t.Errorf("%d open, %d in their handshake", open, handshaking)
	}
}
