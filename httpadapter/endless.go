package httpadapter

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
)

// Streams of events and long polls would hold the drain until the timer, if their handlers
// know nothing but the context of the request. So that ends as the drain begins.

// WithEndlessPaths names requests that go on for as long as the client likes (Server-Sent
// Events), or until something happens (long polls), and whose handlers do not look at
// lastcall.Draining. A pattern is one of http.ServeMux: "/events", "GET /feeds/{id}".
//
// The contexts of such requests end when phase drain begins, even if the server is After
// others, with the cause lastcall.ErrDraining. A later request gets a context that has already
// ended. The body of such a request can be read for a second more (see [WithHandshakeTime]).
// What the handler then answers is sent, and need not be complete. If it says nothing, the
// answer is 503, or an empty stream for an EventSource.
//
// A pattern that http.ServeMux does not take is an error from controller.New. If the Handler is
// a *http.ServeMux that has no route for a pattern, with x in the place of a wildcard, that is
// an error from Serve; patterns of everything below a path are not looked up.
func WithEndlessPaths(patterns ...string) Option {
	return func(s *settings) {
		s.require(len(patterns) > 0, "WithEndlessPaths was given no pattern")
		if s.endlessPaths == nil {
			s.endlessPaths = http.NewServeMux()
		}
		for _, pattern := range patterns {
			func() {
				defer func() { // ServeMux panics if it is wrong
					v := recover()
					s.require(v == nil, "WithEndlessPaths was given %q: %v", pattern, v)
				}()
				s.endlessPaths.Handle(pattern, http.NotFoundHandler())
			}()
		}
		s.endlessPatterns = append(s.endlessPatterns, patterns...)
	}
}

// checkEndless returns an error if a ServeMux has no route for a pattern.
func (s *Server) checkEndless(mux *http.ServeMux) error {
	wildcard := regexp.MustCompile(`\{[^}]*\}`)
	for _, pattern := range s.endlessPatterns {
		if strings.HasSuffix(pattern, "/") || strings.HasSuffix(pattern, "...}") {
			continue // no path is known that has to be below it
		}
		method, rest, found := strings.Cut(pattern, " ")
		methods := []string{method}
		if !found {
			rest, methods = pattern, knownMethods()
		}
		host, path, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(rest, "{$}", "")), "/")
		req := http.Request{Host: host, URL: &url.URL{Path: "/" + wildcard.ReplaceAllString(path, "x")}}
		if !slices.ContainsFunc(methods, func(method string) bool {
			req.Method = method
			_, route := mux.Handler(&req)
			return route != ""
		}) {
			return fmt.Errorf("httpadapter: WithEndlessPaths was given %q, for which the Handler has no route: give the pattern with which that is registered", pattern)
		}
	}
	return nil
}

// endWithDrain ends the context of an endless request. What is left of its body has as much
// time as a request on a new connection: a handler may wait for that alone.
func (r *request) endWithDrain() {
	if r.drained.Swap(true) {
		return
	}
	r.endless(lastcall.ErrDraining)
	if s := r.server; r.body {
		time.AfterFunc(s.tracker.Within(s.handshakeTime), func() {
			if !r.over.Load() {
				r.wake(false)
			}
		})
	}
}

// awaitDrain ends the endless requests when phase drain begins: before GracefulStop if the
// server is After others, whose requests may wait for these.
func (s *Server) awaitDrain() {
	select {
	case <-s.tracker.Life().Draining():
		s.endEndless()
	case <-s.stopped:
	}
}

// endEndless ends the endless requests, those that are in flight and those that will come.
func (s *Server) endEndless() {
	s.drains.Store(true)
	for _, r := range s.tracker.InFlight() {
		if r.endless != nil {
			r.endWithDrain()
		}
	}
}
