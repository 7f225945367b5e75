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

// Announce begins to count the work. The controller calls it.
func (g *Group) Announce(context.Context) error {
	if g.isZero() {
		return errNotMade
	}
	g.tracker.Enter(inflight.Announced)
	return nil
}

// GracefulStop closes the listeners, and then the group: new work is refused, connections
// between two requests end, and the functions given to Tell are called. It blocks, without a
// bound, until all work has ended. The controller calls it.
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

// Cancel ends the contexts of the work that runs with the cause. Reads and writes on its
// connections return. From now on reads fail with the cause, and writes fail with
// os.ErrDeadlineExceeded until a new deadline is set, so that a handler can say goodbye. Cancel
// blocks until all work has ended, or ctx has. The controller calls it.
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

// Stop ends the contexts of the work that runs, and closes its connections, all at once and so
// that peers see the end of the stream and no reset. It blocks until they are closed, at most
// 10 ms, and does not wait for the work. The controller calls it.
func (g *Group) Stop() {
	if g.isZero() {
		return
	}
	g.close()
	before, now := g.cut()
	awaitClosed(append(before, now...))
}

// awaitClosed blocks until the connections are closed, for a moment at most.
func awaitClosed(conns []*connset.Conn) {
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

// Cut closes every connection that is left, all at once, and blocks until each is closed: for
// ever, if a Close hangs. If the Close of a connection hangs that tells with NetConn which
// connection is below it, as *tls.Conn does, Cut closes the one below. It returns how many
// connections were closed in one of these ways. The controller calls it.
func (g *Group) Cut() int {
	if g.isZero() {
		return 0
	}
	g.close()
	before, now := g.cut()
	for _, c := range before {
		c.Cut()
	}
	awaitClosed(now) // a healthy one says goodbye
	for _, c := range now {
		c.Cut()
	}
	n := len(now)
	for _, c := range before {
		<-c.Done()
		if c.Reached() {
			n++
		}
	}
	for _, c := range now {
		<-c.Done()
	}
	return n
}

// cut closes the connections that are open, and does not block. It returns those in flight: the
// ones that were being closed before, and the ones that it closes now.
func (g *Group) cut() (before, now []*connset.Conn) {
	g.tracker.Enter(inflight.Stopped)
	handles := g.tracker.InFlight()
	for _, h := range handles {
		h.end(errStopped)
	}
	for _, h := range handles {
		if h.conn == nil {
			continue
		}
		h.conn.hurry()
		if kept := h.conn.kept; kept.CutOpen() {
			now = append(now, kept)
		} else {
			before = append(before, kept)
		}
	}
	return before, now
}

// InFlight returns the work of each name that has had any, and the calls into connections,
// listeners and functions given to Tell that have not returned. A connection that is being
// closed still counts as running. A task that has panicked has completed. The numbers of a name
// belong to one instant. InFlight may be called at any time, also for metrics.
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

// LastArrival returns when the last connection or piece of work since the announcement arrived,
// or the last request on a connection between two requests. If there was none, it returns the
// instant of the announcement or, before that, the instant in which the Group was made. Work
// given to [Watcher.Go] does not count: what arrived is the request whose handler called Go.
// The controller calls it.
func (g *Group) LastArrival() time.Time {
	if g.isZero() {
		return time.Time{}
	}
	return g.tracker.LastArrival()
}
