package drain

import (
	"context"
	"github.com/lastcall-go/lastcall"
	"time"
)

// Handle is a piece of work that a group waits for. Its methods may be called by any
// number of goroutines and do not block.
type Handle struct {
	group *Group
	began time.Time
	ctx   context.Context //nolint:containedctx // it is the work's own, made and ended here
	end   context.CancelCauseFunc
	conn  *Conn // nil: none

	// guarded by the group's mutex
	entry     *entry
	tell      []func()
	over      bool
	cancelled bool
	cut       bool // its connection was closed by Stop or Cut
}

// Context returns the work's context. It has the values of the context that Watch
// was given; lastcall.Draining and lastcall.TimerAt work with it. It ends when
// the shutdown's timer fires, with that cause (context.Cause), and with Done.
func (h *Handle) Context() context.Context {
	if h == nil || h.ctx == nil {
		return context.Background()
	}
	return h.ctx
}

// Done says that the work has ended. Only the first call counts.
func (h *Handle) Done() {
	if h != nil && h.group != nil {
		h.group.release(h)
	}
}

// Tell has f called once, on a goroutine of its own, when the group closes, which
// is when the work should come to an end: in the drain, but behind the servers
// that the group is controller.Behind. lastcall.Draining tells earlier then. If the
// group is closed already f is called at once; after Done it is not called any more.
// Of several functions each is called. Nothing waits for f; if it panics, or is nil,
// a note in the report says so.
func (h *Handle) Tell(f func()) {
	if h == nil || h.group == nil {
		return
	}
	g := h.group
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case h.over:
	case g.stage >= draining:
		g.call(callTell+h.entry.name, f)
	default:
		h.tell = append(h.tell, f)
	}
}

// run is the goroutine of a task.
func (h *Handle) run(f func(context.Context)) {
	defer h.Done()
	h.group.guard(func() { f(h.ctx) }, func(p *PanicError) {
		p.Name = h.entry.name
		h.group.fail(p)
	})
}

// admit takes in a piece of work, or refuses it.
func (g *Group) admit(ctx context.Context, k key, conn *Conn, arrives bool) (*Handle, error) {
	h := &Handle{group: g, began: time.Now(), conn: conn}
	h.ctx, h.end = context.WithCancelCause(values{context.WithoutCancel(ctx), g})
	if conn != nil {
		conn.handle = h
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stage >= draining {
		g.refused++
		h.end(ErrClosed) // nobody has seen it
		return nil, ErrClosed
	}
	h.entry = g.ledger.begin(k, g.stage != serving)
	g.running[h] = struct{}{}
	if arrives {
		g.arrive()
	}
	return h, nil
}

// release takes out a piece of work, once.
func (g *Group) release(h *Handle) {
	g.mu.Lock()
	first := !h.over
	if first {
		h.over = true
		delete(g.running, h)
		g.ledger.end(h, g.stage)
		g.settle()
	}
	g.mu.Unlock()
	if first {
		h.end(nil)
	}
}

// settle draws the conclusion from what has just changed. The mutex is held.
func (g *Group) settle() {
	if g.stage >= draining && len(g.running) == 0 {
		select {
		case <-g.emptied:
		default:
			close(g.emptied)
		}
	}
}

// scope is a context that others look into.
type scope struct{ context.Context }

func scopeOf(l lastcall.Life) *scope {
	return &scope{lastcall.NewContext(context.Background(), l)}
}

// values are those of a context under those of a group, which may come later.
type values struct {
	context.Context
	group *Group
}

func (v values) Value(key any) any {
	if found := v.group.scope.Load().Value(key); found != nil {
		return found
	}
	return v.Context.Value(key)
}
