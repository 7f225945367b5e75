package httpadapter_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
)

// The handler of an answer that ends with its connection has returned, and its client does
// not read: what net/http is still writing at the timer is missing, so that ends with a reset.
func TestAnswersUntilTheCloseThatAreStillWritten(t *testing.T) {
	type key struct{}
	full := make(chan struct{})
	n := on(t, tcp(t), h1)
	l := begin(t, n, setup{
		server: &http.Server{ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, key{}, c) }},
		budget: lastcall.Budget{Total: 2 * time.Second, Reserve: 1800 * time.Millisecond},
		handler: func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			c := r.Context().Value(key{}).(net.Conn)
			for idle := 0; idle < 5; idle++ { // until the kernel takes no more: on a busy machine the time may be over before a write begins
				_ = c.SetWriteDeadline(time.Now().Add(30 * time.Millisecond))
				if took, _ := c.Write(make([]byte, 1<<20)); took > 0 {
					idle = 0
				}
			}
			_ = c.SetWriteDeadline(time.Time{})
			_, _ = io.WriteString(w, "the end")
			close(full)
		},
	})
	c := n.connect(t)
	raw(t, c, "GET / HTTP/1.0\r\n\r\n")
	<-full
	l.trigger()
	l.report(t)
	b, err := io.ReadAll(c)
	if whole := strings.HasSuffix(string(b), "the end"); whole || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after %d bytes: whole %v, %v", len(b), whole, err)
	}
}

// A connection that a handler has taken over behind the header of such an answer, and that is
// left to it, is closed as the handler closes it.
func TestHijackedUntilTheClose(t *testing.T) {
	n := on(t, tcp(t), h1)
	taken, hanging, stay := make(chan net.Conn, 1), make(chan struct{}), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/hangs", func(http.ResponseWriter, *http.Request) { close(hanging); <-stay })
	mux.HandleFunc("/hijacks", func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		taken <- c
		<-stay
	})
	l := begin(t, n, setup{
		server: &http.Server{Handler: mux}, adapter: leaveHijacked(),
		budget: lastcall.Budget{Total: 2 * time.Second, Reserve: 1800 * time.Millisecond},
	})
	hangs, c := n.connect(t), n.connect(t)
	raw(t, hangs, "GET /hangs HTTP/1.0\r\n\r\n")
	raw(t, c, "GET /hijacks HTTP/1.0\r\n\r\n")
	<-hanging
	mine := <-taken
	l.trigger()
	if _, err := io.ReadAll(hangs); err != nil { // Stop has closed it
		t.Logf("%v", err)
	}
	_, _ = io.WriteString(mine, "bye")
	_ = mine.Close()
	b, err := io.ReadAll(c)
	close(stay)
	if !strings.HasSuffix(string(b), "bye") || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	l.report(t)
}
