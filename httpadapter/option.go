package httpadapter

import (
	"github.com/lastcall-go/lastcall"
	"net/http"
	"strings"
	"time"
)

// Option says more about a [Server].
type Option func(*Server)

// WithTLS makes the Server serve TLS with the certificate and key in two files, as
// http.Server.ServeTLS does. They are read by Serve.
func WithTLS(certFile, keyFile string) Option {
	return func(s *Server) {
		if certFile == "" || keyFile == "" {
			s.fail("WithTLS was given the files %q and %q; it needs both names", certFile, keyFile)
			return
		}
		s.certFile, s.keyFile = certFile, keyFile
	}
}

// WithHandshakeTime sets how long a connection on which no request has come yet may
// still take for it, counted from GracefulStop; then it is closed. One that had as
// much time before, and has said nothing, is closed at once. The default is one
// second, as much as GracefulStop may last for a peer that says nothing; d must be
// positive. Under a controller at most half of the time to the timer is used.
func WithHandshakeTime(d time.Duration) Option {
	return func(s *Server) {
		if d <= 0 {
			s.fail("WithHandshakeTime was given %v; it must be positive", d)
			return
		}
		s.handshakeTime = d
	}
}

// WithHijackedLeft leaves connections that a handler has taken over (WebSockets) to
// those who did: GracefulStop does not wait for them, nor for their handlers, and Cut
// does not close them. Nor does Cancel mark these requests as cancelled, or wake their
// reads and writes; but the contexts of all requests end with it, theirs too. Without
// the option GracefulStop waits until the connections are closed and their handlers have
// returned, and Cut closes them.
func WithHijackedLeft() Option { return func(s *Server) { s.leaveHijacked = true } }

// WithPattern says under which name a request is counted: the pattern of its route,
// or "" for none. It is for routers that are no http.ServeMux, and for a ServeMux
// behind middleware:
//
//	httpadapter.WithPattern(func(r *http.Request) string { _, p := mux.Handler(r); return p })
//
// The request has method, host and path, and nothing else. Without the option the
// pattern is what the Handler says if it is a *http.ServeMux; otherwise it is
// http.Request.Pattern of the requests that have ended, if nobody has copied them,
// and "(no pattern)". The function is called once the shutdown has begun, and by
// InFlight at any time, on goroutines of their own, also several at a time. It must
// return at once: an end of a request waits for it.
func WithPattern(pattern func(*http.Request) string) Option {
	return func(s *Server) {
		if pattern == nil {
			s.fail("WithPattern was given a nil function")
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.route = pattern
	}
}

// WithInfrastructurePaths adds to [InfrastructurePaths]. A path begins with a slash;
// one that ends with a slash stands for everything below it.
func WithInfrastructurePaths(paths ...string) Option {
	return func(s *Server) {
		if len(paths) == 0 {
			s.fail("WithInfrastructurePaths was given no path")
		}
		for _, path := range paths {
			if !strings.HasPrefix(path, "/") || path == "/" {
				s.fail("WithInfrastructurePaths was given %q; a path begins with a slash, and has more than that", path)
				continue
			}
			s.infra[path] = true
		}
	}
}

// InfrastructurePaths returns the paths whose requests are not what a service is for:
// probes and metrics. They are counted as lastcall.WorkInfra and are no arrivals
// for lastcall.Budget.Quiet, and so are requests of kubelet's probes to any path.
func InfrastructurePaths() []string {
	return []string{"/health", "/healthz", "/livez", "/readyz", "/metrics", "/debug/pprof/"}
}

// isInfra says whether requests of a path are infrastructure.
func (s *settings) isInfra(path string) bool {
	if s.infra[path] {
		return true
	}
	for i := strings.LastIndexByte(path, '/'); i > 0; i = strings.LastIndexByte(path[:i], '/') {
		if s.infra[path[:i+1]] {
			return true
		}
	}
	return false
}
