package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

// WithServer registers a server under a name, which logs and reports use. A
// [lastcall.FullServer] knows how it is served; for any other server an option tells: [On],
// [Serving] or [ServedElsewhere]. WithServer calls Check, StopsLast, Accepting, LastArrival and
// Listeners of a FullServer, which must return at once.
func WithServer(name string, server lastcall.Server, opts ...ServerOption) Option {
	s := newServerConfig(name, server, opts)
	return register(func(c *config) { c.servers = append(c.servers, s) })
}

// WithWorker registers a function that claims work and does it: a queue's
// consumer, a scheduler. It is started in phase start. The context claim ends in
// phase announce, or later with [After], with cause [lastcall.ErrClaim]: claim nothing
// new, finish what was claimed, return. The context work ends when the timer fires,
// with cause [lastcall.ErrTimer].
//
// A worker that returns an error, panics or calls runtime.Goexit before it was told to end
// triggers the shutdown, and has failed; one that returns nil has finished. Once claim,
// work or the context given to Run has ended, any error is the worker's end and not a
// failure, unless it is or wraps one that [lastcall.Failed] has marked: a batch that could
// not be written, for example. The report and the log have the error in any case.
func WithWorker(name string, run func(claim, work context.Context) error, opts ...WorkerOption) Option {
	w := workerConfig{memberConfig: memberConfig{name: name}, run: run}
	for _, opt := range opts {
		if opt == nil {
			w.fail("one of its options is nil")
			continue
		}
		opt.applyWorker(&w)
	}
	return register(func(c *config) { c.workers = append(c.workers, w) })
}

// ServerOption configures a server that is given to [WithServer].
type ServerOption interface{ applyServer(*serverConfig) }

type serverOption func(*serverConfig)

func (f serverOption) applyServer(s *serverConfig) { f(s) }

// WorkerOption configures a worker that is given to [WithWorker].
type WorkerOption interface{ applyWorker(*workerConfig) }

type workerOption func(*workerConfig)

func (f workerOption) applyWorker(w *workerConfig) { f(w) }

// EndsProcess marks the worker for which the process exists: if it returns nil before its claim
// has ended, that triggers the shutdown as well, and is not a failure.
func EndsProcess() WorkerOption {
	return workerOption(func(w *workerConfig) { w.endsProcess = true })
}

// Order is an option for servers and for workers: see [After].
type Order interface {
	ServerOption
	WorkerOption
}

// After makes a server or worker end after the named ones, which need it until they have ended.
// GracefulStop of the server is called, or the claim of the worker ends, when all of those have
// ended, or when the timer fires. In this example a gateway calls the gRPC server behind it,
// and a worker writes in batches what the handlers of that server hand it:
//
//	controller.WithServer("gateway", gateway),
//	controller.WithServer("grpc", g, controller.After("gateway")),
//	controller.WithWorker("batcher", batch, controller.After("grpc")),
//
// The names are those of servers and workers given to the same or to an earlier call of New and
// Add, in any order. A server has ended when its GracefulStop and its Serve have returned, a
// worker when it has returned. A server that stops last has no part in this.
func After(names ...string) Order { return after(names) }

type after []string

func (a after) applyServer(s *serverConfig) { a.apply(&s.memberConfig) }
func (a after) applyWorker(w *workerConfig) { a.apply(&w.memberConfig) }

func (a after) apply(m *memberConfig) {
	if len(a) == 0 {
		m.fail("After was given no name")
	}
	m.after = append(m.after, a...)
}

// On makes the controller serve a server on a listener. It is for servers that have a method
// Serve(net.Listener) error, as a *grpc.Server does. The server accepts work once its Serve has
// called Accept. It gets a listener around lis, whose Close does not block, and whose Accept
// returns net.ErrClosed from then on, whatever lis does. If other code calls GracefulStop or
// Stop of the server, that is a trigger, because the server accepts nothing any more.
func On(lis net.Listener) ServerOption {
	return serverOption(func(s *serverConfig) {
		serves, ok := s.server.(interface{ Serve(net.Listener) error })
		switch {
		case foreign.IsNil(lis):
			s.fail("On was given a nil listener")
		case s.full != nil:
			s.fail("On is for servers that do not bring their listener; this one is a lastcall.FullServer")
		case !ok:
			s.fail("On is for servers with a method Serve(net.Listener) error; this one has none")
		default:
			s.listeners = append(s.listeners, lis)
			s.on = newOnListener(lis)
			s.servedBy(func() error {
				defer close(s.on.returned)
				return serves.Serve(s.on)
			}, s.on.Accepting())
		}
	})
}

// Serving names the function that serves a server. The function has the contract of Serve of
// [lastcall.FullServer]. The channel is closed once the server accepts work; nil leaves that to
// Accepting of a FullServer.
func Serving(serve func() error, accepting <-chan struct{}) ServerOption {
	return serverOption(func(s *serverConfig) {
		switch {
		case serve == nil:
			s.fail("Serving was given a nil function")
		case accepting == nil && s.full == nil:
			s.fail("Serving was given a nil channel; it has to be closed once the server accepts work")
		default:
			s.servedBy(serve, accepting)
		}
	})
}

// ServedElsewhere says that another goroutine serves the server, and that it accepts
// work once the channel is closed. The controller waits for its GracefulStop alone.
func ServedElsewhere(ready <-chan struct{}) ServerOption {
	return serverOption(func(s *serverConfig) {
		if ready == nil {
			s.fail("ServedElsewhere was given a nil channel; it has to be closed once the server accepts work")
			return
		}
		s.servedBy(nil, ready)
	})
}

// memberConfig is what servers and workers have in common as they were registered.
type memberConfig struct {
	name     string
	after    []string
	errs     []error
	waitsFor []member // of a run: those with the names in after
}

