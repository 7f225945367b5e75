package hazards_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// moment is what the adapter gives calls of the listener to return, before the
// report names them.
const moment = 10 * time.Millisecond

// Row 20: with a listener whose Accept ignores Close, or whose Close does not
// return, grpc's Stop blocks for ever.
func TestHazard20_ListenerHangs(t *testing.T) {
	for name, hang := range map[string]func(*network, <-chan struct{}) (call string){
		"Accept ignores Close": func(n *network, over <-chan struct{}) string {
			n.Listener = deaf(n.Listener, over)
			return "net.Listener.Accept"
		},
		"Close blocks": func(n *network, over <-chan struct{}) string {
			n.Listener = &faults.Listener{Listener: n.Listener, Faults: faults.In{faults.Close: faults.Hang(over)}}
			return "net.Listener.Close"
		},
	} {
		t.Run(name, func(t *testing.T) {
			for stop, f := range map[string]func(*grpc.Server){"GracefulStop": (*grpc.Server).GracefulStop, "Stop": (*grpc.Server).Stop} {
				inVirtualTime(t, "grpc "+stop, func(t *testing.T, over <-chan struct{}) {
					n := memory()
					hang(n, over)
					srv := bare(t, n, fnService{})
					if err := call(n.client(t))(); err != nil {
						t.Fatal(err)
					}
					start(noError(func() { f(srv) })).stays(t, stop, 10*time.Minute) // less than an idle client stays
				})
			}
			inVirtualTime(t, "lastcall", func(t *testing.T, over <-chan struct{}) {
				n := memory()
				foreign := hang(n, over)
				h := newHandler(func(context.Context) error { time.Sleep(3 * time.Second); return nil })
				l := begin(t, n, setup{service: h.service()})
				conn := n.client(t)
				rpc := start(call(conn))
				<-h.in
				r := l.shutdown(t)
				if err := rpc.result(); err != nil {
					t.Errorf("the RPC in flight: %v", err)
				}
				wantEnd(t, r, report.OutcomeDrained, 3*time.Second+moment)
				wantWork(t, r, lastcall.Work{Server: "grpc", Name: foreign, Kind: lastcall.WorkCall, Running: 1})
				wantWork(t, r, lastcall.Work{Server: "grpc", Name: unaryMethod, Kind: lastcall.WorkUnary, Before: 1, Completed: 1})
				wantNoServer(t, r)
			})
		})
	}
	inVirtualTime(t, "lastcall, Accept returns a connection after Close", func(t *testing.T, over <-chan struct{}) {
		n := memory()
		n.Listener = deaf(n.Listener, over)
		l := begin(t, n, setup{})
		synctest.Wait() // until Accept was called
		r := l.shutdown(t)
		wantEnd(t, r, report.OutcomeDrained, moment)
		visitor := n.connect(t)
		if _, err := visitor.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("a connection that was accepted after Close ends with %v, want EOF", err)
		}
		synctest.Wait()
		if work := l.adapter.InFlight(); len(work) != 0 {
			t.Errorf("when Accept has returned, %+v is left", work)
		}
		wantLeft(t, "", 0, r)
	})
}

