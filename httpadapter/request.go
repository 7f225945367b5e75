package httpadapter

import (
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"
)

// request is one request in flight: a node of the tracker's lists. It is one
// allocation. What it says of the request is copied when that comes, because handlers
// may change it.
type request struct {
	writer             http.ResponseWriter
	conn               *conn // nil: of HTTP/2, or unknown
	method, host       string
	path, rawPath      string
	peer               string
	probe, body, http2 bool

	began      time.Duration
	prev, next *request
	shard      uint32

	// guarded by its shard
	holds        uint8 // the handler, and the connection if that was taken over
	before, late bool  // it ran when the shutdown began; it came after GracefulStop
	moves        bool  // it came after the announcement; not changed when begin has returned
	cancelled    bool
	hijacked     bool

	// guarded by naming; not taken with a shard's
	naming  sync.Mutex
	pattern string // the name, once somebody asked for it

	use  sync.Mutex // held while writer is used
	over bool       // the handler has returned: writer must not be used any more
}

// tracked is the Handler of the server that serves.
type tracked struct {
	server *Server
	next   http.Handler
}

// ServeHTTP runs the user's handler, and knows it.
func (h *tracked) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	t := h.server.tracker
	r := &request{
		writer: w,
		method: req.Method, host: req.Host, path: req.URL.Path, rawPath: req.URL.RawPath,
		peer:  req.RemoteAddr,
		probe: strings.HasPrefix(req.Header.Get("User-Agent"), "kube-probe/"),
		body:  req.ContentLength != 0,
		http2: req.ProtoMajor == 2 && req.Method != "PRI", // that one is for h2c.NewHandler, which takes its connection over
		began: time.Since(t.made),
	}
	if c, ok := req.Context().Value(connKey{}).(*conn); ok && c != nil {
		if c.isClosed() {
			panic(http.ErrAbortHandler) // it came in that instant: nobody would hear the answer
		}
		if !r.http2 {
			r.conn = c
			c.current.Store(r)
		}
	}
	if !t.begin(r) {
		unavailable(w)
		return
	}
	defer t.returned(r, req)
	if r.moves && !r.http2 && req.Header.Get("Upgrade") == "" {
		w.Header().Set("Connection", "close")
	}
	h.next.ServeHTTP(w, req)
	t.answer(r, w)
}

// returned is called when the handler of a request has returned, or has panicked.
func (t *tracker) returned(r *request, req *http.Request) {
	r.use.Lock()
	r.over, r.writer = true, nil
	r.use.Unlock()
	if r.conn != nil {
		r.conn.current.CompareAndSwap(r, nil)
	}
	if t.counting() {
		r.learn(req.Pattern)
	}
	t.leave(r)
}

// answer gives a request that was cancelled, and whose handler has said nothing, an
// answer.
func (t *tracker) answer(r *request, w http.ResponseWriter) {
	if !t.isCancelled(r) {
		return
	}
	r.use.Lock()
	r.over = true // nobody else sets deadlines from now on
	r.use.Unlock()
	if saidNothing(w) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // one of ours may have passed
		unavailable(w)
	}
}

// unavailable answers that somebody else may be asked.
func unavailable(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	w.Header().Set("Retry-After", "1")
	http.Error(w, "the server is shutting down", http.StatusServiceUnavailable)
}

// saidNothing says whether a handler has returned without WriteHeader, Write or
// Hijack. Package net/http tells nobody, so this looks into its ResponseWriter; a
// test fails if that changes, and then the answer is no.
func saidNothing(w http.ResponseWriter) bool {
	v := reflect.ValueOf(w)
	for _, field := range []string{"", "rws"} { // HTTP/1.1; HTTP/2
		if field != "" {
			v = v.FieldByName(field)
		}
		if v.Kind() != reflect.Pointer || v.IsNil() {
			return false
		}
		v = v.Elem()
		if v.Kind() != reflect.Struct {
			return false
		}
		if wrote := v.FieldByName("wroteHeader"); wrote.IsValid() && wrote.Kind() == reflect.Bool {
			return !wrote.Bool()
		}
	}
	return false
}

// wake has reads of the body return with an error.
func (r *request) wake() {
	r.use.Lock()
	defer r.use.Unlock()
	if !r.over {
		_ = http.NewResponseController(r.writer).SetReadDeadline(time.Unix(1, 0)) // there may be nothing to wake
	}
}

// wakeWrites has writes of the answer return with an error.
func (r *request) wakeWrites() {
	r.use.Lock()
	defer r.use.Unlock()
	if !r.over {
		_ = http.NewResponseController(r.writer).SetWriteDeadline(time.Unix(1, 0)) // the same
	}
}
