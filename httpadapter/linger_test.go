package httpadapter_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
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
			for _, err := n.dial(t.Context()); err == nil; _, err = n.dial(t.Context()) {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Millisecond)
			close(out)
			if a := <-came; a.err != nil || a.status != http.StatusRequestEntityTooLarge {
				t.Errorf("got %d, %v", a.status, a.err)
			}
			wantDrained(t, l.report(t))
		})
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
	l.wantWithin(t, 5*time.Second)
}

// net/http reads what is left of a short body that the handler did not read. In the drain a
// peer that does not send it, as one that was refused with Expect: 100-continue, is waited
// for a second, and has its answer all the same.
func TestAnswerAndBodyThatDoesNotCome(t *testing.T) {
	for _, how := range []string{h1, h1s} {
		for name, expect := range map[string]string{"plain": "", "expect": "Expect: 100-continue\r\n"} {
			for when, early := range map[string]bool{"before the drain": true, "in the drain": false} {
				t.Run(how+" "+name+" "+when, func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						n := on(t, memory(), how)
						l := begin(t, n, setup{handler: func(w http.ResponseWriter, r *http.Request) {
							if !early {
								<-lastcall.Draining(r.Context())
							}
							http.Error(w, "no", http.StatusExpectationFailed)
						}})
						c := n.speak(t)
						raw(t, c, "POST / HTTP/1.1\r\nHost: x\r\n%sContent-Length: 3\r\n\r\n", expect)
						synctest.Wait()
						l.trigger()
						if a := readAnswer(bufio.NewReader(c)); a.err != nil || a.status != http.StatusExpectationFailed || !a.close {
							t.Errorf("%d, close %v, %v", a.status, a.close, a.err)
						}
						wantDrained(t, l.report(t))
						// net/http of Go 1.27 sleeps before it closes a connection that cannot CloseWrite
						if sleeps := 500 * time.Millisecond; l.took != time.Second && l.took != time.Second+sleeps {
							t.Errorf("it took %v", l.took)
						}
					})
				})
			}
		}
	}
}
