package connset

import (
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// takeTime bounds how long a drain waits for a server to begin with the connections that it
// was given by Accept: it needs only the processor for that.
const takeTime = 100 * time.Millisecond

// Waiting counts the connections that a listener has returned, or is about to, and that its
// server has not begun to serve: they were accepted, so no other process will serve them. The
// zero value is ready. All methods may be called concurrently.
type Waiting struct {
	mu   sync.Mutex
	n    int
	last time.Time     // when Add was called last
	none chan struct{} // closed when n is 0; nil: no drain waits for it
}

// Add counts a connection.
func (w *Waiting) Add() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	w.last = time.Now()
}

// Take is called when one of these is served or closed, or one that was not counted.
func (w *Waiting) Take() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n = max(w.n-1, 0)
	if w.n == 0 && w.none != nil {
		close(w.none)
		w.none = nil
	}
}

// Await blocks until none is waiting, for takeTime at most; if lately, counted from when the
// last one came, for servers that may never call Take.
func (w *Waiting) Await(lately bool) {
	w.mu.Lock()
	limit := takeTime
	if lately {
		limit -= time.Since(w.last)
	}
	if w.n == 0 || limit <= 0 {
		w.mu.Unlock()
		return
	}
	if w.none == nil {
		w.none = make(chan struct{})
	}
	none := w.none
	w.mu.Unlock()
	foreign.Within(none, limit)
}
