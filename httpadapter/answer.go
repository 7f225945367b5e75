package httpadapter

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/internal/inflight"
)

// What the client of a request hears that the timer interrupts. While nothing is out, that
// is 503; a part of an answer is broken off, so that it does not look complete.

// WithAnswersLeft leaves answers as handlers give them, also those of requests that the timer
// has interrupted: these answers are not turned into 503, and a part of an answer is not broken
// off. If a handler says nothing, the answer is still 503. The option is for servers whose
// handlers do not look at their contexts, or answer well when those end.
func WithAnswersLeft() Option { return func(s *settings) { s.leaveAnswers = true } }

// Says is called before the header of the answer is fixed. What the handler of an
// interrupted request says is replaced by 503, unless the client cannot take it for
// something else: for a failure, or for a complete answer that has only begun.
func (r *request) Says(status int) (goes bool) {
	h := r.Header()
	if !r.goes(status, h) {
		r.State.Store(cancelled)
		if status != http.StatusServiceUnavailable {
			r.unavailable()
			return false
		}
		if h.Get("Retry-After") == "" { // the handler has found words of its own
			h.Set("Retry-After", retryAfter)
		}
	}
	// What it says of the body's end: handlers may change the header later, when that tells no
	// one anything.
	r.length = h.Get("Content-Length")
	r.whole = r.method == http.MethodHead || hasNoBody(status) || r.server.leaveAnswers || r.endless != nil || endsAnywhere(h)
	if r.http1 {
		r.conn.UntilClose.Store(r.length == "" && (r.http10 || h.Get("Transfer-Encoding") == "identity"))
	}
	r.leaves(status)
	return true
}

// goes reports whether an answer with this header may be sent.
func (r *request) goes(status int, h http.Header) bool {
	switch {
	case r.State.Load() != cancelled && !r.server.tracker.TimeIsUp():
		r.early = true
		return true
	case r.State.Load() != cancelled && status < http.StatusBadRequest:
		return true // a failure may be that of a server behind this one, which is cancelled first
	case r.server.leaveAnswers || status == http.StatusSwitchingProtocols || endsAnywhere(h):
		return true
	case status >= http.StatusBadRequest:
		return false
	default:
		return h.Get("Content-Length") != "" || hasNoBody(status) || status >= http.StatusMultipleChoices
	}
}

// Drops returns an error once the connection is closed: until then what the handler of an
// interrupted request writes is taken in, so that it comes to its end.
func (r *request) Drops() error {
	if r.server.tracker.Stage() >= inflight.Stopped {
		return http.ErrServerClosed
	}
	return nil
}

// answer is called when the handler has returned. One that has said nothing has answered
// 200 with it, or 503 if the request was interrupted.
func (r *request) answer() {
	if r.hijack.Load() {
		return
	}
	interrupted := r.server.tracker.TimeIsUp() || !r.State.CompareAndSwap(running, answered)
	switch {
	case r.Status == 0 && (interrupted || r.drained.Load()):
		r.events = r.events || isKind(r.Header(), "Content-Type", events)
		r.ends()
		if interrupted {
			r.State.Store(cancelled)
		}
		r.unavailable()
	case r.Status == 0:
		r.leaves(http.StatusOK)
	case interrupted && r.early && r.Status < http.StatusBadRequest && !r.isWhole():
		r.State.Store(cancelled)
		panic(http.ErrAbortHandler)
	}
}

// isWhole reports whether the client cannot take a part of the answer for all of it.
func (r *request) isWhole() bool {
	return r.whole || r.length == strconv.FormatInt(r.Written, 10) || r.Written == 0 && !r.Flushed && r.Status != http.StatusOK
}

// hasNoBody reports whether the header is all of an answer.
func hasNoBody(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}

// endsAnywhere reports whether the end of a body tells its client nothing: because it is a
// stream of events, after which the client comes back, or because the client reads in the
// body, or behind it, how the call has ended.
func endsAnywhere(h http.Header) bool {
	return isKind(h, "Content-Type", events) || isKind(h, "Content-Type", "application/grpc") || isKind(h, "Content-Type", "application/connect+")
}

// isKind reports whether a header begins with a media type, in which case does not matter.
func isKind(h http.Header, key, kind string) bool {
	v := h.Get(key)
	return len(v) >= len(kind) && strings.EqualFold(v[:len(kind)], kind)
}

// events is the media type of event streams.
const events = "text/event-stream"

// The answer to a request that the shutdown ends or refuses, and after how many seconds it
// may be tried again.
const (
	leaving    = "the server is shutting down\n"
	retryAfter = "1"
)

// unavailable answers that another server may be asked, at once, in the place of what the
// handler may have prepared. An EventSource comes back after the end of a stream, and after
// no status but 200 (HTML standard, 9.2.2), so it gets a stream without an event.
func (r *request) unavailable() {
	h := r.Header()
	status, kind, body := http.StatusServiceUnavailable, "text/plain; charset=utf-8", leaving
	if r.events {
		status, kind, body = http.StatusOK, events, ": "+leaving+"\n"
	}
	about := []string{"Accept-Ranges", "Cache-Control", "Etag", "Expires", "Last-Modified", "Location", "Trailer", "Transfer-Encoding"}
	maps.DeleteFunc(h, func(key string, _ []string) bool {
		return strings.HasPrefix(key, "Content-") || slices.Contains(about, key)
	})
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Retry-After", retryAfter)
	r.Status = status
	r.leaves(status)
	control := http.NewResponseController(r.ResponseWriter)
	if r.State.Load() == cancelled {
		_ = control.SetWriteDeadline(time.Time{}) // one of ours may have passed
	}
	r.ResponseWriter.WriteHeader(status)
	_, _ = io.WriteString(r.ResponseWriter, body) // errors: the peer may have gone
	_ = control.Flush()
}

// leaves has the connection end with an answer. From the announcement on those of HTTP/1.x
// do, and so do those that follow http.MaxBytesReader, which cannot tell net/http. On HTTP/2
// that would make net/http send its only GOAWAY. A client that pipelines would lose what it
// has sent behind, once for each connection that it makes in settle: it is left to the drain.
func (r *request) leaves(status int) {
	stage := r.server.tracker.Stage()
	leaves := stage > inflight.Announced || stage == inflight.Announced && !r.conn.Pipelines.Load() || status == http.StatusRequestEntityTooLarge
	if r.http1 && leaves && status != http.StatusSwitchingProtocols {
		r.Header().Set("Connection", "close")
	}
}
