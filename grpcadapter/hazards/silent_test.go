package hazards_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/grpcadapter"
)

// silences are the ways to connect and say nothing: at once, or after TLS's
// handshake.
func silences() map[string]func(*testing.T) (*network, func(*testing.T) net.Conn) {
	return map[string]func(*testing.T) (*network, func(*testing.T) net.Conn){
		"bufconn": func(*testing.T) (*network, func(*testing.T) net.Conn) {
			n := memory()
			return n, n.silent
		},
		"TLS": func(t *testing.T) (*network, func(*testing.T) net.Conn) {
			n := secureMemory(t)
			return n, n.silent
		},
		"after TLS": func(t *testing.T) (*network, func(*testing.T) net.Conn) {
			n := secureMemory(t)
			return n, func(t *testing.T) net.Conn {
				t.Helper()
				p := n.peer(t, peerConfig{quiet: true, deaf: true})
				synctest.Wait()
				return p.conn
			}
		},
	}
}

// realNetworks are those on real sockets.
func realNetworks() map[string]func(*testing.T) *network {
	return map[string]func(*testing.T) *network{"TCP": tcp, "TCP with TLS": secureTCP}
}

// readEnd returns with what a silent connection ends, when that has come.
func readEnd(t *testing.T, conn net.Conn) error {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience())); err != nil {
		t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, conn)
	if err == nil {
		err = io.EOF
	}
	return err
}

// noticed is a listener that tells of its Close.
type noticed struct {
	net.Listener
	once   sync.Once
	closed chan struct{}
}

