package drain

import (
	"cmp"
	"context"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

// moment is what calls may need to return when what they waited for has come.
const moment = 10 * time.Millisecond

// The names under which a report has calls that do not return.
const (
	callDeadline = "net.Conn.SetDeadline"
	callTell     = "Tell of " // and the name of the work
)

// Announce begins to count the work. It is called by the controller.
func (g *Group) Announce(context.Context) error {
	if g.isZero() {
		return errNotMade
	}
	g.tracker.Enter(inflight.Announced)
	return nil
}

// GracefulStop closes the listeners, and then the group: work is refused from now on,
// connections between two requests end, and what was given to Tell is called. It
// blocks until all work has ended, which nothing here bounds. It is called by the
// controller.
func (g *Group) GracefulStop() {
	if g.isZero() {
		return
	}
	g.close()
	<-g.tracker.Sealed()
	g.calls.Await(moment) // so that the report names only what does not return
}

// close closes the group, once: its listeners first, and then it refuses work. It blocks for
// as long as their Close, and a moment.
func (g *Group) close() {
	g.mu.Lock()
	first := !g.closing
	g.closing = true
	listeners := g.listeners
	g.mu.Unlock()
	if !first {
		return
	}
	for _, l := range listeners {
		_ = l.Close() // nothing depends on it any more
	}
	g.waiting.Await(true)
	g.tracker.Enter(inflight.Draining)
	close(g.closed)
	handles := g.tracker.InFlight()
	g.mu.Lock()
	for _, h := range handles {
		for _, f := range h.tell {
			g.tell(h, f)
		}
		h.tell = nil
	}
	g.mu.Unlock()
	for _, h := range handles {
		if h.conn != nil {
			h.conn.drain()
		}
	}
	g.tracker.Seal()
}

// Cancel ends the contexts of the work that runs with the cause. Reads and writes
// on its connections return: reads fail with the cause from now on; writes fail with
// os.ErrDeadlineExceeded until a new deadline is set, so that a handler can say
// goodbye. It blocks until all work has ended, or ctx has. It is called by the
// controller.
func (g *Group) Cancel(ctx context.Context, cause error) {
	if g.isZero() {
		return
	}
	g.close()
	cause = cmp.Or(cause, errStopped)
	all := g.tracker.Cancel()
	for _, h := range all {
		h.State.Or(cancelled)
	}
	for _, h := range all {
		if h.conn == nil {
			h.end(cause)
			continue
		}
		h.conn.cancel(cause) // before the context ends: a deadline that is set after that is for a goodbye
		h.end(cause)
		h.conn.hurry()
		h.conn.interrupt()
	}
	foreign.Until(ctx.Done(), g.tracker.Sealed(), moment)
}

// Stop ends the contexts of the work that runs, and closes its connections, all at
// once and so that peers see the end of the stream and no reset. It blocks until
// they are closed, at most 10 ms, and does not wait for the work. It is called by the
// controller.
func (g *Group) Stop() {
	if g.isZero() {
		return
	}
	g.close()
	conns, _ := g.cut()
	limit := time.NewTimer(moment)
	defer limit.Stop()
	for _, c := range conns {
		select {
		case <-c.Done():
		case <-limit.C:
			return
		}
	}
}

// Cut closes every connection that is left, all at once, and blocks until each is
// closed: for ever, if a Close hangs. Where one hangs and its connection tells with
// NetConn which connection is below, as *tls.Conn does, that one is closed. It returns
// how many connections were closed in one of these ways. It is called by the
// controller.
func (g *Group) Cut() int {
	if g.isZero() {
		return 0
	}
	g.close()
	conns, n := g.cut()
	for _, c := range conns {
		c.Cut()
	}
	for _, c := range conns {
		<-c.Done()
		if c.Reached() {
			n++
		}
	}
	return n
}

// cut closes the connections that are open, and does not block. It returns all that are in
// flight, and how many it has closed.
func (g *Group) cut() (conns []*connset.Conn, n int) {
	g.tracker.Enter(inflight.Stopped)
	handles := g.tracker.InFlight()
	for _, h := range handles {
		h.end(errStopped)
	}
	for _, h := range handles {
		if h.conn == nil {
			continue
		}
		conns = append(conns, h.conn.kept)
		h.conn.hurry()
		if h.conn.kept.CutOpen() {
			n++
		}
	}
	return conns, n
}

// InFlight returns the work of each name, as far as any ran when the shutdown
// began or has come since, and the calls into connections, listeners and functions
// given to Tell that have not returned. What a connection needs to close counts
// as running. A task that has panicked has completed. The numbers of a name belong
// to one instant. It may be called at any time, for metrics, too.
func (g *Group) InFlight() []lastcall.Work {
	if g.isZero() {
		return nil
	}
	work := g.tracker.Work(func(h *Handle, w *lastcall.Work) {
		if h.conn != nil {
			w.Peer = h.conn.peerAddr()
		}
	})
	return append(work, g.calls.Left()...)
}

// LastArrival returns when the last connection or piece of work came since the
// announcement, or the last request on a connection between two requests; without
// any, the instant of the announcement, or before that, when the Group was made.
// What is given to [Watcher.Go] does not count: what arrived is the request whose
// handler has begun it. It is called by the controller.
func (g *Group) LastArrival() time.Time {
	if g.isZero() {
		return time.Time{}
	}
	return g.tracker.LastArrival()
}
