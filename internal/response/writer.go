// Package response has a ResponseWriter that knows what its handler has answered so far, and
// that keeps the optional methods of the ResponseWriters of net/http.
package response

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// Writer is what is known of an answer. Its owner embeds it, sets the first two fields,
// and gives the handler what [Writer.Outside] returns. It is used like a ResponseWriter:
// by the handler, until that has returned.
type Writer struct {
	http.ResponseWriter // of net/http
	Owner               Owner

	Status  int   // what the handler has said; 0: nothing. A hijacked connection is 101
	Written int64 // bytes of the body
	Flushed bool  // the handler has called Flush
	dropped bool  // the owner has answered in the place of the handler
}

// Owner is told what a handler does.
type Owner interface {
	// Says is called once, before the header of the answer is fixed. It reports whether the
	// handler's answer is sent. If not, the owner has sent another one to the ResponseWriter
	// inside, and what the handler writes is dropped.
	Says(status int) bool
	// Drops returns the error of a write that is dropped, or nil.
	Drops() error
	// Hijacked is called when the handler has taken the connection over.
	Hijacked()
}

// Outside returns the Writer with the optional methods that the ResponseWriter inside has:
// of HTTP/1.x, or of HTTP/2.
func (w *Writer) Outside() http.ResponseWriter {
	if w.IsHTTP1() {
		return http1{w}
	}
	return http2{w}
}

// IsHTTP1 reports whether the answer is one of HTTP/1.x.
func (w *Writer) IsHTTP1() bool {
	_, ok := w.ResponseWriter.(http.Hijacker)
	return ok
}

// says notes a status, but for those that come before another one.
func (w *Writer) says(status int) {
	if w.Status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.Status = status
		w.dropped = !w.Owner.Says(status)
	}
}

// drop takes in what is not sent.
func (w *Writer) drop(n int) (int, error) {
	if err := w.Owner.Drops(); err != nil {
		return 0, err
	}
	return n, nil
}

// Self returns the Writer, from types that embed it.
func (w *Writer) Self() *Writer { return w }

// Unwrap is for http.ResponseController.
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader is that of the ResponseWriter inside, and so are the methods below.
func (w *Writer) WriteHeader(status int) {
	if w.says(status); !w.dropped {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write belongs to http.ResponseWriter.
func (w *Writer) Write(b []byte) (int, error) {
	if w.says(http.StatusOK); w.dropped {
		return w.drop(len(b))
	}
	n, err := w.ResponseWriter.Write(b)
	w.Written += int64(n)
	return n, err
}

// WriteString belongs to io.StringWriter.
func (w *Writer) WriteString(s string) (int, error) {
	if w.says(http.StatusOK); w.dropped {
		return w.drop(len(s))
	}
	n, err := io.WriteString(w.ResponseWriter, s)
	w.Written += int64(n)
	return n, err
}

// Flush belongs to http.Flusher.
func (w *Writer) Flush() { _ = w.FlushError() } // http.Flusher has no error

// FlushError is for http.ResponseController.
func (w *Writer) FlushError() error {
	w.says(http.StatusOK)
	w.Flushed = true
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// CloseNotify belongs to http.CloseNotifier. It returns nil if the ResponseWriter inside is
// not one.
func (w *Writer) CloseNotify() <-chan bool {
	if n, ok := w.ResponseWriter.(http.CloseNotifier); ok { //nolint:staticcheck // people use it
		return n.CloseNotify()
	}
	return nil
}

// The two hold a pointer and nothing else, so that an interface holds them without an
// allocation.
type (
	http1 struct{ *Writer }
	http2 struct{ *Writer }
)

// ReadFrom belongs to io.ReaderFrom: the kernel may send a file.
func (w http1) ReadFrom(src io.Reader) (int64, error) {
	if w.says(http.StatusOK); w.dropped {
		return io.Copy(struct{ io.Writer }{w.Writer}, src)
	}
	n, err := io.Copy(w.ResponseWriter, src)
	w.Written += n //nolint:revive // it holds a pointer
	return n, err
}

// Hijack belongs to http.Hijacker.
func (w http1) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.Status = http.StatusSwitchingProtocols //nolint:revive // it holds a pointer
		w.Owner.Hijacked()
	}
	return c, rw, err
}

// Push belongs to http.Pusher.
func (w http2) Push(target string, opts *http.PushOptions) error {
	if p, ok := w.ResponseWriter.(http.Pusher); ok {
		return p.Push(target, opts)
	}
	return http.ErrNotSupported
}