func (l *noticed) Close() error {
	defer l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// wantNote checks that there is one note, and what is in it; "" is none.
func wantNote(t *testing.T, r report.Report, want string) {
	t.Helper()
	var all []string
	for _, n := range r.Notes {
		if inBubble() || !strings.HasPrefix(n.Text, "GracefulStop returned ") { // a busy machine delays clients that go
			all = append(all, n.Server+": "+n.Text)
		}
	}
	got := strings.Join(all, "; ")
	if want == "" && got != "" || want != "" && (len(all) != 1 || !strings.HasPrefix(got, "grpc: "+want)) {
		t.Errorf("the notes are %q, want one that begins with %q", got, want)
	}
}

const (
	oneSilent   = "1 connection had not finished its handshake and was closed"
	threeSilent = "3 connections had not finished their handshake and were closed"
)

// Row 7: a peer that connects and says nothing holds GracefulStop and Stop for
// grpc's ConnectionTimeout of 120 s; meanwhile the others hear nothing, and their new
// RPCs are served. With lastcall it holds the drain for HandshakeTime, and a force not
// at all.
func TestHazard07_SilentPeer(t *testing.T) {
	for kind, network := range silences() {
		for name, end := range map[string]func(*grpc.Server){"GracefulStop": (*grpc.Server).GracefulStop, "Stop": (*grpc.Server).Stop} {
			inVirtualTime(t, "grpc/"+kind+"/"+name, func(t *testing.T, _ <-chan struct{}) {
				n, silent := network(t)
				srv := bare(t, n, fnService{})
				conn := silent(t)
				connected := time.Now()
				client := n.client(t)
				if err := call(client)(); err != nil {
					t.Fatal(err)
				}
				p := n.peer(t, peerConfig{})
				time.Sleep(30 * time.Second)

				stop := start(noError(func() { end(srv) }))
				stop.stays(t, name, 10*time.Second)
				if got := p.frames(isGoAway); len(got) > 0 {
					t.Errorf("a client has been sent %v", got)
				}
				if got := p.status(t, p.call(t, unaryMethod)); got.code != codes.OK {
					t.Errorf("an RPC after %s was called: %v", name, got.code)
				}
				if err := call(client)(); err != nil {
					t.Errorf("an RPC after %s was called: %v", name, err)
				}
				p.conn.Close()
				_ = stop.result()
				if got := stop.at.Sub(connected); got != 120*time.Second {
					t.Errorf("%s returned %v after the silent peer had connected, want 120s", name, got)
				}
				if err := readEnd(t, conn); !errors.Is(err, io.EOF) {
					t.Errorf("the silent peer's connection ended with %v", err)
				}
			})
		}
		inVirtualTime(t, "lastcall/"+kind, func(t *testing.T, _ <-chan struct{}) {
			n, silent := network(t)
			h := newHandler(nil)
			l := begin(t, n, setup{service: h.answering()})
			conn := silent(t)
			client := n.client(t)
			if err := call(client)(); err != nil {
				t.Fatal(err)
			}
			p := n.peer(t, peerConfig{leaves: true})
			synctest.Wait()
			l.trigger()
			time.Sleep(500 * time.Millisecond)
			if err := call(client)(); err != nil { // the others have not been sent away yet
				t.Errorf("an RPC before GOAWAY: %v", err)
			}
			r := l.report(t)
			wantEnd(t, r, report.OutcomeDrained, time.Second)
			wantWork(t, r, work(unaryMethod, lastcall.Work{Arrived: 1, Late: 1, Completed: 1}))
			wantNote(t, r, oneSilent)
			if r.ExitCode() != report.ExitOK {
				t.Errorf("the exit code is %d", r.ExitCode())
			}
			if got := p.goAway(t, 0); got.at.Sub(r.Triggered) != time.Second {
				t.Errorf("another client was sent away %v after the trigger", got.at.Sub(r.Triggered))
			}
			if err := call(client)(); status.Code(err) != codes.Unavailable {
				t.Errorf("an RPC after GOAWAY: %v", err)
			}
			if got := h.runs.Load(); got != 2 {
				t.Errorf("the handler ran %d times, want 2", got)
			}
			if err := readEnd(t, conn); !errors.Is(err, io.EOF) {
				t.Errorf("the silent peer's connection ended with %v", err)
			}
			wantNoServer(t, r)
		})
		inVirtualTime(t, "lastcall/forced/"+kind, func(t *testing.T, _ <-chan struct{}) {
			n, silent := network(t)
			l := begin(t, n, setup{})
			conn := silent(t)
			l.Force()
			r := l.report(t)
			// No time is left for handshakes, so the last end and the timer fall into one
			// instant, and either path is legal (G5).
			want := report.OutcomeCancelled
			if r.Outcome == report.OutcomeDrained {
				want = report.OutcomeDrained
			}
			wantEnd(t, r, want, 0)
			wantNote(t, r, oneSilent)
			if err := readEnd(t, conn); !errors.Is(err, io.EOF) {
				t.Errorf("the silent peer's connection ended with %v", err)
			}
			wantNoServer(t, r)
		})
	}
	inVirtualTime(t, "lastcall/forced later", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		l := begin(t, n, setup{})
		for range 3 {
			n.silent(t)
		}
		l.trigger()
		time.Sleep(300 * time.Millisecond)
		l.Force()
		r := l.report(t)
		wantEnd(t, r, report.OutcomeCancelled, 300*time.Millisecond, late)
		wantNote(t, r, threeSilent)
		wantNoServer(t, r)
	})
	inVirtualTime(t, "lastcall/three, other HandshakeTime", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		n.Listener = grpcadapter.WrapListener(n.Listener, grpcadapter.HandshakeTime(7*time.Second))
		l := begin(t, n, setup{})
		for range 3 {
			n.silent(t)
		}
		time.Sleep(time.Minute) // the time counts from the drain
		r := l.shutdown(t)
		wantEnd(t, r, report.OutcomeDrained, 7*time.Second)
		wantNote(t, r, threeSilent)
		wantNoServer(t, r)
	})
	inVirtualTime(t, "lastcall/a good client that was just connecting", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		l := begin(t, n, setup{})
		p := n.peer(t, peerConfig{quiet: true, noPingAcks: true, leaves: true})
		synctest.Wait()
		l.trigger()
		time.Sleep(400 * time.Millisecond)
		p.start(t, peerConfig{})
		id := p.call(t, unaryMethod)
		if got := p.status(t, id); got.code != codes.OK {
			t.Errorf("its RPC: %v %s", got.code, got.text)
		}
		p.goAway(t, 0)
		p.ackPings(t)
		r := l.report(t)
		wantEnd(t, r, report.OutcomeDrained, 400*time.Millisecond)
		wantWork(t, r, work(unaryMethod, lastcall.Work{Arrived: 1, Late: 1, Completed: 1}))
		wantNote(t, r, "")
		wantNoServer(t, r)
	})
}