func (m *memberConfig) registered() *memberConfig { return m }

func (m *memberConfig) fail(format string, args ...any) {
	m.errs = append(m.errs, fmt.Errorf(format, args...))
}

// serverConfig is a server as it was registered.
type serverConfig struct {
	memberConfig
	server    lastcall.Server
	full      lastcall.FullServer // the server, if it is one; otherwise nil
	serve     func() error        // nil: another goroutine serves
	accepting <-chan struct{}
	on        *onListener    // nil: On was not given
	listeners []net.Listener // that it is known to accept from
	last      bool
	asking    *asking
	how       int    // how many options have said how it is served
	noQuiet   string // why Budget.Quiet cannot work with it; "": it can
}

// servedBy takes in how the server is served.
func (s *serverConfig) servedBy(serve func() error, accepting <-chan struct{}) {
	s.how++
	s.serve = serve
	if accepting != nil {
		s.accepting = accepting
	}
}

// newServerConfig asks a server what it can do. It calls methods of the server that
// return at once.
func newServerConfig(name string, server lastcall.Server, opts []ServerOption) serverConfig {
	s := serverConfig{memberConfig: memberConfig{name: name}, server: server}
	if isNil(server) {
		return s
	}
	if full, ok := server.(lastcall.FullServer); ok {
		if s.ask(full); len(s.errs) > 0 {
			return s // the rest would only hide this
		}
	} else {
		s.noQuiet = "it is not a lastcall.FullServer"
		if some := partOfContract(server); len(some) > 0 {
			s.fail("it has %s, but is not a lastcall.FullServer: embed lastcall.Unimplemented for the methods that it lacks", strings.Join(some, ", "))
		}
	}
	for _, opt := range opts {
		if opt == nil {
			s.fail("one of its options is nil")
			continue
		}
		opt.applyServer(&s)
	}
	switch {
	case len(s.errs) > 0:
	case s.how > 1:
		s.fail("only one of On, Serving and ServedElsewhere can say how it is served")
	case s.accepting == nil:
		s.fail("the controller cannot know when it accepts work: give it with controller.On(listener), controller.Serving(serve, accepting), or controller.ServedElsewhere(ready)")
	}
	return s
}

// ask asks a FullServer. A method that panics, as each of a wrapper does that embeds no
// server, is an error like that of Check.
func (s *serverConfig) ask(full lastcall.FullServer) {
	asked := "Check"
	defer func() {
		if v := recover(); v != nil {
			text := "a value without text"
			describe(&text, v)
			s.fail("its %s panicked: %s", asked, text)
		}
	}()
	if err := full.Check(); err != nil {
		s.fail("%w", err) // the text is taken here, once
		return
	}
	s.full, s.serve, s.asking = full, full.Serve, new(asking)
	asked = "StopsLast"
	s.last = full.StopsLast()
	asked = "Accepting"
	s.accepting = full.Accepting()
	asked = "LastArrival"
	if full.LastArrival().IsZero() {
		s.noQuiet = "its LastArrival returned the zero time"
	}
	asked = "Listeners"
	s.listeners = full.Listeners()
}

// partOfContract returns the methods of the full contract that a server has. Without
// the others none of them would be called.
func partOfContract(s lastcall.Server) (some []string) {
	for _, method := range []struct {
		name string
		is   bool
	}{
		{"Serve", has[interface{ Serve() error }](s)},
		{"Accepting", has[interface{ Accepting() <-chan struct{} }](s)},
		{"Check", has[interface{ Check() error }](s)},
		{"Attach", has[interface{ Attach(lastcall.Host) }](s)},
		{"Announce", has[interface{ Announce(context.Context) error }](s)},
		{"Cancel", has[interface{ Cancel(context.Context, error) }](s)},
		{"Cut", has[interface{ Cut() int }](s)},
		{"InFlight", has[interface{ InFlight() []lastcall.Work }](s)},
		{"Notes", has[interface{ Notes() []string }](s)},
		{"IdlePeers", has[interface{ IdlePeers() ([]string, bool) }](s)},
		{"LastArrival", has[interface{ LastArrival() time.Time }](s)},
		{"StopsLast", has[interface{ StopsLast() bool }](s)},
		{"Listeners", has[interface{ Listeners() []net.Listener }](s)},
	} {
		if method.is {
			some = append(some, method.name)
		}
	}
	return some
}

// has reports whether a server has the method of an interface.
func has[T any](s lastcall.Server) bool {
	_, ok := s.(T)
	return ok
}

type workerConfig struct {
	memberConfig
	run         func(claim, work context.Context) error
	endsProcess bool
}

var errElsewhere = errors.New("the server has closed its listener: other code called GracefulStop or Stop of it")

// onListener is the listener of [On], as the server gets it. It tells when GracefulStop or Stop
// is called by other code: that closes it first, and Serve of a gRPC server returns when all
// RPCs have ended. Until then the process would be ready, and would accept no connection.
type onListener struct {
	*connset.Listener
	returned chan struct{} // closed when Serve has returned
}

func newOnListener(lis net.Listener) *onListener {
	return &onListener{
		returned: make(chan struct{}),
		Listener: connset.NewListener(lis, "controller", new(foreign.Calls), connset.Hooks{}),
	}
}

// closedByServer blocks until the server has closed the listener, and has not returned from
// Serve a moment later, which would be a trigger; or until over is closed. It reports whether
// it was the first.
func (l *onListener) closedByServer(over <-chan struct{}) bool {
	select {
	case <-l.Closing():
	case <-over:
		return false
	}
	limit := time.NewTimer(grace)
	defer limit.Stop()
	select {
	case <-limit.C:
		return !l.Failed() // for which the server closes it as well
	case <-l.returned:
	case <-over:
	}
	return false
}
