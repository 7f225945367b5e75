package httpadapter_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// Connections whose methods hang hold up nothing but themselves: the phases take their
// time, an innocent request is answered, and the report names what hangs.
func TestConnectionsHang(t *testing.T) {
	const odd = 6
	for name, tt := range map[string]struct {
		ops   []faults.Op
		named string // of those that hang for as long as the process lives
	}{
		"NetConn and SyscallConn": {nil, "net.Conn.SyscallConn"},
		"deadlines":               {[]faults.Op{faults.Deadline}, "net.Conn.SetDeadline"},
		"Close":                   {[]faults.Op{faults.Close}, "net.Conn.Close"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := memory()
				block, armed, accepted := make(chan struct{}), make(chan struct{}), 0
				in := faults.In{faults.Below: faults.Hang(block), faults.Socket: faults.Hang(block)}
				for _, op := range tt.ops {
					in[op] = func() {
						select {
						case <-armed:
							<-block
						default:
						}
					}
				}
				lis := n.Listener
				n.Listener = &faults.Listener{Listener: lis, OnAccept: func() (net.Conn, error) {
					c, err := lis.Accept()
					if accepted++; err == nil && accepted <= odd {
						c = faults.OverSocket(c, in)
					}
					return c, err
				}}
				var cancelled time.Duration
				l := begin(t, n, setup{
					handler: func(w http.ResponseWriter, r *http.Request) {
						if r.Method == http.MethodPost {
							_, _ = io.Copy(io.Discard, r.Body)
							_, _ = io.WriteString(w, "ok")
							return
						}
						_, _ = io.Copy(io.Discard, r.Body)
						<-r.Context().Done()
					},
					controller: []controller.Option{controller.WithObserver("cancel", func(s report.Step) {
						if s.Op == report.OpCancel {
							cancelled = s.Duration
						}
					})},
				})
				for range odd {
					raw(t, n.connect(t), "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
				}
				synctest.Wait()
				body, feed := io.Pipe()
				innocent := n.client(t, h1).start("POST", "/", body)
				_, _ = feed.Write([]byte("some"))
				time.Sleep(time.Second)
				close(armed)
				l.trigger()
				time.Sleep(3 * time.Second)
				feed.Close()
				if a := <-innocent; a.err != nil || a.at.Sub(l.asked) != 3*time.Second {
					t.Errorf("the innocent request: %d, %v after %v", a.status, a.err, a.at.Sub(l.asked))
				}
				r := l.report(t)
				if cancelled > fullCancel {
					t.Errorf("Cancel took %v", cancelled)
				}
				if w := work(r, tt.named); w.Running == 0 && name != "NetConn and SyscallConn" {
					t.Errorf("%q is not named: %+v", tt.named, r.Work)
				}
				if late := r.Ended.Sub(r.Deadline); late > 0 {
					t.Errorf("%v late", late)
				}
				close(block)
				time.Sleep(time.Second) // net/http may be asleep
			})
		})
	}
}

// Hooks that hang do not delay the drain beyond what a new connection may take, and the
// report names the call that they are in. BaseContext is called before the first Accept, so
// that the controller is never ready.
func TestHooksHang(t *testing.T) {
	for name, hook := range map[string]func(*http.Server, <-chan struct{}){
		"ConnState": func(srv *http.Server, block <-chan struct{}) {
			srv.ConnState = func(net.Conn, http.ConnState) { <-block }
		},
		"ConnContext": func(srv *http.Server, block <-chan struct{}) {
			srv.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { <-block; return ctx }
		},
		"BaseContext": func(srv *http.Server, block <-chan struct{}) {
			srv.BaseContext = func(net.Listener) context.Context { <-block; return context.Background() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, srv, block := memory(), &http.Server{}, make(chan struct{})
				hook(srv, block)
				before := name == "BaseContext"
				l := begin(t, n, setup{server: srv, neverReady: before})
				most := 20 * time.Millisecond
				if !before {
					n.connect(t)
					most += time.Second // it is new
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if l.Ready() == before {
					t.Errorf("Ready is %v", l.Ready())
				}
				r := l.shutdown(t)
				wantDrained(t, r)
				if l.took > most {
					t.Errorf("took %v, want %v at most", l.took, most)
				}
				if work(r, "http.Server.Serve").Running != 1 {
					t.Errorf("Serve is not named: %+v", r.Work)
				}
				close(block)
				synctest.Wait()
			})
		})
	}
}

// A connection on which no request has come, and whose Close hangs, does not keep the clients of
// HTTP/2 from hearing that the server leaves.
func TestCloseHangsBeforeGOAWAY(t *testing.T) {
	for name, tt := range map[string]struct {
		leaves time.Duration // when the peer closes it; 0: never
		told   time.Duration // when Shutdown of net/http is called
	}{
		"a silent peer":       {0, time.Second},
		"a peer that is gone": {500 * time.Millisecond, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := memory()
				block := make(chan struct{})
				n.Listener = faults.Conns(n.Listener, faults.In{faults.Close: faults.Hang(block)})
				var told time.Time
				srv := &http.Server{}
				srv.RegisterOnShutdown(func() { told = time.Now() })
				l := begin(t, n, setup{server: srv, handler: func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Second) }})
				odd := n.connect(t)
				came := n.client(t, h2c).start(http.MethodGet, "/", nil)
				synctest.Wait()
				l.trigger()
				if tt.leaves > 0 {
					time.Sleep(tt.leaves)
					_ = odd.Close()
				}
				<-came
				if got := told.Sub(l.asked); got != tt.told {
					t.Errorf("net/http was told after %v, want %v", got, tt.told)
				}
				close(block)
				wantDrained(t, l.report(t))
			})
		})
	}
}
