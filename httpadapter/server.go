// Package httpadapter makes an http.Server what package controller wants: a server
// that is drained without polling, tells its handlers of the drain, knows the
// requests in flight, and answers those that the timer interrupts.
//
//	h := httpadapter.New(lis, &http.Server{Handler: mux})
//	ctl, err := controller.New(budget, controller.WithServer("http", h))
//
// HTTP/1.1, HTTP/2 over TLS and HTTP/2 without TLS (h2c, by http.Server.Protocols)
// are drained alike:
//
//   - From the announcement on HTTP/1.1 answers carry "Connection: close": requests
//     are served through settle, and clients leave their kept-alive connections.
//   - With the drain new connections are refused: the listener is closed.
//   - HTTP/1.1 answers whose header is not out yet carry it as well, and idle
//     connections are closed. Connections of HTTP/2 are sent a GOAWAY.
//   - A request that has come is served, also if it came in that instant: what a
//     kept-alive connection without TLS has received when it would be closed, and
//     what a connection that is new sends within the time of [WithHandshakeTime]. A
//     new connection of HTTP/2 is sent its GOAWAY when it begins to speak: requests
//     that come together with its preface are served, and later ones may be sent again.
//   - GracefulStop returns when the last handler has returned, the last answer is
//     written, and every connection is closed. Nothing is polled. On Linux an answer
//     on a *net.TCPConn, or on TLS of the Server's over one, is written when the peer's
//     side has acknowledged all of it, so that a slow reader gets the rest although the
//     process is going to end; elsewhere, and on other connections, when the
//     connection has taken it. http.Server.WriteTimeout, if it is set, bounds that anew.
//   - A peer of HTTP/2 then has a second to close its connection, and so has one whose
//     upload was answered before it was read (over TCP). Each time it says something
//     it has another one, for 5 s, or half of the time to the timer, at most.
//
// A request is not served if it was sent on a kept-alive connection and had not arrived,
// or (over TLS) was not read, when that was closed; if its header was not complete
// within the time of WithHandshakeTime; or if it comes after a GOAWAY. In each case its
// handler has not been called, so that it may be sent again; a client that cannot do
// that should be given time to notice that the server leaves (lastcall.Budget.Settle).
//
// # What is taken from the http.Server
//
// Serve takes a copy of the exported fields when the controller calls it, and serves
// with the copy: until then they may be set, later changes have no effect, and
// nothing in them is changed. Handler, ConnState, BaseContext and ConnContext are
// called as without the adapter; BaseContext gets the listener that New was given,
// and ConnState and ConnContext the connections that it accepted (or the *tls.Conn
// around them). http.ServerContextKey gives the copy. Hijack gives handlers a connection
// around that which the listener accepted (or a *tls.Conn around that); its NetConn
// returns the one inside.
//
// What is not a field stays with the original. Its Shutdown is called when the drain
// begins, for what RegisterOnShutdown and http2.ConfigureServer have registered with
// it; if somebody else calls that while it is served, Serve returns, which is a trigger.
// A Shutdown before Serve has no effect here. Its Close and SetKeepAlivesEnabled do
// nothing here. One http.Server may be given to several adapters, whose drains then
// begin together: the first that calls Shutdown closes the listeners of all. So none of
// them may be controller.Last, or Behind something, unless all are.
//
// HTTP/2 without TLS is best had from http.Server.Protocols. With h2c.NewHandler of
// golang.org/x/net call http2.ConfigureServer(srv, h2s) as well, with the http2.Server
// that the handler has: otherwise its connections hear nothing of the drain, and hold it
// until the timer fires. They are counted as connections that were taken over, not by
// their requests.
//
// TLS is served if WithTLS names the files, or if the TLSConfig has Certificates,
// GetCertificate or GetConfigForClient. A listener of tls.Listen works as well, but
// what is written there before the connection is closed is not waited for until the
// peer has it, and a hijacked connection is not seen.
//
// # A server that somebody else serves
//
// There is no Use as in package grpcadapter: nobody can see from outside which
// requests an http.Server has, or be told when the last one ends. Frameworks are
// handlers (echo, gin, chi): put them into an http.Server and give it to New. An
// http.Server that has to be served by somebody else goes into the controller with
// two lines of one's own, and is drained by its Shutdown, which polls:
//
//	func (s plain) GracefulStop() { _ = s.Shutdown(context.Background()) }
//	func (s plain) Stop()         { _ = s.Close() }
package httpadapter

import (
	"context"
	"errors"
	"fmt"
	"github.com/lastcall-go/lastcall"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/listener"
)

// Server is an http.Server as package controller wants it: a lastcall.Server,
// Acceptor, Attacher, Announcer, Canceler, Cutter, Checker, Inspector, Noter and
// Arrivals, whose methods the controller calls. Make one with [New]. It belongs to one
// controller: in a second one, its Serve fails. All methods may be called by any number
// of goroutines. The zero value does nothing; its Check and Serve say so.
type Server struct {
	settings
	inner    net.Listener // as New was given it
	listener *listener.Listener
	user     *http.Server
	tracker  *tracker
	conns    connections
	foreign  foreign.Calls
	life     atomic.Pointer[lastcall.Life]
	sparing  atomic.Bool   // idle connections are being closed
	spared   chan struct{} // closed when they have been
	draining atomic.Bool   // they have been: HTTP/1.1 answers close theirs, and HTTP/2 connections send GOAWAY
	told     atomic.Bool   // HTTP/2 has been told to send its GOAWAYs
	changed  chan struct{}
	stopped  chan struct{} // closed when GracefulStop has returned
	stopping chan struct{} // closed by Stop
	halt     sync.Once

	mu      sync.Mutex // guards what is below; never held while foreign code is called
	front   *http.Server
	back    *http.Server
	route   func(*http.Request) string // WithPattern's, or the Handler's if it is a ServeMux
	cancel  context.CancelCauseFunc    // ends the contexts of all requests; nil before Serve
	cause   error                      // with which they were ended; nil before
	served  bool
	drained bool // GracefulStop was called
	silent  int  // how many connections were closed before a request had come
	cut     int  // how many Cut has closed
	errs    []error

	lateness time.Duration // from the last request's end to that of GracefulStop
}

