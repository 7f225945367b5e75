package httpadapter

import (
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

// noPattern is the pattern of a request that has none, as far as is known.
const noPattern = "(no pattern)"

// routeBy has the patterns of a ServeMux name the requests, unless WithPattern does.
func (s *Server) routeBy(next http.Handler) error {
	mux, ok := next.(*http.ServeMux)
	if next == nil {
		mux, ok = http.DefaultServeMux, true
	}
	if ok {
		if err := s.checkEndless(mux); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok && s.route == nil {
		s.mux = mux
		s.route = func(r *http.Request) string {
			_, pattern := mux.Handler(r)
			return pattern
		}
	}
	return nil
}

// route is a method and a pattern of a ServeMux.
type route struct{ method, pattern string }

// mark is what the requests of a route have in common.
type mark struct {
	pattern string
	labels  context.Context //nolint:containedctx // it has labels, and nothing more
}

// label labels the goroutine of a request with its name, for the report to find the line of
// code where its handler stands; where that is not known yet, as one of all HTTP requests.
func (s *Server) label(r *request, req *http.Request) {
	pattern := noPattern
	if s.mux != nil {
		_, pattern = s.mux.Handler(req)
	} else if s.route != nil {
		r.name() // asks it
		pattern = *r.pattern.Load()
	}
	pprof.SetGoroutineLabels(s.labels(req.Context(), r, pattern, r.conn.Labelled))
}

// labels returns a context with the label of a request that has a pattern. Labels that the
// request's context has stay if it is labelled; then they cost a context.
func (s *Server) labels(ctx context.Context, r *request, pattern string, labelled bool) context.Context {
	if pattern == "" || pattern == noPattern {
		return ctx // with the connection's label, which is that of all HTTP requests
	}
	m := s.markOf(r, pattern)
	r.pattern.Store(&m.pattern)
	switch {
	case m.labels == nil:
		return ctx
	case labelled:
		return stacks.Of(ctx, r.name())
	default:
		return m.labels
	}
}

func (m *mark) label(name string) { m.labels = stacks.Of(context.Background(), name) }

// maxMarks is how many routes have a label: a function of WithPattern may make any number.
const maxMarks = 1000

// markOf returns the mark of a route; without labels, if there are too many.
func (s *Server) markOf(r *request, pattern string) *mark {
	at := route{r.method, pattern}
	for {
		known := s.marks.Load()
		if known != nil {
			if m := (*known)[at]; m != nil {
				return m
			}
		}
		m := &mark{pattern: pattern}
		if known != nil && len(*known) >= maxMarks {
			return m
		}
		r.pattern.Store(&m.pattern)
		m.label(r.name())
		if !slices.Contains(knownMethods(), r.method) { // clients must not make names
			return m
		}
		all := map[route]*mark{at: m}
		if known != nil {
			maps.Copy(all, *known)
		}
		if s.marks.CompareAndSwap(known, &all) {
			return m
		}
	}
}

// SetPattern sets the pattern under which a request is counted, and by which the report finds
// the line of code where its handler stands: for routers that have routed a request when
// their middleware runs, and that another function cannot ask (see [WithPattern]). Call it in
// the handler's goroutine, with the ResponseWriter and the request as the middleware has them:
// the goroutine gets a label, and keeps those of the request's context. The ResponseWriter may
// be wrapped, by types that have an Unwrap method for http.ResponseController. It reports
// whether the request was found; an empty pattern is not set. It does not block, and may be
// called until the handler returns.
func SetPattern(w http.ResponseWriter, req *http.Request, pattern string) bool {
	for range maxWrappers {
		switch v := w.(type) {
		case interface{ Self() *response.Writer }:
			r, ok := v.Self().Owner.(*request)
			if ok && pattern != "" {
				labelled := false
				pprof.ForLabels(req.Context(), func(key, _ string) bool {
					labelled = key != stacks.Label
					return !labelled
				})
				pprof.SetGoroutineLabels(r.server.labels(req.Context(), r, pattern, labelled))
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

// maxWrappers is more than there are around a ResponseWriter: one that says it is inside
// itself is not asked for ever.
const maxWrappers = 64

// maxPath is how much of a path is reported.
const maxPath = 100

// describe fills in what is known of a request that runs. Its path may have secrets, so it
// is given only where an operator would know nothing without it.
func (r *request) describe(w *lastcall.Work) {
	w.Peer = r.peer
	if known := r.pattern.Load(); known != nil && *known == noPattern {
		w.Path = r.path[:min(len(r.path), maxPath)]
	}
}

// label returns as what a request is counted.
func (r *request) label() inflight.Label {
	switch {
	case r.hijack.Load():
		return inflight.Label{Name: r.name(), Kind: lastcall.WorkConn}
	case r.infra:
		return inflight.Label{Name: r.name(), Kind: lastcall.WorkInfra}
	default:
		return inflight.Label{Name: r.name(), Kind: lastcall.WorkRequest}
	}
}

// name returns the method and the pattern of a request.
func (r *request) name() string {
	pattern := r.pattern.Load()
	if pattern == nil {
		found := r.server.patternOf(r)
		r.pattern.CompareAndSwap(nil, &found)
		pattern = r.pattern.Load()
	}
	if before, _, found := strings.Cut(*pattern, " "); found && before != "" && *pattern != noPattern {
		return *pattern // it has a method
	}
	if !slices.Contains(knownMethods(), r.method) { // clients must not make names
		return "(other method) " + *pattern
	}
	return r.method + " " + *pattern
}

// knownMethods returns the methods of HTTP.
func knownMethods() []string {
	return []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
	}
}

// patternOf asks the function of the user for the pattern of a request, and blocks for at
// most a moment. A function that panics or ends its goroutine has none. One that hangs is
// not asked again until it has returned.
func (s *Server) patternOf(r *request) string {
	s.mu.Lock()
	route := s.route
	s.mu.Unlock()
	if route == nil || s.mute.Load() {
		return noPattern
	}
	found := ""
	asked := s.calls.Run(callPattern, func() {
		found = route(&http.Request{
			Method: r.method, Host: r.host, URL: &url.URL{Path: r.path, RawPath: r.rawPath},
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		})
	})
	if !foreign.Within(asked, moment) {
		s.mute.Store(true)
		go func() { <-asked; s.mute.Store(false) }() // it did not hang, but had to wait for a processor
		return noPattern
	}
	if found == "" {
		return noPattern
	}
	return found
}