// Row 21: grpc's Stop closes connections one by one, so 20 of which each takes
// 100 ms last two seconds.
func TestHazard21_SlowClose(t *testing.T) {
	const conns = 20
	// In real time: Stop holds a mutex while it waits, and that stops a bubble's clock.
	t.Run("grpc", func(t *testing.T) {
		const closeTime = 20 * time.Millisecond
		n := memory()
		n.Listener = slowCloses(n.Listener, closeTime)
		h := newHandler(func(ctx context.Context) error { <-ctx.Done(); return nil })
		srv := bare(t, n, h.service())
		for range conns {
			n.peer(t, peerConfig{}).call(t, unaryMethod)
			<-h.in
		}
		begun := time.Now()
		srv.Stop()
		if took := time.Since(begun); took < conns*closeTime {
			t.Errorf("Stop took %v, so it closes %d connections that take %v each no longer one by one", took, conns, closeTime)
		}
	})
	t.Run("lastcall", func(t *testing.T) {
		const closeTime = 100 * time.Millisecond
		// flight has an RPC in flight on each of as many connections, of clients that
		// go when they are told to.
		flight := func(t *testing.T, n *network, h *handler) {
			t.Helper()
			for range conns {
				start(call(n.client(t)))
				<-h.in
			}
		}
		inVirtualTime(t, "drain", func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			n.Listener = slowCloses(n.Listener, closeTime)
			h := newHandler(func(context.Context) error { time.Sleep(time.Second); return nil })
			l := begin(t, n, setup{service: h.service()})
			flight(t, n, h)
			r := l.shutdown(t)
			wantEnd(t, r, report.OutcomeDrained, time.Second+closeTime)
			wantWork(t, r, lastcall.Work{Name: unaryMethod, Kind: lastcall.WorkUnary, Before: conns, Completed: conns})
			wantNoServer(t, r)
		})
		inVirtualTime(t, "Cancel", func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			n.Listener = slowCloses(n.Listener, closeTime)
			h := newHandler(func(ctx context.Context) error { <-ctx.Done(); return nil })
			l := begin(t, n, setup{service: h.service()})
			flight(t, n, h)
			r := l.shutdown(t)
			wantEnd(t, r, report.OutcomeCancelled, usualTimer+closeTime, late)
			wantWork(t, r, lastcall.Work{Name: unaryMethod, Kind: lastcall.WorkUnary, Before: conns, Cancelled: conns})
			wantNoServer(t, r)
		})
		inVirtualTime(t, "Stop", func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			n.Listener = slowCloses(n.Listener, closeTime)
			h := newHandler(func(ctx context.Context) error { <-ctx.Done(); return nil })
			srv := grpc.NewServer() // without interceptors Cancel ends nothing
			h.service().register(srv)
			c := controllerOf(t, usual(), controller.WithServer("grpc", grpcadapter.Use(srv, grpcadapter.WithListener(n))))
			var r report.Report
			run := start(func() error { r = c.Run(context.Background()); return nil })
			flight(t, n, h)
			c.Shutdown(nil)
			_ = run.result()
			checkReport(t, r)
			cancel := cancelTook(r) // that of the controller's patience
			if cancel > 10*time.Millisecond {
				t.Errorf("phase cancel took %v, and had nothing to do", cancel)
			}
			wantEnd(t, r, report.OutcomeStopped, usualTimer+cancel+closeTime, late)
			wantNoServer(t, r)
		})
		inVirtualTime(t, "Cut", func(t *testing.T, over <-chan struct{}) {
			inner := mempipe.Listen(1 << 16)
			lis := grpcadapter.WrapListener(slowCloses(inner, closeTime))
			for range conns {
				dialed := start(func() error { _, err := inner.DialContext(t.Context()); return err })
				if _, err := lis.Accept(); err != nil {
					t.Fatal(err)
				}
				_ = dialed.result()
			}
			g := grpcadapter.Use(grpc.NewServer(), grpcadapter.WithListener(lis))
			begun := time.Now()
			if n := g.Cut(); n != conns {
				t.Errorf("Cut closed %d connections, want %d", n, conns)
			}
			if took := time.Since(begun); took != closeTime {
				t.Errorf("Cut took %v, want %v", took, closeTime)
			}
		})
	})
}

// deaf returns a listener whose Accept ignores Close, until it is over.
func deaf(lis net.Listener, over <-chan struct{}) net.Listener {
	go func() {
		<-over
		_ = lis.Close()
	}()
	return faults.Deaf(lis)
}

// slowCloses returns a listener whose connections take their time to close.
func slowCloses(lis net.Listener, d time.Duration) net.Listener {
	return faults.Conns(lis, faults.In{faults.Close: faults.Slow(d)})
}