// Row 7 on real sockets.
func TestHazard07_SilentPeerOnSockets(t *testing.T) {
	for kind, network := range realNetworks() {
		for name, end := range map[string]func(*grpc.Server){"GracefulStop": (*grpc.Server).GracefulStop, "Stop": (*grpc.Server).Stop} {
			t.Run("grpc/"+kind+"/"+name, func(t *testing.T) {
				n := network(t)
				lis := &noticed{Listener: n.Listener, closed: make(chan struct{})}
				n.Listener = lis
				srv := bare(t, n, fnService{})
				client := n.client(t)
				if err := call(client)(); err != nil {
					t.Fatal(err)
				}
				n.forgetHandshakes()
				conn := n.silent(t)
				stop := start(noError(func() { end(srv) }))
				comes(t, "Close of the listener", lis.closed)
				if err := call(client)(); err != nil {
					t.Errorf("an RPC after %s was called: %v", name, err)
				}
				if stop.isDone() {
					t.Errorf("%s returned although a peer is silent", name)
				}
				conn.Close()
				comes(t, "the end of "+name, stop.done)
			})
		}
		for _, forced := range []bool{false, true} {
			name := "lastcall/" + kind
			handshake := 200 * time.Millisecond
			if forced {
				name, handshake = "lastcall/forced/"+kind, time.Minute
			}
			t.Run(name, func(t *testing.T) {
				n := network(t)
				n.Listener = grpcadapter.WrapListener(n.Listener, grpcadapter.HandshakeTime(handshake))
				l := begin(t, n, setup{budget: lastcall.Budget{Total: 3 * time.Minute, Reserve: time.Minute}})
				client := n.client(t)
				if err := call(client)(); err != nil {
					t.Fatal(err)
				}
				n.forgetHandshakes()
				conn := n.silent(t)
				if forced {
					l.Force()
				} else {
					l.trigger()
				}
				r := l.report(t)
				wantNote(t, r, oneSilent)
				switch {
				// No time is left for handshakes, so that the drain may end in the instant of the timer.
				case forced && (r.Outcome > report.OutcomeStopped || r.Took() > handshake/2):
					t.Errorf("a force ended like this:\n%v", r)
				case !forced && (r.ExitCode() != report.ExitOK || r.Took() < handshake):
					t.Errorf("exit code %d\n%v", r.ExitCode(), r)
				}
				if err := call(client)(); status.Code(err) != codes.Unavailable {
					t.Errorf("an RPC after the end: %v", err)
				}
				if err := readEnd(t, conn); !errors.Is(err, io.EOF) {
					t.Errorf("the silent peer's connection ended with %v", err)
				}
				wantNoServer(t, r)
			})
		}
	}
	t.Run("lastcall/default HandshakeTime", func(t *testing.T) {
		n := tcp(t)
		l := begin(t, n, setup{})
		n.silent(t)
		r := l.shutdown(t)
		wantNote(t, r, oneSilent) // and none of idle peers: there were none
		if r.ExitCode() != report.ExitOK || r.Took() < time.Second {
			t.Errorf("exit code %d\n%v", r.ExitCode(), r)
		}
	})
	t.Run("lastcall/after TLS", func(t *testing.T) {
		n := secureTCP(t)
		n.Listener = grpcadapter.WrapListener(n.Listener, grpcadapter.HandshakeTime(200*time.Millisecond))
		l := begin(t, n, setup{})
		conn := tls.Client(n.connect(t), n.tls)
		if err := conn.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil { // of the server's settings
			t.Fatal(err)
		}
		r := l.shutdown(t)
		wantNote(t, r, oneSilent)
		if r.ExitCode() != report.ExitOK || r.Took() < 200*time.Millisecond {
			t.Errorf("exit code %d\n%v", r.ExitCode(), r)
		}
	})
}
