package httpadapter

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"runtime/pprof"
	"slices"
	"strings"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/inflight"
	"github.com/lastcall-go/lastcall/internal/response"
	"github.com/lastcall-go/lastcall/internal/stacks"
)

// mark is what the requests of a method and a pattern have in common.
type mark struct {
	name   string          // the method and the pattern
	none   bool            // no pattern is known
	labels context.Context //nolint:containedctx // it has a goroutine's label, and nothing more; nil: that of all HTTP requests does
}

// maxMarks is how many marks are kept, and have labels: a function of WithPattern may make
// any number.
const maxMarks = 1000

// markOf returns the mark of a method and a pattern; "" is no pattern. Clients cannot make
// names: methods that HTTP does not have are one.
func (s *Server) markOf(method, pattern string) *mark {
	name := pattern
	if before, _, found := strings.Cut(pattern, " "); !found || before == "" { // it has no method
		if !slices.Contains(knownMethods(), method) {
			method = "(other method)"
		}
		name = method + " " + cmp.Or(pattern, "(no pattern)")
	}
	if m := (*s.marks.Load())[name]; m != nil {
		return m
	}
	m := &mark{name: name, none: pattern == ""}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := *s.marks.Load(); len(known) < maxMarks {
		if !m.none {
			m.labels = stacks.Of(context.Background(), name)
		}
		all := maps.Clone(known)
		all[name] = m
		s.marks.Store(&all)
	}
	return m
}

// knownMethods returns the methods of HTTP.
func knownMethods() []string {
	return []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
	}
}

// patternOf returns the pattern of a request, or "". It asks the function of WithPattern, and
// blocks for at most a moment. A function that panics or ends its goroutine has none. One
// that hangs is not asked again until it has returned.
func (s *Server) patternOf(req *http.Request) string {
	switch {
	case s.mux != nil:
		_, pattern := s.mux.Handler(req)
		return pattern
	case s.route == nil || s.mute.Load():
		return ""
	}
	about := &http.Request{
		Method: req.Method, Host: req.Host, URL: &url.URL{Path: req.URL.Path, RawPath: req.URL.RawPath},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
	}
	found := ""
	asked := s.calls.Run(callPattern, func() { found = s.route(about) })
	if foreign.Within(asked, moment) {
		return found
	}
	s.mute.Store(true)
	go func() { <-asked; s.mute.Store(false) }() // it did not hang, but had to wait for a processor
	return ""
}

// marked returns the mark of a request, whose pattern WithPattern may not have found yet.
func (r *request) marked() *mark {
	if m := r.mark.Load(); m != nil {
		return m
	}
	return r.server.markOf(r.method, "")
}

// setLabel gives the handler's goroutine, which calls it, the label of the request's mark, for
// the report to find the line of code where the handler stands. Labels that the request's
// context has stay; then they cost a context.
func (r *request) setLabel(ctx context.Context) {
	if m := r.mark.Load(); m.labels != nil {
		others := false
		pprof.ForLabels(ctx, func(key, _ string) bool {
			others = key != stacks.Label
			return !others
		})
		if others {
			ctx = stacks.Of(ctx, m.name)
		} else {
			ctx = m.labels
		}
	}
	pprof.SetGoroutineLabels(ctx)
}

// SetPattern sets the pattern under which a request is counted, and by which the report finds
// the line of code where its handler stands. It is for routers that have routed a request when
// their middleware runs, and that another function cannot ask (see [WithPattern]). It reports
// whether the request was found; an empty pattern is not set.
//
// Call it in the handler's goroutine, with the ResponseWriter and the request as the middleware
// has them. The goroutine gets a label, and keeps the labels of the request's context. The
// ResponseWriter may be wrapped by types that have an Unwrap method for
// http.ResponseController. SetPattern does not block, and may be called until the handler
// returns.
func SetPattern(w http.ResponseWriter, req *http.Request, pattern string) bool {
	for range 64 { // a wrapper may have itself inside
		switch v := w.(type) {
		case interface{ Self() *response.Writer }:
			r, ok := v.Self().Owner.(*request)
			if ok && pattern != "" {
				r.mark.Store(r.server.markOf(r.method, pattern))
				r.setLabel(req.Context())
			}
			return ok
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return false
		}
	}
	return false
}

// maxPath is how much of a path is reported.
const maxPath = 100

// describe fills in what is known of a request that runs. Its path may have secrets, so it
// is given only where an operator would know nothing without it.
func (r *request) describe(w *lastcall.Work) {
	w.Peer = r.peer
	if r.marked().none {
		w.Path = r.path[:min(len(r.path), maxPath)]
	}
}

// label returns as what a request is counted.
func (r *request) label() inflight.Label {
	kind := lastcall.WorkRequest
	switch {
	case r.hijack.Load():
		kind = lastcall.WorkConn
	case r.infra:
		kind = lastcall.WorkInfra
	}
	return inflight.Label{Name: r.marked().name, Kind: kind}
}