// Row 24: GracefulStop closes the listener first. From then on clients that have
// not heard of it yet are refused, and connections that the kernel has accepted and
// the server has not are reset.
func TestHazard24_RefusedWindow(t *testing.T) {
	t.Run("grpc", func(t *testing.T) {
		n := tcp(t)
		gate := &gatedListener{Listener: n.Listener, open: make(chan struct{}), waits: make(chan struct{}, 1)}
		n.Listener = gate
		srv := bare(t, n, fnService{})
		<-gate.waits
		backlog := n.connect(t)
		stopped := start(noError(srv.GracefulStop))
		for { // until the listener is closed; in that instant a connection may be reset
			conn, err := n.dial(t.Context())
			if errors.Is(err, syscall.ECONNREFUSED) {
				break
			}
			if err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("a client that comes later gets %v, want connection refused", err)
			}
			if err == nil {
				conn.Close()
			}
		}
		if _, err := backlog.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a connection in the backlog ends with %v, want a reset", err)
		}
		close(gate.open)
		_ = stopped.result()
	})
	t.Run("lastcall", func(t *testing.T) {
		const settle = 5 * time.Second
		budget := usual()
		budget.Settle = settle
		inVirtualTime(t, "bufconn", func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			h := newHandler(func(context.Context) error { time.Sleep(3 * time.Second); return nil })
			l := begin(t, n, setup{service: h.service(), budget: budget})
			triggered := time.Now()
			l.trigger()
			// A client that does not know yet comes every 100 ms, until the drain has begun.
			type visit struct {
				*pending
				after time.Duration
			}
			var visits []visit
			for after := time.Duration(1); after < settle+time.Second; after += 100 * time.Millisecond {
				time.Sleep(time.Until(triggered.Add(after)))
				visits = append(visits, visit{start(call(n.client(t))), after})
			}
			r := l.report(t)
			served := 0
			for _, v := range visits {
				switch err := v.result(); {
				case v.after < settle && err != nil:
					t.Errorf("a client that comes %v after the trigger gets %v", v.after, err)
				case v.after < settle:
					served++
				case status.Code(err) != codes.Unavailable:
					t.Errorf("a client that comes %v after the trigger, in the drain, gets %v", v.after, err)
				}
			}
			// The last one comes 100 ms before the drain.
			wantEnd(t, r, report.OutcomeDrained, settle-100*time.Millisecond+1+3*time.Second)
			wantWork(t, r, lastcall.Work{Name: unaryMethod, Kind: lastcall.WorkUnary, Arrived: served, Completed: served})
			wantNoServer(t, r)
		})
		t.Run("TCP", func(t *testing.T) {
			n := tcp(t)
			budget := lastcall.Budget{Total: time.Minute, Settle: 300 * time.Millisecond, Reserve: 30 * time.Second}
			l := begin(t, n, setup{budget: budget})
			l.trigger()
			visits := 0
			for ; l.Phase() <= lastcall.PhaseSettle; visits++ {
				conn := n.client(t)
				err := call(conn)()
				conn.Close()
				if err != nil && l.Phase() <= lastcall.PhaseSettle {
					t.Errorf("a client that comes in the settle gets %v", err)
				}
			}
			r := l.report(t)
			if r.Outcome != report.OutcomeDrained || len(r.Failures()) > 0 || visits == 0 {
				t.Errorf("%d clients came, %v", visits, r)
			}
			if _, err := n.dial(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
				t.Errorf("after the end a client gets %v, want connection refused", err)
			}
			wantNoServer(t, r)
		})
	})
}

// gatedListener is a listener whose accept loop is slow: nothing is accepted until
// it is opened.
type gatedListener struct {
	net.Listener
	open  chan struct{}
	waits chan struct{} // has an element when Accept was called
}

func (l *gatedListener) Accept() (net.Conn, error) {
	select {
	case l.waits <- struct{}{}:
	default:
	}
	<-l.open
	return l.Listener.Accept()
}
