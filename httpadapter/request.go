package httpadapter

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/httpconn"
	"github.com/lastcall-go/lastcall/internal/inflight"
	"github.com/lastcall-go/lastcall/internal/response"
)

// request is a request in flight, with the ResponseWriter of its handler, in one
// allocation. It copies what it says of the http.Request, because handlers may change that.
//
// Its State leaves running once: Cancel and the end of the handler decide in one step
// whether the request was interrupted.
type request struct {
	response.Writer
	item
	server             *Server
	conn               *httpconn.Conn
	method, path, peer string
	infra, body, http1 bool
	http10             bool        // the client knows no other end of an answer without a length than that of the connection
	events             bool        // the client is an EventSource
	early              bool        // the handler has said something before the timer fired
	complete           bool        // the handler has returned, and its answer goes
	whole              bool        // the client cannot take a part of the answer for all of it; like the next one since the header is fixed
	length             string      // Content-Length
	hijack             atomic.Bool // the handler has taken the connection over
	mark               atomic.Pointer[mark]
	endless            context.CancelCauseFunc // ends the request's context; nil: it ends by itself
	drained            atomic.Bool             // the drain has called that

	use  sync.Mutex  // held while others than the handler use the ResponseWriter, only of HTTP/2
	over atomic.Bool // the handler has returned; set with use held
}

// The states of a request.
const (
	running   uint32 = iota
	answered         // its handler has returned
	cancelled        // by Cancel, or by the timer on the way to its answer
)

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
		server: s, conn: c, method: req.Method, path: req.URL.Path, peer: req.RemoteAddr,
		body: req.ContentLength != 0, http10: !req.ProtoAtLeast(1, 1), events: req.Method == http.MethodGet && isKind(req.Header, "Accept", events),
	}
	r.ResponseWriter, r.Owner = w, r
	r.http1 = r.IsHTTP1()
	r.infra = s.isInfra(r.path) || strings.HasPrefix(req.Header.Get("User-Agent"), "kube-probe/")
	if !c.Serves(r.http1, r.body) {
		panic(http.ErrAbortHandler) // the answer could not be sent
	}
	if s.endlessPaths != nil {
		if _, pattern := s.endlessPaths.Handler(req); pattern != "" {
			ctx, cancel := context.WithCancelCause(req.Context())
			r.endless, req = cancel, req.WithContext(ctx)
		}
	}
	limit := inflight.Sealed
	if s.tracker.TimeIsUp() {
		limit = inflight.Serving // the servers behind this one are being cancelled, and it is next
	}
	begins := s.tracker.Begin(r, limit, !r.infra)
	r.mark.Store(s.markOf(r.method, s.patternOf(req)))
	if !begins {
		if s.tracker.Stage() >= inflight.Refusing || limit == inflight.Serving {
			s.tracker.Refuse(r, inflight.Cancelled)
		}
		r.unavailable()
		c.Answered()
		return
	}
	life := s.tracker.Life()
	if late := life.Arrived(s.tracker.Began(r)); late != life {
		req = req.WithContext(lastcall.NewContext(req.Context(), late))
	}
	c.Handles(1)
	defer r.returned(req)
	if r.endless != nil && s.drains.Load() { // it may have come too late for endEndless
		r.endWithDrain()
	}
	r.setLabel(req.Context())
	next.ServeHTTP(r.Outside(), req)
	r.answer()
	r.complete = true
}

// returned is called when the handler has returned, or has panicked, with the request as it
// got it.
func (r *request) returned(req *http.Request) {
	if form := req.MultipartForm; form != nil { // net/http removes those of its own request, and Go 1.27 none of HTTP/2
		_ = form.RemoveAll() // what is left is in the temporary folder
	}
	r.ends()
	r.conn.Handles(-1)
	if r.conn.UntilClose.Load() && (r.State.Load() == cancelled || r.server.tracker.TimeIsUp()) {
		if r.complete {
			r.conn.Resets(false)
		} else {
			r.conn.Reset()
		}
	}
	r.conn.Answered()
	if r.endless != nil {
		r.endless(nil)
	}
	if req.Pattern != "" && r.mark.Load().none { // that of a ServeMux behind the handler
		r.mark.Store(r.server.markOf(r.method, req.Pattern))
	}
	r.server.tracker.End(r, r.fate())
}

// fate returns what has become of a request that ends now.
func (r *request) fate() inflight.Fate {
	switch {
	case r.State.Load() == cancelled:
		return inflight.Cancelled
	case r.isLeft():
		return inflight.Completed
	case r.conn.Severed():
		r.server.severed.Add(1)
		return inflight.Cut
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

// Hijacked makes the connection work until it is closed and the handler has returned.
func (r *request) Hijacked() {
	t := r.server.tracker
	r.hijack.Store(true)
	r.conn.UntilClose.Store(false) // how it is closed is the handler's business
	if r.server.leaveHijacked {
		t.Release(r)
	}
	t.Hold(r)
	r.conn.Hijacked(func() { t.End(r, r.fate()) })
}

// wake has reads of the body, or writes of the answer, return with an error. It does not
// block.
func (r *request) wake(writes bool) {
	r.server.calls.Run(callDeadline, func() { r.expire(writes) })
}

// expire is wake, and blocks. Of HTTP/1.x it calls the connection, which may hang, with no
// lock held.
func (r *request) expire(writes bool) {
	var d interface {
		SetReadDeadline(time.Time) error
		SetWriteDeadline(time.Time) error
	} = r.conn
	if !r.http1 {
		r.use.Lock()
		defer r.use.Unlock()
		d = http.NewResponseController(r.ResponseWriter)
	}
	past := time.Unix(1, 0)
	switch until := r.conn.UntilClose.Load(); { // errors: the peer may have gone
	case r.over.Load():
	case !writes:
		_ = d.SetReadDeadline(past)
	default:
		if until {
			r.conn.Resets(true) // net/http closes the connection when a write fails
		}
		_ = d.SetWriteDeadline(past)
		if r.over.Load() { // the answer is being written
			_ = d.SetWriteDeadline(time.Time{})
			if until {
				r.conn.Resets(false)
			}
		}
	}
}
