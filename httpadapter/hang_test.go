package httpadapter_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// hangs is a connection of which some methods do not return.
type hangs struct {
	net.Conn
	block <-chan struct{}
}

func (c *hangs) NetConn() net.Conn { <-c.block; return nil }
func (c *hangs) SyscallConn() (syscall.RawConn, error) {
	<-c.block
	return nil, errors.ErrUnsupported
}

// hangsInDeadlines is one of which others do not.
type hangsInDeadlines struct {
	hangs
	armed <-chan struct{}
}

func (c *hangsInDeadlines) wait() {
	select {
	case <-c.armed:
		<-c.block
	default:
	}
}

func (c *hangsInDeadlines) SetReadDeadline(time.Time) error  { c.wait(); return nil }
func (c *hangsInDeadlines) SetWriteDeadline(time.Time) error { c.wait(); return nil }
func (c *hangsInDeadlines) SetDeadline(time.Time) error      { c.wait(); return nil }

// hangsInClose is one that is never closed.
type hangsInClose struct{ hangs }

func (c *hangsInClose) Close() error { <-c.block; return nil }

// Connections whose methods hang hold up nothing but themselves: the phases take their
// time, an innocent request is answered, and the report names what hangs.
func TestConnectionsHang(t *testing.T) {
	const odd = 6
	for name, tt := range map[string]struct {
		wrap  func(c net.Conn, block, armed <-chan struct{}) net.Conn
		named string // of those that hang for as long as the process lives
	}{
		"NetConn and SyscallConn": {func(c net.Conn, block, _ <-chan struct{}) net.Conn { return &hangs{c, block} }, "net.Conn.SyscallConn"},
		"deadlines": {func(c net.Conn, block, armed <-chan struct{}) net.Conn {
			return &hangsInDeadlines{hangs{c, block}, armed}
		}, "net.Conn.SetDeadline"},
		"Close": {func(c net.Conn, block, _ <-chan struct{}) net.Conn { return &hangsInClose{hangs{c, block}} }, "net.Conn.Close"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := memory()
				block, armed, accepted := make(chan struct{}), make(chan struct{}), 0
				lis := n.Listener
				n.Listener = stubborn{Listener: lis, accept: func() (net.Conn, error) {
					c, err := lis.Accept()
					if accepted++; err == nil && accepted <= odd {
						c = tt.wrap(c, block, armed)
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
