package httpadapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/httpconn"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

// Server is an http.Server that a controller serves and stops; see [New]. It belongs to
// one controller, which calls its methods. All of them may be called concurrently. Those of
// the zero value do nothing; Check and Serve report an error.
type Server struct {
	lastcall.Unimplemented
	settings
	user    *http.Server
	handler *handler                         // around the user's; not changed while it serves
	mux     *http.ServeMux                   // its patterns name the requests; nil: there is none, or WithPattern names them; not changed while it serves
	marks   atomic.Pointer[map[string]*mark] // by their names; replaced with mu held
	conns   *httpconn.Conns
	tracker *inflight.Tracker[*request]
	calls   foreign.Calls
	drains  atomic.Bool   // endEndless was called
	mute    atomic.Bool   // the function that finds patterns hangs
	severed atomic.Int64  // requests that Close of the http.Server has cut off
	stopped chan struct{} // closed when GracefulStop has returned

	served, drained atomic.Bool  // Serve and GracefulStop were called
	others          atomic.Bool  // the http.Server is another adapter's
	lateness        atomic.Int64 // from the last request's end to that of GracefulStop, in nanoseconds

	mu     sync.Mutex              // guards what is below; never held while user code is called
	cancel context.CancelCauseFunc // ends the contexts of all requests; nil before Serve
	cause  error                   // with which they were ended; nil before
}

// New returns a Server that serves srv on the listener and closes it. It starts nothing, and
// wraps the Handler of srv. A nil listener or server, a wrong option, and a TLSConfig that
// leaves open whether TLS is served (see [WithTLS]) are errors from controller.New.
func New(lis net.Listener, srv *http.Server, opts ...Option) *Server {
	s := &Server{
		settings: settings{inner: lis, handshakeTime: time.Second, infra: InfrastructurePaths()},
		user:     srv,
		stopped:  make(chan struct{}),
	}
	if foreign.IsNil(lis) {
		lis = nil // and no nil pointer
	}
	s.require(lis != nil, "the listener is nil")
	s.require(srv != nil, "the http.Server is nil")
	if srv != nil {
		s.require(srv.Handler == nil || !foreign.IsNil(srv.Handler), "the http.Server's Handler holds a nil value")
		if err := s.enter(); err != nil {
			s.errs = append(s.errs, err)
		}
	}
	for i, opt := range opts {
		if s.require(opt != nil, "option %d is nil", i+1); opt != nil {
			opt(&s.settings)
		}
	}
	s.marks.Store(&map[string]*mark{})
	s.tracker = inflight.New((*request).label)
	s.conns = httpconn.New(lis, httpconn.Options{
		Owner: "httpadapter", Calls: &s.calls, HandshakeTime: s.handshakeTime, LeaveHijacked: s.leaveHijacked,
		Changed: s.tracker.Poke, Elsewhere: func() { s.tracker.Enter(inflight.Announced) }, Linger: func() time.Duration { return s.tracker.Within(connset.MaxLinger) },
	})
	return s
}

// made returns the Server, or for the zero value and for nil one that has drained and has
// nothing to serve.
func (s *Server) made() *Server {
	if s != nil && s.tracker != nil {
		return s
	}
	s = New(nil, nil)
	s.errs = []error{errors.New("httpadapter: this Server was not made by New")}
	s.GracefulStop()
	return s
}

// Check returns an error if the arguments of New were wrong, or if a controller has served the
// Server already. It reads the files of WithTLS.
func (s *Server) Check() error {
	if s = s.made(); s.tracker.Host() != nil {
		return errOneController
	}
	return s.check(s.user)
}

var errOneController = errors.New("httpadapter: Serve was called before: a Server belongs to one controller")

// Attach hands over the controller, which calls it before Serve.
func (s *Server) Attach(h lastcall.Host) { s.made().tracker.Attach(h) }

