package shutdowntest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// Env is what a service is built on: listeners, a budget, and wrappers that note what the
// service does. Each check has an Env of its own. Its methods may be called by any number
// of goroutines; none blocks.
type Env struct {
	seen    *seen
	plan    *plan
	real    bool
	signals chan os.Signal
	claimed chan struct{} // has something when work was claimed

	mu      sync.Mutex
	lis     map[string]*listener
	cleanup []func()
	own     bool                           // the service reads Signals itself
	until   map[<-chan struct{}]*time.Time // when the contexts of claims ended, by their Done; guarded by seen
}

// fatal is what Fatal panics with.
type fatal struct{ text string }

// Fatal ends the check, and the test: the service cannot be built. It is for the
// goroutine that builds it.
func (e *Env) Fatal(args ...any) { panic(fatal{fmt.Sprint(args...)}) }

// Must returns ctl, or ends the test if there is an error: for what controller.New returns.
func (e *Env) Must(ctl *controller.Controller, err error) *controller.Controller {
	if err != nil {
		e.Fatal(err)
	}
	return ctl
}

// Cleanup registers a function that is called when the check is over, the last one first.
func (e *Env) Cleanup(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cleanup = append(e.cleanup, f)
}

// TempDir returns a new folder, which is removed when the check is over.
func (e *Env) TempDir() string {
	dir, err := os.MkdirTemp("", "shutdowntest")
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Budget returns the budget that was drawn for this check. A service may have another.
func (e *Env) Budget() lastcall.Budget { return e.plan.budget }

// Signals returns the channel on which the check sends its signals, for a service that
// reads signals itself; [controller.WithSignals] without arguments belongs to that.
// Without a call of Signals the check gives the channel to the controller.
func (e *Env) Signals() <-chan os.Signal {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.own = true
	return e.signals
}

// Listen returns a listener under a name, to which loads refer. It is in memory, or on
// TCP with [RealTime]. A second call with the same name ends the test.
func (e *Env) Listen(name string) net.Listener {
	l := &listener{name: name, seen: e.seen, accepts: make(chan struct{})}
	if e.real {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			e.Fatal(err)
		}
		l.Listener = tcp
		l.dial = func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", tcp.Addr().String())
		}
	} else {
		memory := mempipe.Listen(32 << 10)
		var dialed atomic.Int64
		l.Listener, l.dial = memory, func(ctx context.Context) (net.Conn, error) {
			return memory.DialFrom(ctx, fmt.Sprintf("client %d of %s", dialed.Add(1), name))
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lis[name] != nil {
		e.Fatal("Listen was called twice with the name ", name)
	}
	e.lis[name] = l
	e.cleanup = append(e.cleanup, func() { _ = l.Listener.Close() })
	return l
}

// Dialer returns a function that connects to a listener of this Env, whatever address it
// is given: for the clients that a service has of itself, such as a gateway.
//
//	grpc.NewClient("passthrough:///grpc", grpc.WithContextDialer(e.Dialer("grpc")), ...)
func (e *Env) Dialer(name string) func(ctx context.Context, addr string) (net.Conn, error) {
	return func(ctx context.Context, _ string) (net.Conn, error) {
		if l := e.listener(name); l != nil {
			return l.dial(ctx)
		}
		return nil, fmt.Errorf("shutdowntest: Listen(%q) was never called", name)
	}
}

func (e *Env) listener(name string) *listener {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lis[name]
}

// Watched is a dependency that notes when it is used and when it is closed.
type Watched struct {
	name   string
	closer io.Closer
	seen   *seen

	closed time.Time // when Close was called; the zero time: it was not
	using  []*use    // that have not ended
	under  []*use    // those then
	after  *use      // the first one after that
}

// use is a use of a dependency.
type use struct {
	at    time.Time
	where string // the file and line of the call of Use
}

// Watch returns a Watched in place of a dependency. Give its Close to whatever closes the
// dependency.
//
//	db := e.Watch("db", realDB)
//	controller.WithCloser("db", db.Close)
func (e *Env) Watch(name string, closer io.Closer) *Watched {
	w := &Watched{name: name, closer: closer, seen: e.seen}
	e.seen.do(func() { e.seen.watched = append(e.seen.watched, w) })
	return w
}

// Close notes the instant and closes the dependency.
func (w *Watched) Close() error {
	w.seen.do(func() {
		if w.closed.IsZero() {
			w.closed, w.under = time.Now(), slices.Clone(w.using)
			w.seen.event("%s is closed", w.name)
		}
	})
	if w.closer == nil {
		return nil
	}
	return w.closer.Close()
}

// Use notes that the dependency is used, until the function that it returns is called:
//
//	defer db.Use()()
func (w *Watched) Use() (done func()) {
	_, file, line, _ := runtime.Caller(1)
	u := &use{time.Now(), fmt.Sprintf("%s:%d", filepath.Base(file), line)}
	w.seen.do(func() {
		if w.using = append(w.using, u); w.after == nil && !w.closed.IsZero() {
			w.after = u
			w.seen.event("%s is used in %s, and is closed", w.name, u.where)
		}
	})
	return sync.OnceFunc(func() {
		w.seen.do(func() { w.using = slices.DeleteFunc(w.using, func(o *use) bool { return o == u }) })
	})
}

// Once notes that something is done that must not be done twice, such as a payment, which a
// key names: an ID that the load has made up, or that of a job. A second call with the same
// key in a check breaks the rule "not lost". It does not block, and may be called concurrently.
func (e *Env) Once(key string) {
	e.seen.do(func() {
		first, done := e.seen.once[key]
		switch {
		case !done:
			if e.seen.once == nil {
				e.seen.once = map[string]time.Time{}
			}
			e.seen.once[key] = time.Now()
		case e.seen.twice == "":
			e.seen.twice = fmt.Sprintf("%q was done at %s, and again at %s", key, e.seen.since(first), e.seen.since(time.Now()))
		}
	})
}

// claim is a piece of work that a worker has taken.
type claim struct {
	name         string
	begun, ended time.Time
	late         bool       // its context had ended, or never ends
	until        *time.Time // when it ended; nil: before the first claim, or never
}

// Claim notes that a worker has taken a piece of work, until the function that it returns
// is called. ctx is the context claim of the worker, which announces that it shall claim no
// more; one that never ends stands for the announce of the controller. It stands where a message leaves its
// queue:
//
//	defer e.Claim(claim, "jobs")()
func (e *Env) Claim(ctx context.Context, name string) (done func()) {
	c := &claim{name: name, begun: time.Now(), late: ctx.Err() != nil || ctx.Done() == nil}
	e.seen.do(func() {
		e.seen.claims = append(e.seen.claims, c)
		if _, known := e.until[ctx.Done()]; !known && !c.late {
			end := new(time.Time)
			e.until[ctx.Done()] = end
			context.AfterFunc(ctx, func() { e.seen.do(func() { *end = time.Now() }) })
		}
		c.until = e.until[ctx.Done()]
	})
	select {
	case e.claimed <- struct{}{}:
	default:
	}
	return sync.OnceFunc(func() { e.seen.do(func() { c.ended = time.Now() }) })
}

// flush is a flusher.
type flush struct {
	name  string
	begun time.Time
	err   error
	cut   bool // its context had ended when it returned
}

// Flush returns a function that notes when telemetry is flushed, and calls f, unless that
// is nil.
//
//	controller.WithFlusher("traces", e.Flush("traces", provider.Shutdown))
func (e *Env) Flush(name string, f func(context.Context) error) func(context.Context) error {
	fl := &flush{name: name}
	e.seen.do(func() { e.seen.flushes = append(e.seen.flushes, fl) })
	return func(ctx context.Context) error {
		e.seen.do(func() {
			if fl.begun.IsZero() {
				fl.begun = time.Now()
				e.seen.event("%s is flushed", name)
			}
		})
		if f == nil {
			return nil
		}
		err := f(ctx)
		e.seen.do(func() { fl.err, fl.cut = err, err != nil && ctx.Err() != nil })
		return err
	}
}
