package grpcadapter

import (
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// beginTime bounds how long the drain waits for grpc to begin the handshakes of the
// connections that it has accepted: it needs only the processor for that.
const beginTime = 100 * time.Millisecond

// waiting counts the connections that the listener has returned and grpc has not begun to
// serve. The zero value is ready to use.
type waiting struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n is 0; nil: no drain waits for it
}

func (w *waiting) add(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n += n
	if w.n == 0 && w.none != nil {
		close(w.none)
		w.none = nil
	}
}

// await blocks until none is waiting, for d at most. Nothing is added meanwhile but what is
// closed at once.
func (w *waiting) await(d time.Duration) {
	w.mu.Lock()
	if w.n == 0 {
		w.mu.Unlock()
		return
	}
	if w.none == nil {
		w.none = make(chan struct{})
	}
	none := w.none
	w.mu.Unlock()
	foreign.Within(none, d)
}

// takeIn closes the listener and has grpc begin the handshakes of the connections that were
// accepted: it closes those that it gets to when its GracefulStop was called. Another
// process that has the same socket would have served them.
func (s *Server) takeIn() {
	if s.listener != nil {
		s.closeListener()
		s.listener.waiting.await(beginTime)
	}
}

// begin notes that grpc serves the connection, or that it is closed.
func (c *conn) begin() {
	if c.state.Or(begun)&begun == 0 {
		c.listener.waiting.add(-1)
	}
}