// Accepting returns a channel that is closed once net/http has called Accept.
func (s *Server) Accepting() <-chan struct{} { return s.made().conns.Accepting() }

// Listeners returns the listener that New was given.
func (s *Server) Listeners() []net.Listener { return s.made().conns.Listeners() }

// Addr returns the address of the listener.
func (s *Server) Addr() net.Addr { return s.made().conns.Addr() }

// Serve serves until GracefulStop, Stop or Shutdown of the http.Server is called, and then
// returns nil within 10 ms, even if GracefulStop or Stop was called first. A second call is an
// error. So are an http.Server that was shut down before, which serves nothing, and a listener
// that other code has closed. The controller calls it.
func (s *Server) Serve() error {
	if s = s.made(); s.served.Swap(true) {
		return errOneController
	}
	defer func() { _ = s.conns.Close() }() // always nil
	if err := s.check(s.user); err != nil {
		return err
	}
	if err := s.hook(); err != nil {
		return err
	}
	err := errors.New("httpadapter: Serve of net/http ended its goroutine")
	returned := s.calls.Run(callServe, func() {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("httpadapter: Serve of net/http panicked: %v", v)
			}
		}()
		if lis := s.conns.Listener(s.tls); s.tls {
			err = s.user.ServeTLS(lis, s.certFile, s.keyFile)
		} else {
			err = s.user.Serve(lis)
		}
	})
	foreign.Until(returned, s.conns.Closing(), moment)
	if !s.asked() { // net/http has closed the listener, and is about to return
		foreign.Until(returned, s.tracker.Sealed(), moment)
	}
	switch {
	case !foreign.IsClosed(returned): // it is in a hook of the user, or asleep after an error of Accept
		return nil
	case errors.Is(err, http.ErrServerClosed) && !s.asked() && !foreign.IsClosed(s.conns.Accepting()):
		return errors.New("httpadapter: the http.Server was shut down before it served: make a new one")
	case errors.Is(err, http.ErrServerClosed), errors.Is(err, net.ErrClosed) && s.asked():
		return nil
	default:
		return err
	}
}

// asked reports whether the listener is closed because GracefulStop or Stop was called.
func (s *Server) asked() bool { return s.tracker.Stage() >= inflight.Draining }

// enter puts our handler around that of the user, and so marks the http.Server as ours.
func (s *Server) enter() error {
	h, entered := s.user.Handler.(*handler)
	switch {
	case !entered:
		s.handler = &handler{server: s, next: s.user.Handler}
		s.user.Handler = s.handler
	case h != s.handler:
		return errors.New("httpadapter: the http.Server has another adapter: make one http.Server for each listener; their Handler may be the same")
	}
	return nil
}

// hook puts our hooks around those of the user.
func (s *Server) hook() error {
	if err := s.enter(); err != nil { // the Handler may have been set since New
		s.others.Store(true)
		return err
	}
	next := s.handler.next
	if next == nil {
		next = http.DefaultServeMux
	}
	if mux, ok := next.(*http.ServeMux); ok {
		if s.route == nil {
			s.mux = mux
		}
		if err := s.checkEndless(mux); err != nil {
			return err
		}
	}
	s.conns.Hook(s.user)
	baseContext := s.user.BaseContext
	s.user.BaseContext = func(net.Listener) context.Context {
		base := context.Background()
		if baseContext != nil {
			if base = baseContext(s.inner); base == nil {
				return nil // net/http says what is wrong
			}
		}
		ctx, cancel := context.WithCancelCause(lastcall.NewContext(base, s.tracker.Life()))
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.cancel = cancel; s.cause != nil {
			cancel(s.cause)
		}
		return ctx
	}
	return nil
}

// end ends the contexts of all requests. Of several causes the first counts.
func (s *Server) end(cause error) {
	s.mu.Lock()
	s.cause = cmp.Or(s.cause, cause)
	cancel := s.cancel
	s.mu.Unlock()
	if cancel != nil {
		cancel(cause)
	}
}
