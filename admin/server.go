// Package admin has what the people and machines around a process ask it over HTTP
// while it lives and while it dies: probes for readiness and liveness, a handler
// that triggers the shutdown, and a server for them that stops last.
//
//	adm := admin.New(lis, ctl, admin.Handle("GET /metrics", metrics))
//	err := ctl.Add(controller.WithServer("admin", adm, controller.Last()))
//
// Nothing here listens by itself: the user gives the listener, or mounts the
// handlers on a server of his own.
package admin

import (
	"errors"
	"fmt"
	"github.com/lastcall-go/lastcall"
	"net"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/httpadapter"
)

// headerTime is how long a client may take for its request's headers.
const headerTime = 5 * time.Second

// Server is an HTTP server with probes and what the user mounts. It is a
// lastcall.Server whose methods the controller calls; register it with
// controller.Last. All methods may be called by any number of goroutines.
type Server struct {
	inner *httpadapter.Server
	mux   *http.ServeMux
	errs  []error
}

// Option says more about a [Server].
type Option func(*Server, Controller)

// New returns a server that serves on the listener, and closes it:
//
//	GET /readyz   see [Readiness]
//	GET /livez    see [Liveness]
//
// and what [Handle] and [WithTrigger] add. It starts nothing. What is wrong with the
// arguments is an error from the controller's Add.
func New(lis net.Listener, ctl Controller, opts ...Option) *Server {
	s := &Server{mux: http.NewServeMux()}
	if isNil(ctl) {
		s.errs = append(s.errs, errors.New("admin: the controller is nil"))
	} else {
		s.mount("/readyz", Readiness(ctl))
		s.mount("/livez", Liveness(ctl))
		for i, opt := range opts {
			if opt == nil {
				s.errs = append(s.errs, fmt.Errorf("admin: option %d is nil", i+1))
				continue
			}
			opt(s, ctl)
		}
	}
	s.inner = httpadapter.New(lis, &http.Server{Handler: s.mux, ReadHeaderTimeout: headerTime})
	return s
}

// Handle mounts a handler, as http.ServeMux does.
func Handle(pattern string, handler http.Handler) Option {
	return func(s *Server, _ Controller) { s.mount(pattern, handler) }
}

// WithTrigger mounts a handler that triggers the shutdown; see [Trigger].
func WithTrigger(pattern string, rules ...Rule) Option {
	return func(s *Server, ctl Controller) {
		handler, err := Trigger(ctl, rules...)
		if err != nil {
			s.errs = append(s.errs, err)
			return
		}
		s.mount(pattern, handler)
	}
}

// mount turns the panics of ServeMux into errors.
func (s *Server) mount(pattern string, handler http.Handler) {
	defer func() {
		if v := recover(); v != nil {
			s.errs = append(s.errs, fmt.Errorf("admin: pattern %q: %v", pattern, v))
		}
	}()
	s.mux.Handle(pattern, handler)
}

// Check returns what is wrong with what New was given, or nil.
func (s *Server) Check() error {
	if s == nil || s.inner == nil {
		return errors.New("admin: this Server was not made by New")
	}
	return errors.Join(append(s.errs, s.inner.Check())...)
}

// Attach is called by the controller before Serve.
func (s *Server) Attach(l lastcall.Life) { s.inner.Attach(l) }

// Serve serves until GracefulStop or Stop is called, and returns nil then. It is
// called by the controller.
func (s *Server) Serve() error { return s.inner.Serve() }

// GracefulStop closes the listener and blocks until the requests in flight have been
// answered. It is called by the controller.
func (s *Server) GracefulStop() { s.inner.GracefulStop() }

// Stop closes the connections. It is called by the controller.
func (s *Server) Stop() { s.inner.Stop() }

// InFlight returns what is left of the requests. It is called by the controller when
// the server has ended.
func (s *Server) InFlight() []lastcall.Work { return s.inner.InFlight() }

// Notes returns what the end of the server tells an operator. It is called by the
// controller.
func (s *Server) Notes() []string { return s.inner.Notes() }
