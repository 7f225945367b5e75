// Package admin has what the people and machines around a process ask it over HTTP
// while it lives and while it dies: probes for readiness and liveness, a handler
// that triggers the shutdown, and a server for them that stops last.
//
//	controller.New(budget,
//		controller.WithServer("grpc", g),
//		controller.WithServer("admin", admin.New(lis, admin.Handle("GET /metrics", metrics))))
//
// Nothing here listens by itself: the user gives the listener, or mounts the handlers
// on another server.
package admin

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

// headerTime is how long a client may take for its request's headers.
const headerTime = 5 * time.Second

// The paths of the probes.
const (
	readyPath = "/readyz"
	livePath  = "/livez"
)

// Server is an HTTP server with probes and what the user mounts. It is a
// lastcall.FullServer that stops last: it is there until the flushers have run. The
// controller in which it is registered is the one that its probes tell of and that its
// trigger shuts down. All methods may be called by any number of goroutines.
type Server struct {
	*inner
	host  host
	mux   *http.ServeMux
	infra []httpadapter.Option
	errs  []error
}

// inner keeps the http.Server's adapter out of the fields that others see.
type inner = httpadapter.Server

// Option says more about a [Server].
type Option func(*Server)

// New returns a server that serves on the listener, and closes it:
//
//	GET /readyz   see [Readiness]
//	GET /livez    see [Liveness]
//
// and what [Handle], [WithTrigger] and [WithInFlight] add. It starts nothing. What is wrong with the
// arguments is an error from controller.New.
func New(lis net.Listener, opts ...Option) *Server {
	s := &Server{mux: http.NewServeMux()}
	if foreign.IsNil(lis) {
		s.errs = append(s.errs, errors.New("admin: the listener is nil"))
	}
	s.mux.Handle(readyPath, Readiness(&s.host))
	s.mux.Handle(livePath, Liveness(&s.host))
	for i, opt := range opts {
		if opt == nil {
			s.errs = append(s.errs, fmt.Errorf("admin: option %d is nil", i+1))
			continue
		}
		opt(s)
	}
	s.inner = httpadapter.New(lis, &http.Server{Handler: s.mux, ReadHeaderTimeout: headerTime}, s.infra...)
	return s
}

// Handle mounts a handler, as http.ServeMux does.
func Handle(pattern string, handler http.Handler) Option {
	return func(s *Server) { s.mount(pattern, handler) }
}

// WithTrigger mounts a handler that triggers the shutdown; see [Trigger].
func WithTrigger(pattern string, rules ...Rule) Option {
	return func(s *Server) {
		handler, err := Trigger(&s.host, rules...)
		if err != nil {
			s.errs = append(s.errs, err)
			return
		}
		s.mount(pattern, handler)
		s.checkMethods(pattern, handler.(*trigger).methods) //nolint:forcetypeassert // it is what Trigger makes
	}
}

// checkMethods refuses a pattern whose method is none of those that trigger: every request
// would be answered 405.
func (s *Server) checkMethods(pattern string, methods []string) {
	end := strings.IndexAny(pattern, " \t")
	if end < 0 {
		return
	}
	method := pattern[:end]
	if slices.Contains(methods, method) || method == http.MethodGet && slices.Contains(methods, http.MethodHead) {
		return
	}
	s.errs = append(s.errs, fmt.Errorf("admin: pattern %q lets no request through whose method the trigger takes: %s; see Methods", pattern, strings.Join(methods, ", ")))
}

// mount turns the panics of ServeMux into errors, and refuses what would hide a probe:
// a pattern with its path, for some methods or hosts only, goes before the probe's.
func (s *Server) mount(pattern string, handler http.Handler) {
	defer func() {
		if v := recover(); v != nil {
			s.errs = append(s.errs, fmt.Errorf("admin: pattern %q: %v", pattern, v))
		}
	}()
	if foreign.IsNil(handler) {
		s.errs = append(s.errs, fmt.Errorf("admin: pattern %q: the handler is nil", pattern))
		return
	}
	if path := pathOf(pattern); path == readyPath || path == livePath {
		s.errs = append(s.errs, fmt.Errorf("admin: pattern %q would hide the probe at %s", pattern, path))
		return
	}
	s.mux.Handle(pattern, handler)
	before, _, _ := strings.Cut(pattern, "/")
	host := before[strings.LastIndexAny(before, " \t")+1:]
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		for _, probe := range []string{readyPath, livePath} { // a pattern with a host goes before all without
			r := &http.Request{Method: method, Host: host, URL: &url.URL{Path: probe}}
			if _, found := s.mux.Handler(r); found != probe {
				s.errs = append(s.errs, fmt.Errorf("admin: pattern %q would hide the probe at %s", pattern, probe))
			}
		}
	}
}

// pathOf returns the path of a pattern "[METHOD ][HOST]/[PATH]".
func pathOf(pattern string) string {
	i := strings.IndexByte(pattern, '/')
	if i < 0 {
		return ""
	}
	path, err := url.PathUnescape(pattern[i:])
	if err != nil {
		return pattern[i:]
	}
	return path
}

// Check returns what is wrong with what New was given, or nil.
func (s *Server) Check() error {
	if s == nil || s.inner == nil {
		return errors.New("admin: this Server was not made by New")
	}
	if len(s.errs) > 0 {
		return errors.Join(s.errs...)
	}
	return s.inner.Check()
}

// StopsLast returns true: probes and metrics are wanted while the rest shuts down.
func (s *Server) StopsLast() bool { return true }

// Attach is called by the controller before Serve.
func (s *Server) Attach(h lastcall.Host) {
	if s == nil || s.inner == nil {
		return
	}
	s.host.CompareAndSwap(nil, &h) // it belongs to the first
	s.inner.Attach(h)
}

var _ lastcall.FullServer = (*Server)(nil)

// host is the controller once it is known. Before that nothing is ready.
type host struct{ atomic.Pointer[lastcall.Host] }

// ProbesReady returns what probes are to hear.
func (h *host) ProbesReady() bool {
	c := h.Load()
	return c != nil && (*c).ProbesReady()
}

// Phase returns what the controller is doing.
func (h *host) Phase() lastcall.Phase {
	if c := h.Load(); c != nil {
		return (*c).Phase()
	}
	return lastcall.PhaseStart
}

// Deadline returns the controller's.
func (h *host) Deadline() (time.Time, bool) {
	if c := h.Load(); c != nil {
		return (*c).Deadline()
	}
	return time.Time{}, false
}

// Shutdown triggers the shutdown.
func (h *host) Shutdown(cause error) {
	if c := h.Load(); c != nil { // it serves, so it is attached
		(*c).Shutdown(cause)
	}
}
