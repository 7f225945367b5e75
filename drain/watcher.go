package drain

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

// Watcher hands work to a [Group], and can do nothing else to it. Get one from [Group.Watcher];
// it may be copied and used by any number of goroutines. None of its methods blocks. With the
// zero Watcher they return an error.
//
// The names of work are those of the report: use one name for all work of a kind. A group keeps
// the numbers of a thousand names at a time and sums up the rest.
type Watcher struct{ group *Group }

// Watch registers work that the drain waits for until [Handle.Done] is called. The Handle's
// context has the values of ctx, but not its end. The error is [ErrClosed] once the group is
// closed; other errors are for a nil ctx, an empty name, and the zero Watcher.
func (w Watcher) Watch(ctx context.Context, name string) (*Handle, error) {
	return w.watch(ctx, name, true)
}

// WatchConn registers a connection that the drain waits for. It returns a [Conn], which is to
// be used instead of conn; the drain waits until its Close is called. If [Watcher.Go] starts
// the function that serves the connection, with the same name, the report has the line of code
// where that function stands. Errors are those of Watch, and for a nil conn and one that is
// watched already. After an error the caller has to close conn.
func (w Watcher) WatchConn(ctx context.Context, name string, conn net.Conn) (*Conn, error) {
	if foreign.IsNil(conn) {
		return nil, fmt.Errorf("drain: WatchConn(%q) was given a nil connection", name)
	}
	if _, watched := conn.(*Conn); watched {
		return nil, fmt.Errorf("drain: WatchConn(%q) was given a connection that is watched already", name)
	}
	if err := w.check(ctx, name); err != nil {
		return nil, err
	}
	c := w.group.conns.Admit(conn).(*Conn) //nolint:forcetypeassert // newConn has made it
	_, err := w.group.admit(ctx, inflight.Label{Name: name, Kind: lastcall.WorkConn}, c, true)
	w.group.waiting.Take()
	if err != nil {
		c.kept.Release()
		return nil, err
	}
	return c, nil
}

// Go calls f on a goroutine of its own; the drain waits until f returns. The context of f has
// the values of ctx, but not its end, so ctx may be that of a request. It ends when the
// shutdown's timer fires, with that cause. If f panics or calls runtime.Goexit, the process
// goes on: [Group.Serve] returns the *[PanicError], which triggers the shutdown. If Serve is
// not called (controller.Serving) or has returned, a note in the report has it. Errors are
// those of Watch, and for a nil f; with an error f is not called.
func (w Watcher) Go(ctx context.Context, name string, f func(ctx context.Context)) error {
	if f == nil {
		return fmt.Errorf("drain: Go(%q) was given a nil function", name)
	}
	h, err := w.watch(ctx, name, false) // what arrived is the request whose handler calls this
	if err != nil {
		return err
	}
	go h.run(f)
	return nil
}

func (w Watcher) watch(ctx context.Context, name string, arrives bool) (*Handle, error) {
	if err := w.check(ctx, name); err != nil {
		return nil, err
	}
	return w.group.admit(ctx, inflight.Label{Name: name, Kind: lastcall.WorkTask}, nil, arrives)
}

// check returns what is wrong with the arguments of a method.
func (w Watcher) check(ctx context.Context, name string) error {
	switch {
	case w.group == nil:
		return errors.New("drain: this Watcher was not made by Group.Watcher")
	case w.group.isZero():
		return errNotMade
	case ctx == nil:
		return fmt.Errorf("drain: work %q was given a nil context", name)
	case name == "":
		return errors.New("drain: a piece of work has no name")
	}
	return nil
}
