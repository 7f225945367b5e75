package contracttest_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/internal/tlstest"
	"github.com/lastcall-go/lastcall/report"
)

// witness is a client's connection that notes whether the server has reset it. What a
// client says as it closes, after the end of what the server sends, does not count.
type witness struct {
	net.Conn
	reset atomic.Bool
	gate  atomic.Pointer[chan struct{}] // reads that have something wait for it; nil: they do not
}

// Read reads little at a time, so that a client which does not read leaves something with
// the kernel.
func (w *witness) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b[:min(len(b), 512)])
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNABORTED) {
		w.reset.Store(true)
	}
	if gate := w.gate.Load(); gate != nil {
		<-*gate
	}
	return n, err
}

// client is a client with its connection, on which one call is over.
type client struct {
	call caller
	conn *witness
}

func connect(t *testing.T, k kind, dial dialer) *client {
	t.Helper()
	c := new(client)
	call, end := k.client(t, func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		c.conn = &witness{Conn: conn}
		return c.conn, nil
	})
	t.Cleanup(end)
	c.call = call
	if answer, err := call(t.Context(), "hello"); err != nil || answer != "hello" {
		t.Fatalf("%q, %v", answer, err)
	}
	return c
}

// start begins a call.
func (c *client) start(what string) (size <-chan int, failed <-chan error) {
	answers, errs := make(chan int, 1), make(chan error, 1)
	go func() {
		answer, err := c.call(context.Background(), what)
		if err != nil {
			errs <- err
		} else {
			answers <- len(answer)
		}
	}()
	return answers, errs
}

// beginnings are what peers have sent when they stop: nothing, and half of what the server
// expects. What does not belong to the protocol is refused before the drain.
var beginnings = map[string][]string{
	"gRPC New": {"", "PRI * HTTP/2.0\r\n"},
	"gRPC Use": {"", "PRI * HTTP/2.0\r\n"},
	"h1":       {"", "GET /hello HTTP/1.1\r\nHo"},
	"h1 TLS":   {"", "\x16\x03\x01\x02"},
	"h2":       {"", "\x16\x03\x01\x02"},
	"h2c":      {"", "PRI * HTTP/2.0\r\n"},
	"admin":    {"", "GET /hello HTTP/1.1\r\nHo"},
	"drain":    {""},
}

// pipelines are peers that send more while their first request is worked on, which the
// server does not read before it closes: the request, what comes then, and the answer.
var pipelines = map[string][3]string{
	"h1":    {"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", "hold"},
	"admin": {"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", "hold"},
	"drain": {"hold\n", "hello\n", "hold\n"},
}

