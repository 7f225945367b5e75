package httpadapter_test

import (
	"bufio"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
)

// In settle HTTP/1.1 answers carry "Connection: close", so that clients have left
// their kept-alive connections when the drain would close them. HTTP/2 goes on, and
// so do connections that change their protocol.
func TestAnswersInSettleCloseTheConnection(t *testing.T) {
	for _, how := range []string{h1, h2c, h1s, h2} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				handler := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
				l := begin(t, n, setup{handler: handler, budget: lastcall.Budget{Total: 10 * time.Second, Settle: 4 * time.Second, Reserve: 2 * time.Second}})
				c := n.client(t, how)
				closes := func() bool {
					t.Helper()
					res, err := c.get()
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
					return res.Close
				}
				if closes() {
					t.Error("closed before the trigger")
				}
				l.trigger()
				time.Sleep(time.Second)
				if got, want := closes(), how == h1 || how == h1s; got != want {
					t.Errorf("in settle the connection is closed: %v, want %v", got, want)
				}
				wantDrained(t, l.report(t))
				if w := work(l.last, "GET (no pattern)"); w.Arrived != 1 || w.Late != 0 {
					t.Errorf("%+v", w)
				}
			})
		})
	}
	t.Run("upgrade", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			n := memory()
			handler := func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Upgrade", "line")
				w.Header().Add("Connection", "Upgrade")
				w.WriteHeader(http.StatusSwitchingProtocols)
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_ = conn.Close()
			}
			l := begin(t, n, setup{handler: handler, budget: lastcall.Budget{Total: 10 * time.Second, Settle: 4 * time.Second, Reserve: 2 * time.Second}})
			l.trigger()
			time.Sleep(time.Second)
			c := n.connect(t)
			raw(t, c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: line\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if got := res.Header.Values("Connection"); !slices.Equal(got, []string{"Upgrade"}) {
				t.Errorf("Connection: %q", got)
			}
			wantDrained(t, l.report(t))
		})
	})
}

// A client that pipelines keeps its connection in settle: an answer that closes it would
// drop the requests behind.
func TestPipeliningInSettle(t *testing.T) {
	for _, how := range []string{h1, h1s} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				l := begin(t, n, setup{budget: lastcall.Budget{Total: 10 * time.Second, Settle: 4 * time.Second, Reserve: 2 * time.Second}, handler: func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(http.StatusNoContent)
				}})
				c := n.speak(t)
				br := bufio.NewReader(c)
				ask := func(count, answered int) {
					t.Helper()
					raw(t, c, "%s", strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", count))
					for range answered {
						if a := readAnswer(br); a.err != nil || a.status != http.StatusNoContent {
							t.Errorf("%d, %v", a.status, a.err)
						}
					}
				}
				ask(2, 2)
				l.trigger()
				time.Sleep(time.Second)
				ask(4, 4)
				ask(1, 1)
				wantDrained(t, l.report(t))
				if a := readAnswer(br); a.err == nil {
					t.Errorf("the connection is open after the drain: %d", a.status)
				}
			})
		})
	}
}

// A client of which the server does not know yet that it pipelines gets its answer whole when
// that ends its connection in settle, and no reset: what it has sent behind is not read.
func TestPipeliningAtTheEndOfAConnection(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			n := socket(t, network, map[string]string{"tcp": "127.0.0.1:0", "unix": t.TempDir() + "/s"}[network])
			in, out := make(chan struct{}, 1), make(chan struct{})
			const size = 1 << 20
			budget := lastcall.Budget{Total: 10 * time.Second, Settle: 300 * time.Millisecond, Reserve: time.Second}
			l := begin(t, n, setup{budget: budget, handler: func(w http.ResponseWriter, _ *http.Request) {
				in <- struct{}{}
				<-out
				_, _ = w.Write(make([]byte, size))
			}})
			c := n.connect(t)
			request := "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
			raw(t, c, "%s", request)
			<-in
			raw(t, c, "%s", strings.Repeat(request, 100))
			l.trigger()
			for l.Phase() < lastcall.PhaseSettle {
				time.Sleep(time.Millisecond)
			}
			close(out)
			answer, err := io.ReadAll(c)
			if err != nil || len(answer) < size {
				t.Errorf("read %d bytes, %v", len(answer), err)
			}
			c.Close()
			wantDrained(t, l.report(t))
		})
	}
}

// InFlight tells what runs that should not: not the Serve of a server that serves.
func TestInFlightWhileServing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		in, out := make(chan struct{}), make(chan struct{})
		l := begin(t, n, setup{handler: func(http.ResponseWriter, *http.Request) { close(in); <-out }})
		conn := n.connect(t)
		raw(t, conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		<-in
		var calls []string
		for _, w := range l.adapter.InFlight() {
			if w.Kind == lastcall.WorkCall && w.Name != "net.Listener.Accept" {
				calls = append(calls, w.Name)
			}
		}
		if len(calls) > 0 {
			t.Errorf("calls in flight: %q", calls)
		}
		close(out)
		wantDrained(t, l.shutdown(t))
	})
}
