package httpadapter_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"github.com/lastcall-go/lastcall"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// upload sends a body piece by piece, then reads the answer.
func upload(c net.Conn, size int) answer {
	br := bufio.NewReader(c)
	if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size); err != nil {
		return answer{err: err}
	}
	piece := make([]byte, 64<<10)
	for sent := 0; sent < size; sent += len(piece) {
		if _, err := c.Write(piece); err != nil {
			return answer{err: fmt.Errorf("write after %d bytes: %w", sent, err)}
		}
		time.Sleep(30 * time.Millisecond)
	}
	return readAnswer(br)
}

// An answer that comes before the body was read reaches a client that first sends all
// of the body.
func TestEarlyAnswer(t *testing.T) {
	for _, how := range []string{h1, h1s} {
		t.Run(how, func(t *testing.T) {
			n := on(t, tcp(t), how)
			in, out := make(chan struct{}), make(chan struct{})
			l := begin(t, n, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
				close(in)
				<-out
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			}})
			c := n.connect(t)
			if how == h1s {
				c = tls.Client(c, n.tls)
			}
			came := make(chan answer, 1)
			go func() {
				came <- upload(c, 2<<20)
				c.Close()
			}()
			<-in
			l.trigger()
			for !l.adapter.Drains() {
				time.Sleep(time.Millisecond)
			}
			close(out)
			if a := <-came; a.err != nil || a.status != http.StatusRequestEntityTooLarge {
				t.Errorf("got %d, %v", a.status, a.err)
			}
			wantDrained(t, l.report(t))
		})
	}
}

// A peer of HTTP/2 that goes on talking after its GOAWAY does not hold the drain for
// longer than half of the time to the timer.
func TestTalkativePeer(t *testing.T) {
	n := tcp(t)
	budget := lastcall.Budget{Total: 6 * time.Second, Reserve: 2 * time.Second} // the timer fires after 4 s
	l := begin(t, n, setup{budget: budget, handler: func(http.ResponseWriter, *http.Request) {}})
	c := n.connect(t)
	raw(t, c, "%s", http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	var header bytes.Buffer
	enc := hpack.NewEncoder(&header)
	for _, f := range [][2]string{{":method", "GET"}, {":path", "/"}, {":scheme", "http"}, {":authority", "x"}} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := fr.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: header.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	for { // until the answer
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if f.Header().StreamID == 1 && f.Header().Flags.Has(http2.FlagDataEndStream) {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, c) }()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for fr.WritePing(false, [8]byte{1}) == nil {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	wantDrained(t, l.shutdown(t))
	if l.took > 3500*time.Millisecond {
		t.Errorf("the shutdown took %v", l.took)
	}
}

// A WriteTimeout bounds for how long a peer is waited for that does not read.
func TestWriteTimeout(t *testing.T) {
	n := tcp(t)
	in := make(chan struct{})
	l := begin(t, n, setup{server: &http.Server{WriteTimeout: 500 * time.Millisecond}, handler: func(w http.ResponseWriter, _ *http.Request) {
		close(in)
		_, _ = w.Write(make([]byte, 32<<20))
	}})
	raw(t, n.connect(t), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-in
	wantDrained(t, l.shutdown(t))
	if l.took > 5*time.Second {
		t.Errorf("the shutdown took %v", l.took)
	}
}

// An answer that its peer has not read is waited for on a connection that is idle, too.
func TestUnreadAnswerOnIdleConnection(t *testing.T) {
	if !acknowledges {
		t.Skip("nobody knows here what the peer has")
	}
	const size = 1 << 20
	n := tcp(t)
	n.Listener = roomyListener{n.Listener}
	idle := make(chan struct{})
	l := begin(t, n, setup{
		handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			_, _ = w.Write(make([]byte, size))
		},
		server: &http.Server{ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateIdle {
				close(idle)
			}
		}},
	})
	c := n.connect(t)
	if err := c.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	raw(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-idle
	l.trigger()
	select {
	case <-l.over:
		t.Error("the shutdown is over before the answer has been read")
	case <-time.After(300 * time.Millisecond):
	}
	if a := readAnswer(bufio.NewReader(c)); a.err != nil || len(a.body) != size {
		t.Errorf("got %d bytes, %v", len(a.body), a.err)
	}
	wantDrained(t, l.report(t))
}
