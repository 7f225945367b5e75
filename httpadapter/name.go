package httpadapter

import (
	"cmp"
	"github.com/lastcall-go/lastcall"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// noPattern is the name of what no pattern is known for.
const noPattern = "(no pattern)"

// routeBy has the patterns of a ServeMux be the names, unless the user has said how
// to name.
func (s *Server) routeBy(mux *http.ServeMux) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.route == nil {
		s.route = func(r *http.Request) string {
			_, pattern := mux.Handler(r)
			return pattern
		}
	}
}

// name returns what a request is counted as. It calls the user's function, once for
// each request.
func (s *Server) name(r *request) string {
	r.naming.Lock()
	defer r.naming.Unlock()
	if r.pattern == "" {
		r.pattern = s.patternOf(r)
	}
	return nameOf(r.method, r.pattern)
}

// learn notes the pattern that a ServeMux behind the handler has found, if there was
// none so far. It comes before the request has ended.
func (r *request) learn(pattern string) {
	if pattern == "" {
		return
	}
	r.naming.Lock()
	defer r.naming.Unlock()
	if r.pattern == "" || r.pattern == noPattern {
		r.pattern = pattern
	}
}

// patternOf asks for the pattern of a request. A function that panics, or ends its
// goroutine, has none.
func (s *Server) patternOf(r *request) string {
	s.mu.Lock()
	route := s.route
	s.mu.Unlock()
	if route == nil {
		return noPattern
	}
	found := make(chan string, 1)
	go func() {
		defer close(found)
		defer func() { _ = recover() }()
		found <- route(&http.Request{
			Method: r.method, Host: r.host, URL: &url.URL{Path: r.path, RawPath: r.rawPath},
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		})
	}()
	return cmp.Or(<-found, noPattern)
}

// nameOf returns pattern with the method in front, where it has none. Methods that
// nobody knows have one name, so that clients cannot make names.
func nameOf(method, pattern string) string {
	if before, _, found := strings.Cut(pattern, " "); found && before != "" && pattern != noPattern {
		return pattern
	}
	known := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
	}
	if !slices.Contains(known, method) {
		method = "(other method)"
	}
	return method + " " + pattern
}

// kind returns what sort of work a request is. Its shard is locked.
func (s *settings) kind(r *request) lastcall.WorkKind {
	switch {
	case r.hijacked:
		return lastcall.WorkConn
	case r.probe || s.isInfra(r.path):
		return lastcall.WorkInfra
	default:
		return lastcall.WorkRequest
	}
}