// settings are what options set; not changed afterwards.
type settings struct {
	handshakeTime     time.Duration
	certFile, keyFile string
	infra             map[string]bool
	leaveHijacked     bool
}

// New returns a Server that serves what srv says on the listener, and closes it. It
// starts nothing. A nil listener or server, and what is wrong with the options, is an
// error from controller.New.
func New(lis net.Listener, srv *http.Server, opts ...Option) *Server {
	s := &Server{
		settings: settings{handshakeTime: time.Second, infra: map[string]bool{}},
		user:     srv,
		changed:  make(chan struct{}, 1),
		spared:   make(chan struct{}),
		stopped:  make(chan struct{}),
		stopping: make(chan struct{}),
	}
	for _, path := range InfrastructurePaths() {
		s.infra[path] = true
	}
	s.tracker = newTracker(s)
	s.conns.server = s
	if foreign.IsNil(lis) {
		s.fail("the listener is nil")
	} else {
		s.inner = lis
	}
	if srv == nil {
		s.fail("the http.Server is nil")
	}
	s.listener = listener.New(s.inner, "httpadapter", &s.foreign, listener.Hooks{Late: s.conns.refuse})
	for i, opt := range opts {
		if opt == nil {
			s.fail("option %d is nil", i+1)
			continue
		}
		opt(s)
	}
	return s
}

// fail notes an error for Check.
func (s *Server) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, fmt.Errorf("httpadapter: "+format, args...))
}

// errNotMade is what a Server says that was not made by New. Its other methods do
// nothing.
var errNotMade = errors.New("httpadapter: this Server was not made by New")

// isZero says whether the Server was not made by New.
func (s *Server) isZero() bool { return s == nil || s.tracker == nil }

// Check returns what is wrong with the arguments of New, or nil.
func (s *Server) Check() error {
	if s.isZero() {
		return errNotMade
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

// Attach is called by the controller before Serve.
func (s *Server) Attach(l lastcall.Life) {
	if !s.isZero() {
		s.life.Store(&l)
	}
}

// Addr returns the address of the listener.
func (s *Server) Addr() net.Addr {
	if s.isZero() {
		return (*listener.Listener)(nil).Addr()
	}
	return s.listener.Addr()
}

// Serve serves until GracefulStop or Stop is called, and returns nil then, also if
// they were called first or if somebody called Shutdown of the http.Server. It is
// called by the controller, once: a second call is an error.
func (s *Server) Serve() error {
	if s.isZero() {
		return errNotMade
	}
	if err := s.begin(); err != nil {
		if !errors.Is(err, errServed) {
			_ = s.listener.Close() // the error says why nothing is served
		}
		return err
	}
	err := s.serve()
	_ = s.listener.Close() // net/http, too, drops this error: nothing depends on it any more
	return err
}

var errServed = errors.New("httpadapter: Serve was called before: a Server belongs to one controller")

// begin says whether the server can be served now.
func (s *Server) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.served {
		return errServed
	}
	s.served = true
	return errors.Join(s.errs...)
}

// serve makes the server that serves, and runs it until the listener is closed. The
// loop of net/http calls hooks of the user's, and may be asleep after an error of
// Accept, so that nobody waits longer for it than a moment.
func (s *Server) serve() error {
	back, err := newBack(s.user, s.secure())
	if err != nil {
		return err
	}
	front := s.newFront(back)
	s.mu.Lock()
	s.front, s.back = front, back
	s.mu.Unlock()
	s.user.RegisterOnShutdown(func() { _ = s.listener.Close() })
	result := make(chan error, 1)
	s.foreign.Run(callServe, func() {
		err := errors.New("httpadapter: Serve of net/http ended its goroutine")
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("httpadapter: Serve of net/http panicked: %v", v)
			}
			result <- err
		}()
		err = s.run(front)
	})
	select {
	case err = <-result:
	case <-s.listener.Closing():
		pause := time.NewTimer(moment)
		defer pause.Stop()
		select {
		case err = <-result:
		case <-pause.C:
		}
	}
	if s.listener.Closed() && (errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed)) {
		return nil
	}
	return err
}

// run is the loop of net/http.
func (s *Server) run(front *http.Server) error {
	lis := &accepting{Listener: s.listener, server: s}
	if s.secure() {
		return front.ServeTLS(lis, s.certFile, s.keyFile)
	}
	return front.Serve(lis)
}

// secure says whether TLS is served by us.
func (s *Server) secure() bool {
	if s.certFile != "" {
		return true
	}
	config := s.user.TLSConfig
	if config == nil || fmt.Sprintf("%T", s.inner) == "*tls.listener" {
		return false
	}
	return len(config.Certificates) > 0 || config.GetCertificate != nil || config.GetConfigForClient != nil
}

// servers returns the two servers, nil before Serve.
func (s *Server) servers() (front, back *http.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.front, s.back
}

// writeTimeout is that of the http.Server.
func (s *Server) writeTimeout() time.Duration {
	if front, _ := s.servers(); front != nil {
		return front.WriteTimeout
	}
	return 0
}

// poke says that something has changed for which GracefulStop waits.
func (s *Server) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// timerAt returns when the timer fires.
func (s *Server) timerAt() (time.Time, bool) {
	if l := s.life.Load(); l != nil {
		return l.TimerAt()
	}
	return time.Time{}, false
}
