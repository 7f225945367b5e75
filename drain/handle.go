package drain

import (
	"context"
	"runtime/debug"
	"runtime/pprof"

	"github.com/lastcall-go/lastcall/internal/inflight"
	"github.com/lastcall-go/lastcall/internal/stacks"
)

// Handle is a piece of work that a group waits for. Its methods may be called by any
// number of goroutines and do not block.
type Handle struct {
	item
	group *Group
	label inflight.Label
	ctx   context.Context //nolint:containedctx // it is the work's own, made and ended here
	end   context.CancelCauseFunc
	conn  *Conn // nil: none

	tell []func() // guarded by the group's mutex
}

// The bits of a Handle's State. It needs no lock: of 100,000 tasks that end in the same instant
// each would wait for it.
const (
	over      = 1 << iota // the work has ended
	cancelled             // it ran when Cancel was called
)

// fate returns what became of work that has ended.
func (h *Handle) fate() inflight.Fate {
	switch {
	case h.conn != nil && h.conn.kept.WasCut():
		return inflight.Cut
	case h.State.Load()&cancelled != 0:
		return inflight.Cancelled
	default:
		return inflight.ByStage
	}
}

// item keeps the tracker's part of a Handle out of its documentation.
type item = inflight.Item[*Handle]

// Context returns the work's context. It has the values of the context that Watch
// was given; lastcall.Draining and lastcall.TimerAt work with it. It ends when
// the shutdown's timer fires, with that cause (context.Cause), and with Done.
func (h *Handle) Context() context.Context {
	if h == nil || h.ctx == nil {
		return context.Background()
	}
	return h.ctx
}

// Done marks the work as ended. Only the first call counts.
func (h *Handle) Done() {
	if h != nil && h.group != nil {
		h.group.release(h)
	}
}

// Tell registers a function that is called once, on a goroutine of its own, when the group
// closes: then the work should come to an end. If the group stands After servers, it closes
// when those have ended, and lastcall.Draining is closed earlier. If the group is already
// closed, f is called at once; after Done it is not called any more. If Tell is called with
// several functions, each of them is called. Nothing waits for f; if it panics, or is nil, a
// note in the report says so.
func (h *Handle) Tell(f func()) {
	if h == nil || h.group == nil {
		return
	}
	g := h.group
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case h.State.Load()&over != 0:
	case g.tracker.Stage() >= inflight.Draining:
		g.tell(h, f)
	default:
		h.tell = append(h.tell, f)
	}
}

// tell calls a function given to Tell. It starts a goroutine, and returns.
func (g *Group) tell(h *Handle, f func()) {
	name := callTell + h.label.Name
	g.calls.Run(name, func() {
		if f == nil {
			g.note(name, errNilFunction)
			return
		}
		f()
	})
}

// run is the goroutine of a task. A panic ends here; Goexit goes on.
func (h *Handle) run(f func(context.Context)) {
	pprof.SetGoroutineLabels(h.ctx)
	defer h.Done()
	returned := false
	defer func() {
		p := &PanicError{Name: h.label.Name, Value: recover()}
		if p.Value != nil {
			p.Stack = string(debug.Stack())
		}
		if !returned {
			h.group.fail(p)
		}
	}()
	f(h.ctx)
	returned = true
}

// admit takes in a piece of work, or refuses it.
func (g *Group) admit(ctx context.Context, label inflight.Label, conn *Conn, arrives bool) (*Handle, error) {
	h := &Handle{group: g, label: label, conn: conn}
	h.ctx, h.end = context.WithCancelCause(values{stacks.Of(context.WithoutCancel(ctx), label.Name), h})
	if conn != nil {
		conn.handle = h
	}
	if !g.tracker.Begin(h, inflight.Draining, arrives) {
		h.end(ErrClosed) // nothing has seen it
		g.mu.Lock()
		defer g.mu.Unlock()
		g.refused++
		return nil, ErrClosed
	}
	return h, nil
}

// release takes out a piece of work, once.
func (g *Group) release(h *Handle) {
	if state := h.State.Or(over); state&over == 0 {
		g.tracker.End(h, h.fate())
		h.end(nil)
	}
}

// values are those of a context under those of the work's group, which may come later.
type values struct {
	context.Context
	work *Handle
}

func (v values) Value(key any) any {
	if found := v.work.group.tracker.Value(v.work, key); found != nil {
		return found
	}
	return v.Context.Value(key)
}
