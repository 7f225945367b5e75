package httpadapter

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/httpconn"
	"github.com/lastcall-go/lastcall/internal/inflight"
	"github.com/lastcall-go/lastcall/internal/response"
)

// request is a request in flight, with the ResponseWriter of its handler, in one
// allocation. It copies what it says of the http.Request, because handlers may change that.
type request struct {
	response.Writer
	item
	server             *Server
	conn               *httpconn.Conn
	method, host, peer string
	path, rawPath      string
	infra, body, http1 bool
	early              bool        // the handler has said something before the request was cancelled
	hijack             atomic.Bool // the handler has taken the connection over
	cancelled          atomic.Bool // by Cancel
	pattern            atomic.Pointer[string]

	use  sync.Mutex  // held while others than the handler use the ResponseWriter, only of HTTP/2
	over atomic.Bool // the handler has returned; set with use held
}

// item is the tracker's part of a request.
type item = inflight.Item[*request]

// handler is the Handler of the http.Server while it is served.
type handler struct {
	server *Server
	next   http.Handler // nil: http.DefaultServeMux
}

// ServeHTTP has the user's handler serve a request, and keeps track of it.
func (h *handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	next, s := h.next, h.server
	if next == nil {
		next = http.DefaultServeMux
	}
	c := s.conns.Of(req)
	if c == nil || s.handler != h { // it was called directly, or another one is around it
		next.ServeHTTP(w, req)
		return
	}
	r := &request{
		server: s, conn: c, method: req.Method, host: req.Host, peer: req.RemoteAddr,
		path: req.URL.Path, rawPath: req.URL.RawPath, body: req.ContentLength != 0,
	}
	r.ResponseWriter, r.Owner = w, r
	r.http1 = r.IsHTTP1()
	r.infra = s.isInfra(r.path) || strings.HasPrefix(req.Header.Get("User-Agent"), "kube-probe/")
	if !c.Serves(r.http1, r.body) {
		panic(http.ErrAbortHandler) // the answer could not be sent
	}
	if !s.tracker.Begin(r, inflight.Sealed, !r.infra) {
		if s.tracker.Stage() >= inflight.Refusing {
			s.tracker.Refuse(r, inflight.Cancelled)
		}
		r.unavailable()
		return
	}
	defer r.returned(req)
	next.ServeHTTP(r.Outside(), req)
	r.answer()
}

// returned is called when the handler has returned, or has panicked.
func (r *request) returned(req *http.Request) {
	r.ends()
	if r.server.counting() && req.Pattern != "" { // that of a ServeMux behind the handler
		if known := r.pattern.Load(); known == nil || *known == noPattern {
			r.pattern.Store(&req.Pattern)
		}
	}
	r.server.tracker.End(r, r.fate())
}

// fate returns what has become of a request that ends now.
func (r *request) fate() inflight.Fate {
	switch {
	case r.cancelled.Load():
		return inflight.Cancelled
	case r.isLeft():
		return inflight.Completed
	default:
		return inflight.ByStage
	}
}

// isLeft reports whether the request is left to those who have taken its connection
// over.
func (r *request) isLeft() bool { return r.server.leaveHijacked && r.hijack.Load() }

// ends keeps all but the handler's goroutine from using the ResponseWriter.
func (r *request) ends() {
	r.use.Lock()
	defer r.use.Unlock()
	r.over.Store(true)
}

// answer is called when the handler has returned. One that has said nothing has answered
// 200 with it, or 503 if the request was cancelled. If the handler had begun its answer
// before that, with a flush or a part of the body, what there is of it must not look
// complete to the client: it is broken off.
func (r *request) answer() {
	switch {
	case r.hijack.Load():
	case !r.cancelled.Load():
		if r.Status == 0 {
			r.Says(http.StatusOK)
		}
	case r.Status == 0:
		r.ends()
		_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(time.Time{}) // one of ours may have passed
		r.unavailable()
	case r.early && !r.isWhole():
		panic(http.ErrAbortHandler)
	}
}

// isWhole reports whether the answer is known to have its whole body.
func (r *request) isWhole() bool {
	return r.Written == 0 && !r.Flushed || r.method == http.MethodHead || r.Status == http.StatusNoContent || r.Status == http.StatusNotModified ||
		r.Header().Get("Content-Length") == strconv.FormatInt(r.Written, 10)
}

// unavailable answers that another server may be asked.
func (r *request) unavailable() {
	r.Header().Set("Retry-After", "1")
	http.Error(&r.Writer, "the server is shutting down", http.StatusServiceUnavailable)
}

// Says is called before the header of the answer is fixed. From the announcement on answers
// of HTTP/1.x end their connection, and so do those that follow http.MaxBytesReader, which
// cannot tell net/http. On HTTP/2 that would make net/http send its only GOAWAY.
func (r *request) Says(status int) {
	r.early = !r.cancelled.Load()
	leaves := r.server.counting() || status == http.StatusRequestEntityTooLarge
	if r.http1 && leaves && status != http.StatusSwitchingProtocols {
		r.Header().Set("Connection", "close")
	}
}

// Hijacked makes the connection work until it is closed and the handler has returned.
func (r *request) Hijacked() {
	t := r.server.tracker
	r.hijack.Store(true)
	if r.server.leaveHijacked {
		t.Release(r)
	}
	t.Hold(r)
	if !r.conn.Hijacked(func() { t.End(r, r.fate()) }) {
		t.End(r, r.fate()) // the handler's part is left
	}
}

// wake has reads of the body, or writes of the answer, return with an error. Of HTTP/1.x it
// calls the connection, which may hang, with no lock held.
func (r *request) wake(writes bool) {
	past := time.Unix(1, 0)
	set := func(d interface {
		SetReadDeadline(time.Time) error
		SetWriteDeadline(time.Time) error
	},
	) {
		switch { // errors: the peer may have gone
		case r.over.Load():
		case !writes:
			_ = d.SetReadDeadline(past)
		default:
			_ = d.SetWriteDeadline(past)
			if r.over.Load() { // the answer is being written
				_ = d.SetWriteDeadline(time.Time{})
			}
		}
	}
	if r.http1 {
		set(r.conn)
		return
	}
	r.use.Lock()
	defer r.use.Unlock()
	set(http.NewResponseController(r.ResponseWriter))
}
