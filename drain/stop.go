package drain

import (
	"cmp"
	"context"
	"time"
)

// moment is what calls may need to return when what they waited for has come.
const moment = 10 * time.Millisecond

// The names under which a report has calls that do not return.
const (
	callCloseConn = "net.Conn.Close"
	callDeadline  = "net.Conn.SetDeadline"
	callTell      = "Tell of " // and the name of the work
)

// Announce begins to count the work. It is called by the controller.
func (g *Group) Announce(context.Context) error {
	if g.closed == nil {
		return errNotMade
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enter(announced)
	return nil
}

// GracefulStop closes the group: work is refused from now on, listeners are closed,
// connections between two requests end, and what was given to Tell is called. It
// blocks until all work has ended, which nothing here bounds. It is called by the
// controller.
func (g *Group) GracefulStop() {
	if g.closed == nil {
		return
	}
	g.close()
	<-g.emptied
	g.calls.Await(moment) // so that the report names only what does not return
}

// close closes the group, once, and does not block.
func (g *Group) close() {
	g.mu.Lock()
	if g.stage >= draining {
		g.mu.Unlock()
		return
	}
	g.enter(draining)
	type tell struct {
		name string
		f    func()
	}
	var tells []tell
	var conns []*Conn
	for h := range g.running {
		for _, f := range h.tell {
			tells = append(tells, tell{callTell + h.entry.name, f})
		}
		if h.conn != nil {
			conns = append(conns, h.conn)
		}
	}
	listeners := g.listeners
	g.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close() // nothing depends on it any more
	}
	for _, t := range tells {
		g.call(t.name, t.f)
	}
	for _, c := range conns {
		c.drain()
	}
}

// enter goes on to a stage; never back. The mutex is held.
func (g *Group) enter(next stage) {
	if g.stage == serving && next > serving {
		g.ledger.count()
		g.last.Store(int64(time.Since(g.made)))
		g.counting.Store(true)
	}
	if g.stage < draining && next >= draining {
		close(g.closed)
	}
	g.stage = max(g.stage, next)
	g.settle()
}

// Cancel ends the contexts of the work that runs with the cause. Reads and writes
// on its connections return: reads fail with the cause from now on; writes fail with
// os.ErrDeadlineExceeded until a new deadline is set, so that a handler can say
// goodbye. It blocks until all work has ended, or ctx has. It is called by the
// controller.
func (g *Group) Cancel(ctx context.Context, cause error) {
	if g.closed == nil {
		return
	}
	g.close()
	cause = cmp.Or(cause, errStopped)
	for _, h := range g.mark(draining, func(h *Handle) { h.cancelled = true }) {
		if h.conn == nil {
			h.end(cause)
			continue
		}
		h.conn.cancel(cause) // before the context ends: a deadline that is set after that is for a goodbye
		h.end(cause)
		h.conn.interrupt()
	}
	select {
	case <-g.emptied:
	case <-ctx.Done():
	}
}

// Stop ends the contexts of the work that runs, and closes its connections, all at
// once and so that peers see the end of the stream and no reset. It blocks until
// they are closed, at most 10 ms, and does not wait for the work. It is called by the
// controller.
func (g *Group) Stop() {
	if g.closed == nil {
		return
	}
	g.close()
	left, _ := g.cut()
	limit := time.NewTimer(moment)
	defer limit.Stop()
	for _, c := range left {
		select {
		case <-c.gone:
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
	if g.closed == nil {
		return 0
	}
	g.close()
	left, n := g.cut()
	for _, c := range left {
		c.cutBelow()
	}
	for _, c := range left {
		<-c.gone
		if c.reached.Load() {
			n++
		}
	}
	return n
}

// cut closes the connections whose Close was not called, and does not block. It
// returns all whose Close has not returned, and how many it has called.
func (g *Group) cut() (left []*Conn, n int) {
	var claimed []*Conn
	for _, h := range g.mark(stopped, func(h *Handle) {
		if h.conn != nil && h.conn.claim() {
			h.cut = true
			claimed = append(claimed, h.conn)
		}
	}) {
		h.end(errStopped)
		if h.conn != nil {
			left = append(left, h.conn)
		}
	}
	for _, c := range claimed {
		c.finish()
	}
	return left, len(claimed)
}

// mark goes on to a stage and does something to all work that runs, which it
// returns. The mutex is held during f.
func (g *Group) mark(next stage, f func(*Handle)) []*Handle {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.enter(next)
	all := make([]*Handle, 0, len(g.running))
	for h := range g.running {
		f(h)
		all = append(all, h)
	}
	return all
}