// No client sees a reset in a drain that ends by itself: neither one that is idle, nor one
// whose call is in flight, nor one that reads its answer when the server has gone, nor
// peers that have said nothing, half of something, or too much.
func TestNoResetInADrain(t *testing.T) {
	for name, k := range kinds() {
		if _, ok := beginnings[name]; !ok {
			continue // bare: silent peers hold it until the timer
		}
		for _, network := range []string{"tcp", "unix"} {
			t.Run(name+" "+network, func(t *testing.T) {
				t.Parallel()
				lis, dial := listen(t, network)
				p := run(t, k, lis)
				clients := map[string]*client{"idle": connect(t, k, dial), "busy": connect(t, k, dial), "late": connect(t, k, dial)}
				size, failed := clients["busy"].start("hold")
				<-p.held
				gate := make(chan struct{})
				if name != "gRPC Use" { // grpc waits 6 s for such a client; once is enough
					clients["late"].conn.gate.Store(&gate)
				}
				lateSize, lateFailed := clients["late"].start("big")
				time.Sleep(100 * time.Millisecond) // it is answered
				says, ends := pipelines[name], make(chan error, 1)
				if says[0] == "" {
					ends <- nil
				} else {
					c, err := dial(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					_, _ = io.WriteString(c, says[0])
					<-p.held
					_, _ = io.WriteString(c, strings.Repeat(says[1], 100))
					go func() {
						answer, err := io.ReadAll(c)
						if err == nil && !strings.Contains(string(answer), says[2]) {
							err = fmt.Errorf("read %q", answer)
						}
						ends <- err
					}()
				}
				var raw []net.Conn
				for _, says := range beginnings[name] {
					c, err := dial(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					if _, err := io.WriteString(c, says); err != nil {
						t.Fatal(err)
					}
					raw = append(raw, c)
				}
				time.Sleep(50 * time.Millisecond) // they are accepted: those in the backlog are reset, by the kernel

				p.Shutdown(nil)
				<-p.draining
				time.Sleep(20 * time.Millisecond)
				close(p.release)
				select {
				case <-size:
				case err := <-failed:
					t.Errorf("in flight: %v", err)
				}
				select {
				case r := <-p.end:
					if r.ExitCode() != report.ExitOK {
						t.Error(r)
					}
				case <-time.After(10 * time.Second):
					t.Fatal("the drain does not end")
				}
				if err := <-ends; err != nil {
					t.Errorf("a client that sends too much: %v", err)
				}
				for i, c := range raw {
					_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
					if _, err := io.Copy(io.Discard, c); err != nil {
						t.Errorf("a peer that has sent %q: %v", beginnings[name][i], err)
					}
				}
				close(gate) // the server is gone
				select {
				case got := <-lateSize:
					if got != bigAnswer {
						t.Errorf("read late: %d bytes of %d", got, bigAnswer)
					}
				case err := <-lateFailed:
					t.Errorf("read late: %v", err)
				}
				for who, c := range clients {
					if c.conn.reset.Load() {
						t.Errorf("%s was reset", who)
					}
				}
			})
		}
	}
}

// A forced end closes connections, too, so that clients see the end of the stream: calls in
// flight fail, answers that were given arrive, and what the server has not read is dropped
// first.
func TestNoResetInAForcedEnd(t *testing.T) {
	for name, k := range kinds() {
		if _, ok := beginnings[name]; !ok {
			continue
		}
		for _, network := range []string{"tcp", "unix"} {
			t.Run(name+" "+network, func(t *testing.T) {
				t.Parallel()
				lis, dial := listen(t, network)
				p := run(t, k, lis)
				defer close(p.release)
				idle, busy := connect(t, k, dial), connect(t, k, dial)
				_, failed := busy.start("hold")
				<-p.held
				ends := make(chan error, 1)
				if says := pipelines[name]; says[0] != "" {
					c, err := dial(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					_, _ = io.WriteString(c, says[0])
					<-p.held
					_, _ = io.WriteString(c, strings.Repeat(says[1], 100))
					go func() { _, err := io.Copy(io.Discard, c); ends <- err }()
				} else {
					ends <- nil
				}
				p.Shutdown(nil)
				p.Force()
				if r := <-p.end; name != "admin" && r.ExitCode() != report.ExitAbandoned {
					t.Error(r)
				}
				if err := <-failed; err == nil {
					t.Error("a call that was cut got an answer")
				}
				if err := <-ends; err != nil {
					t.Errorf("a client that sends too much: %v", err)
				}
				for who, c := range map[string]*client{"idle": idle, "busy": busy} {
					if c.conn.reset.Load() {
						t.Errorf("%s was reset", who)
					}
				}
			})
		}
	}
}

// A client that goes on sending when its answer is given, and reads late, gets all of it.
func TestAnswerBesideAFlood(t *testing.T) {
	plain := func(lis net.Listener, dial dialer) (net.Listener, dialer) { return lis, dial }
	for name, tt := range map[string]struct {
		kind, says string
		on         func(net.Listener, dialer) (net.Listener, dialer)
	}{
		"h1":        {"h1", "h1", plain},
		"h1 TLS":    {"h1 TLS", "h1", func(lis net.Listener, dial dialer) (net.Listener, dialer) { return lis, overTLS(dial) }},
		"drain":     {"drain", "drain", plain},
		"drain TLS": {"drain", "drain", func(lis net.Listener, dial dialer) (net.Listener, dialer) { return withTLS(t, lis), overTLS(dial) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lis, dial := tt.on(listen(t, "tcp"))
			flooded(t, run(t, kinds()[tt.kind], lis), dial, pipelines[tt.says])
		})
	}
}

func flooded(t *testing.T, p *process, dial dialer, says [3]string) {
	t.Helper()
	c, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, strings.Replace(says[0], "hold", "huge", 1))
	<-p.held
	flood := make(chan struct{})
	go func() {
		defer close(flood)
		for began := time.Now(); time.Since(began) < 300*time.Millisecond; {
			_, _ = io.WriteString(c, says[1])
			time.Sleep(time.Millisecond)
		}
	}()
	time.Sleep(20 * time.Millisecond)
	p.Shutdown(nil)
	<-p.draining
	time.Sleep(20 * time.Millisecond)
	_, _ = io.WriteString(c, says[1]) // on a busy machine the flood may not have had a processor
	close(p.release)
	<-flood
	answer, err := io.ReadAll(c)
	if n := strings.Count(string(answer), "x"); err != nil || n < hugeAnswer { // headers have one, too
		t.Errorf("read %d of %d, %v", n, hugeAnswer, err)
	}
	_ = c.Close()
	if r := <-p.end; r.Outcome != report.OutcomeDrained || r.Took() > 3*time.Second {
		t.Error(r)
	}
}

func withTLS(t *testing.T, lis net.Listener) net.Listener {
	t.Helper()
	cert, _, err := tlstest.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	return tls.NewListener(lis, &tls.Config{Certificates: []tls.Certificate{cert}})
}

func overTLS(dial dialer) dialer {
	return func(ctx context.Context) (net.Conn, error) {
		c, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return tls.Client(c, &tls.Config{InsecureSkipVerify: true}), nil
	}
}
