package httpadapter

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// Option configures a [Server].
type Option func(*settings)

// settings are what options set; not changed afterwards.
type settings struct {
	inner             net.Listener // as New was given it
	tls, plain        bool         // WithTLS was given; WithoutTLS was
	certFile, keyFile string
	handshakeTime     time.Duration
	infra             []string
	leaveHijacked     bool
	leaveAnswers      bool
	endlessPaths      *http.ServeMux             // nil: no request is known to be endless
	endlessPatterns   []string                   // that it has
	route             func(*http.Request) string // WithPattern's
	errs              []error
}

// require notes an error for Check, unless something is so.
func (s *settings) require(so bool, format string, args ...any) {
	if !so {
		s.errs = append(s.errs, fmt.Errorf("httpadapter: "+format, args...))
	}
}

// WithTLS makes the Server serve TLS as http.Server.ServeTLS does: with the certificate and key
// in two files or, if both names are empty, with those in the TLSConfig of the http.Server. A
// file that cannot be read is an error from controller.New; Serve reads it again.
//
// Without this option connections are served as the listener returns them. An http.Server whose
// TLSConfig has certificates needs this option or [WithoutTLS].
func WithTLS(certFile, keyFile string) Option {
	return func(s *settings) { s.tls, s.certFile, s.keyFile = true, certFile, keyFile }
}

// WithoutTLS makes the Server serve connections as the listener returns them, as
// http.Server.Serve does, although the TLSConfig has certificates. Use it with a listener of
// tls.NewListener, or one around such a listener, or if clients do not use TLS.
func WithoutTLS() Option { return func(s *settings) { s.plain = true } }

// check returns what is wrong with the arguments of New.
func (s *settings) check(srv *http.Server) error {
	if len(s.errs) > 0 {
		return errors.Join(s.errs...)
	}
	config := srv.TLSConfig
	has := config != nil && (len(config.Certificates) > 0 || config.GetCertificate != nil || config.GetConfigForClient != nil)
	switch {
	case s.tls && s.plain:
		return errors.New("httpadapter: both WithTLS and WithoutTLS were given")
	case !s.tls && !s.plain && has:
		return errors.New(`httpadapter: the http.Server's TLSConfig has certificates: say WithTLS("", "") to serve TLS with them, or WithoutTLS() if the listener does that, or clients do not use TLS`)
	case (s.certFile == "") != (s.keyFile == ""):
		return fmt.Errorf("httpadapter: WithTLS was given the files %q and %q; it needs both names, or none", s.certFile, s.keyFile)
	case s.tls && s.certFile == "" && !has:
		return errors.New("httpadapter: WithTLS was given no files, and the http.Server's TLSConfig has no certificates")
	case s.certFile != "":
		if _, err := tls.LoadX509KeyPair(s.certFile, s.keyFile); err != nil {
			return fmt.Errorf("httpadapter: WithTLS(%q, %q): %w", s.certFile, s.keyFile, err)
		}
	}
	return nil
}

// WithHandshakeTime sets how long a connection may still take for its first request, counted
// from GracefulStop. Then the connection is closed. It is closed at once if it had that much
// time before GracefulStop and has sent nothing. The default is one second; d must be positive.
// Under a controller at most half of the time to the timer is used.
func WithHandshakeTime(d time.Duration) Option {
	return func(s *settings) {
		s.handshakeTime = d
		s.require(d > 0, "WithHandshakeTime was given %v; it must be positive", d)
		err := foreign.CheckUnit("WithHandshakeTime", d)
		s.require(err == nil, "%w", err)
	}
}

// WithHijackedLeft leaves connections that a handler has taken over (WebSockets) to that
// handler: GracefulStop does not wait for them or their handlers, Cut does not close them, and
// Cancel does not mark their requests, but ends their contexts. Without it GracefulStop waits
// until they are closed and their handlers have returned, and Cut closes them.
func WithHijackedLeft() Option { return func(s *settings) { s.leaveHijacked = true } }

// WithPattern sets the function that returns the pattern under which a request is counted, or
// "" for none. It is for routers that are not an http.ServeMux or are behind middleware:
//
//	httpadapter.WithPattern(func(r *http.Request) string { _, p := mux.Handler(r); return p })
//
// The request has method, host and path, and nothing else. The function is called concurrently,
// as each request begins. It must return at once: a request waits 10 ms for it, and then it is
// not called again until it has returned. By its pattern the report finds the line of code
// where the handler stands.
//
// Without this option an http.ServeMux as the Handler is asked. With any other Handler the
// pattern is http.Request.Pattern as it is when the request has ended; it is empty if
// middleware has copied the request. [SetPattern] sets the pattern from inside the handler.
//
// The report has the path of the oldest request in flight that has no pattern. Where paths
// carry secrets, return a pattern for each request.
func WithPattern(pattern func(*http.Request) string) Option {
	return func(s *settings) {
		s.route = pattern
		s.require(pattern != nil, "WithPattern was given a nil function")
	}
}

// WithInfrastructurePaths adds to [InfrastructurePaths]. A path begins with a slash;
// one that ends with a slash stands for everything below it.
func WithInfrastructurePaths(paths ...string) Option {
	return func(s *settings) {
		s.require(len(paths) > 0, "WithInfrastructurePaths was given no path")
		for _, path := range paths {
			s.require(len(path) > 1 && path[0] == '/', "WithInfrastructurePaths was given %q; a path begins with a slash, and has more than that", path)
		}
		s.infra = append(s.infra, paths...)
	}
}

// InfrastructurePaths returns the paths of probes and metrics. Requests for them, and kubelet's
// probes of any path, are counted as lastcall.WorkInfra. They are not arrivals for
// lastcall.Budget.Quiet.
func InfrastructurePaths() []string {
	return []string{"/health", "/healthz", "/livez", "/readyz", "/metrics", "/debug/pprof/"}
}

// isInfra reports whether requests for a path are infrastructure.
func (s *settings) isInfra(path string) bool {
	return slices.ContainsFunc(s.infra, func(infra string) bool {
		return path == infra || strings.HasSuffix(infra, "/") && strings.HasPrefix(path, infra)
	})
}
