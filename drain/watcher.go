package drain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/inflight"
	"github.com/lastcall-go/lastcall/internal/sock"
)

// Watcher hands work to a [Group], and can do nothing else to it. Get one from
// [Group.Watcher]; it may be copied and used by any number of goroutines. None of its
// methods blocks. With the zero Watcher they return an error.
//
// The names of work are those of the report: give one to all work of a sort. A group
// keeps the numbers of a hundred names at a time and sums up the rest.
type Watcher struct{ group *Group }

// Watch has a piece of work waited for until [Handle.Done] is called. The Handle's
// context has the values of ctx, but not its end. The error is [ErrClosed] once
// the group is closed; other errors are for a nil ctx, an empty name, and the zero
// Watcher.
func (w Watcher) Watch(ctx context.Context, name string) (*Handle, error) {
	return w.watch(ctx, name, nil, true)
}

// WatchConn has a connection waited for until Close of the [Conn] that it returns is
// called, which is to be used instead of conn. If [Watcher.Go] starts the function that
// serves it, with the same name, the report has the line of code where that stands. Errors
// are those of Watch, and for a nil conn and one that is watched already; with an error the
// connection is the caller's to close.
func (w Watcher) WatchConn(ctx context.Context, name string, conn net.Conn) (*Conn, error) {
	if foreign.IsNil(conn) {
		return nil, fmt.Errorf("drain: WatchConn(%q) was given a nil connection", name)
	}
	if _, watched := conn.(*Conn); watched {
		return nil, fmt.Errorf("drain: WatchConn(%q) was given a connection that is watched already", name)
	}
	c := &Conn{Conn: conn, direct: sock.IsNet(conn), idle: true, first: time.Now().Add(firstTime), gone: make(chan struct{})}
	_, err := w.watch(ctx, name, c, true)
	if w.group != nil {
		w.group.watched()
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Go calls f on a goroutine of its own and has it waited for until it returns. Its
// context has the values of ctx, but not its end, so that ctx may be that of a
// request; it ends when the shutdown's timer fires, with that cause. If f panics or
// calls runtime.Goexit the process goes on: [Group.Serve] returns the *[PanicError],
// which triggers the shutdown; where Serve is not called (controller.Serving) or has
// returned, a note in the report tells it. Errors are those of Watch, and for a nil
// f; with an error f is not called.
func (w Watcher) Go(ctx context.Context, name string, f func(ctx context.Context)) error {
	if f == nil {
		return fmt.Errorf("drain: Go(%q) was given a nil function", name)
	}
	h, err := w.watch(ctx, name, nil, false) // what arrived is the request whose handler calls this
	if err != nil {
		return err
	}
	go h.run(f)
	return nil
}

func (w Watcher) watch(ctx context.Context, name string, conn *Conn, arrives bool) (*Handle, error) {
	switch {
	case w.group == nil:
		return nil, errors.New("drain: this Watcher was not made by Group.Watcher")
	case w.group.isZero():
		return nil, errNotMade
	case ctx == nil:
		return nil, fmt.Errorf("drain: work %q was given a nil context", name)
	case name == "":
		return nil, errors.New("drain: a piece of work has no name")
	}
	kind := lastcall.WorkTask
	if conn != nil {
		kind = lastcall.WorkConn
	}
	return w.group.admit(ctx, inflight.Label{Name: name, Kind: kind}, conn, arrives)
}
