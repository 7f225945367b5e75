package drain_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// spin lets others run for a while that is different each time.
func spin(most int) {
	for range rand.IntN(most) {
		runtime.Gosched()
	}
}

// Whatever races with the end of a group is refused or waited for: when GracefulStop
// has returned nothing runs and nothing will. Nothing is counted twice or lost.
func TestEachIsRefusedOrWaitedFor(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for round := range rounds {
		g := drain.New()
		if err := g.Announce(t.Context()); err != nil {
			t.Fatal(err)
		}
		var live, taken atomic.Int64
		begins := func() { live.Add(1); taken.Add(1) }
		work := func(w drain.Watcher, n int) error {
			switch n % 4 {
			case 0:
				return w.Go(context.Background(), "task", func(ctx context.Context) {
					begins() // it was taken in before
					spin(20)
					live.Add(-1)
				})
			case 1:
				return w.Go(context.Background(), "obedient", func(ctx context.Context) {
					begins()
					<-ctx.Done()
					live.Add(-1)
				})
			case 2:
				h, err := w.Watch(context.Background(), "watched")
				if err != nil {
					return err
				}
				begins()
				over := make(chan struct{})
				if n%3 == 0 { // ends when it is told to
					h.Tell(func() { close(over) }) // twice would panic
				} else {
					go func() { spin(20); close(over) }()
				}
				go func() {
					<-over
					live.Add(-1)
					h.Done()
					h.Done()
				}()
				return nil
			default:
				server, peer := net.Pipe()
				c, err := w.WatchConn(context.Background(), "conn", server)
				if err != nil {
					return errors.Join(err, server.Close(), peer.Close())
				}
				begins()
				go func() {
					defer peer.Close()
					if n%3 == 0 {
						spin(20)
						return
					}
					_, _ = io.Copy(io.Discard, peer)
				}()
				go func() {
					_, _ = io.Copy(io.Discard, c)
					live.Add(-1)
					c.Close()
				}()
				return nil
			}
		}
		var workers, stops sync.WaitGroup
		for range 4 {
			workers.Go(func() {
				for n := range 200 {
					err := work(g.Watcher(), n)
					if errors.Is(err, drain.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		spin(200)
		for i, stop := range []func(){
			g.GracefulStop,
			func() { g.Cancel(context.Background(), lastcall.ErrTimer) }, // ends what is obedient
			g.Stop,
			func() { g.Cut() },
			func() { g.InFlight(); g.Notes(); g.LastArrival() },
			g.GracefulStop,
		} {
			if i == 1 || round>>i&1 == 0 {
				stops.Go(func() { spin(200); stop() })
			}
		}
		g.GracefulStop()
		if n := live.Load(); n != 0 {
			t.Fatalf("GracefulStop has returned, and %d pieces of work run", n)
		}
		n := taken.Load()
		workers.Wait()
		stops.Wait()
		sum := lastcall.Work{}
		for _, w := range g.InFlight() {
			if w.Kind == lastcall.WorkCall {
				continue
			}
			sum.Arrived += w.Arrived
			sum.Completed += w.Completed + w.Cancelled + w.Cut
			sum.Running += w.Running + w.Before
		}
		if int64(sum.Arrived) != taken.Load() || taken.Load() != n || sum.Completed != sum.Arrived || sum.Running != 0 {
			t.Fatalf("%d were taken, %d afterwards; %+v", n, taken.Load()-n, g.InFlight())
		}
	}
}

// Requests that race with the drain over real sockets: those of which the server has read a
// byte are served to the end, answers reach the client, and no client sees half of
// one.
func TestNoRequestIsHalfServed(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for _, secured := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secured), func(t *testing.T) {
			answered := 0
			var server, client *tls.Config
			if secured {
				server, client = certified(t)
			}
			for range rounds {
				answered += raceRequests(t, server, client)
			}
			if answered == 0 {
				t.Error("no request was answered at all")
			}
		})
	}
}

// raceRequests has clients ask until the server leaves, over TLS if that is configured, and returns how many answers
// there were.
func raceRequests(t *testing.T, server, client *tls.Config) int {
	t.Helper()
	lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := lis.Addr().String()
	dial := func() (net.Conn, error) { return new(net.Dialer).DialContext(t.Context(), "tcp", address) }
	e := &echo{g: drain.New()}
	if server != nil {
		lis = tls.NewListener(lis, server)
		dial = func() (net.Conn, error) {
			return (&tls.Dialer{Config: client}).DialContext(t.Context(), "tcp", address)
		}
	}
	lis = e.g.Listen(lis)
	serving := make(chan error)
	go func() { serving <- e.accept(lis) }()

	const clients = 6
	var answers atomic.Int64
	var all sync.WaitGroup
	ready := make(chan struct{}, clients)
	for i := range clients {
		all.Go(func() {
			conn, err := dial()
			if err != nil {
				ready <- struct{}{}
				t.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			for n := range 1_000_000 {
				line := fmt.Sprintf("%c request %d\n", 'a'+i, n)
				if n%2 == 0 { // in two halves
					_, err = io.WriteString(conn, line[:3])
					spin(20)
					if err == nil {
						_, err = io.WriteString(conn, line[3:])
					}
				} else {
					_, err = io.WriteString(conn, line)
				}
				got, readErr := r.ReadString('\n')
				switch {
				case got == line:
					answers.Add(1)
				case got != "":
					t.Errorf("the answer to %q was %q, %v", line, got, readErr)
					return
				default: // refused, whether it was sent or not
					return
				}
				if n == 0 {
					ready <- struct{}{}
				}
				_ = err // an answer would tell
			}
		})
	}
	for range clients {
		<-ready
	}
	spin(2000)
	e.g.GracefulStop()
	if err := <-serving; err != nil {
		t.Error(err)
	}
	all.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.partial) > 0 {
		t.Errorf("the server has given up in the middle of %q", e.partial)
	}
	if int64(e.served) != answers.Load() {
		t.Errorf("the server has given %d answers, and %d were received", e.served, answers.Load())
	}
	return e.served
}

// certified returns the configurations of a server and of a client that trusts it.
func certified(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return &tls.Config{Certificates: srv.TLS.Certificates, MinVersion: tls.VersionTLS13},
		&tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS13}
}

// At the timer a peer over a real socket, whose data nobody has read, sees the end of
// the stream and no reset; and the report says which peer it was.
func TestPeersSeeTheEnd(t *testing.T) {
	lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := drain.New()
	lis = g.Listen(lis)
	peer, err := new(net.Dialer).DialContext(t.Context(), "tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	inside, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	r := begin(t, g, lastcall.Budget{Total: 600 * time.Millisecond, Reserve: 500 * time.Millisecond})
	c, err := g.Watcher().WatchConn(t.Context(), "c", inside)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if work := g.InFlight(); len(work) != 1 || work[0].Peer != peer.LocalAddr().String() {
		t.Errorf("in flight: %+v, want peer %v", work, peer.LocalAddr())
	}
	closed := make(chan struct{})
	go func() { // a handler that does not listen
		<-closed
		c.Close()
	}()
	r.trigger()
	if n, err := peer.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the peer reads %d, %v", n, err)
	}
	close(closed)
	wantOutcome(t, r.wait(t), report.OutcomeStopped, report.ExitInterrupted)
}

// connection returns both ends of a TCP connection, as net has them.
func connection(t *testing.T) (peer, inside net.Conn) {
	t.Helper()
	lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	if peer, err = new(net.Dialer).DialContext(t.Context(), "tcp", lis.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	if inside, err = lis.Accept(); err != nil {
		t.Fatal(err)
	}
	return peer, inside
}

// requested returns a Group that drains, with a connection on which it has read a request. The
// channel is closed when GracefulStop has returned.
func requested(t *testing.T, peer io.Writer, inside net.Conn) (*drain.Group, *drain.Conn, <-chan struct{}) {
	t.Helper()
	g := drain.New()
	c, err := g.Watcher().WatchConn(t.Context(), "c", inside)
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error)
	go func() {
		_, err := io.WriteString(peer, "request")
		sent <- err
	}()
	if _, err := io.ReadFull(c, make([]byte, len("request"))); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { g.GracefulStop(); close(over) }()
	for c.Idle() { // until the drain has come
		runtime.Gosched()
	}
	return g, c, over
}

// A connection that is closed in the drain while there is more to read gives its
// peer the answer and the end of the stream, and no reset.
func TestCloseInTheDrain(t *testing.T) {
	for _, kind := range []string{"TCP", "TLS", "wrapped"} {
		t.Run(kind, func(t *testing.T) {
			socket, inside := connection(t)
			peer := socket
			switch kind {
			case "TLS":
				server, client := certified(t)
				peer, inside = tls.Client(peer, client), tls.Server(inside, server)
			case "wrapped":
				inside = faults.Over(inside, nil)
			}
			_, c, over := requested(t, peer, inside)
			put(t, socket, "nobody reads that")
			put(t, c, "answer")
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			<-over
			if got, err := io.ReadAll(peer); string(got) != "answer" || err != nil {
				t.Errorf("the peer reads %q, %v", got, err)
			}
		})
	}
}

// A peer over TLS is told that the connection ends on purpose, whether its handler closes it in
// the drain, with something unread or without, or Stop does.
func TestTLSGoodbye(t *testing.T) {
	for _, end := range []string{"Close", "Close with something unread", "Stop"} {
		t.Run(end, func(t *testing.T) {
			socket, inside := connection(t)
			server, client := certified(t)
			server.MinVersion, client.MinVersion, client.MaxVersion = tls.VersionTLS12, tls.VersionTLS12, tls.VersionTLS12 // later ones hide the type of a record
			var wire bytes.Buffer
			peer := tls.Client(readTo{socket, &wire}, client)
			g, c, over := requested(t, peer, tls.Server(inside, server))
			switch end {
			case "Stop":
				g.Stop()
			case "Close with something unread":
				put(t, socket, "nobody reads that")
				fallthrough
			default:
				put(t, c, "answer")
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadAll(peer); err != nil {
				t.Errorf("the peer reads %v", err)
			}
			socket.Close()
			<-over
			const head, alert = 5, 21 // RFC 5246, 6.2.1
			last := byte(0)
			for b := wire.Bytes(); len(b) >= head; b = b[min(len(b), head+int(b[3])<<8+int(b[4])):] {
				last = b[0]
			}
			if last != alert {
				t.Errorf("the last record is of type %d", last)
			}
		})
	}
}

// readTo is a connection that keeps what is read.
type readTo struct {
	net.Conn
	all *bytes.Buffer
}

func (c readTo) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.all.Write(b[:n])
	return n, err
}

func BenchmarkWatch(b *testing.B) {
	w := drain.New().Watcher()
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			h, err := w.Watch(context.Background(), "work")
			if err != nil {
				b.Fatal(err)
			}
			h.Done()
		}
	})
}

func BenchmarkRead(b *testing.B) {
	c, err := drain.New().Watcher().WatchConn(context.Background(), "c", endlessConn{})
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Read(buf); err != nil || !c.Idle() {
			b.Fatal(err)
		}
	}
}

type endlessConn struct{ idleConn }

func (endlessConn) Read(b []byte) (int, error) { return len(b), nil }
