package connset

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Wire is a [Conn] that watches what is read and written, so that it can be closed in an
// instant in which nothing is lost. All methods may be called concurrently; none holds a
// lock while it calls the connection inside.
type Wire struct {
	*Conn
	writing atomic.Int32 // writes that have not returned
	broken  atomic.Bool  // see Broken

	mu      sync.Mutex
	fed     bool // something was read since the last write began
	claimed bool
	wrote   bool        // something was written since AwaitQuiet
	moved   time.Time   // when something was read or written last, while quiet is there
	quiet   *time.Timer // nil: AwaitQuiet was not called, or it is over
}

// errClosed is what connections of package net return when they are closed; net/http
// answers other errors of Read with 400.
func errClosed(op string) error { return &net.OpError{Op: op, Net: "tcp", Err: net.ErrClosed} }

// Read is that of the connection inside. It fails once the connection is claimed or
// closed, also if something has come.
func (w *Wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n == 0 {
		return n, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.claimed || w.Closing() {
		return 0, errClosed("read")
	}
	w.fed = true
	w.moves()
	return n, err
}

// Write is that of the connection inside. It fails once the connection is closed, although
// that may still be under way.
func (w *Wire) Write(b []byte) (int, error) {
	n, err := w.writes(func() (int64, error) {
		n, err := w.Conn.Write(b)
		return int64(n), err
	})
	return int(n), err
}

// writes makes a call that writes.
func (w *Wire) writes(call func() (int64, error)) (int64, error) {
	if !w.begins() {
		return 0, errClosed("write")
	}
	defer w.writing.Add(-1)
	n, err := call()
	if err != nil && !w.Closing() {
		w.broken.Store(true)
	}
	return n, err
}

// Broken reports whether a write has failed, on a connection that was not being closed.
func (w *Wire) Broken() bool { return w.broken.Load() }

func (w *Wire) begins() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Closing() {
		return false
	}
	w.writing.Add(1)
	w.fed, w.wrote = false, true
	w.moves()
	return true
}

// Writing reports whether a write has not returned.
func (w *Wire) Writing() bool { return w.writing.Load() > 0 }

// Claim ends reading, for a connection that is going to be closed: what comes is dropped.
// Unless forced, it does not if something was read since the last write began, which the
// server may not have seen. It reports whether it does; reading ends once.
func (w *Wire) Claim(forced bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := !w.claimed && (forced || !w.fed)
	w.claimed = w.claimed || first
	return first
}

// Claimed reports whether reading has ended, or the connection is closed.
func (w *Wire) Claimed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.claimed || w.Closing()
}

// AwaitQuiet claims the connection, and calls f on a goroutine of its own, when something
// was written from now on, no write is under way, and nothing was read or written for d.
// If wrote, something was written already. It does nothing if it is in force.
func (w *Wire) AwaitQuiet(d time.Duration, wrote bool, f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quiet != nil || w.claimed {
		return
	}
	w.moved, w.wrote = time.Now(), wrote
	w.quiet = time.AfterFunc(d, func() {
		if w.isQuiet(d) {
			f()
		}
	})
}

func (w *Wire) isQuiet(d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := d - time.Since(w.moved)
	if !w.wrote || w.Writing() {
		left = d
	}
	switch {
	case w.quiet == nil: // it was stopped in this instant
		return false
	case left > 0:
		w.quiet.Reset(left)
		return false
	}
	w.quiet, w.claimed = nil, true
	return true
}

// StopQuiet takes AwaitQuiet back.
func (w *Wire) StopQuiet() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quiet != nil {
		w.quiet.Stop()
		w.quiet = nil
	}
}

// moves notes that something is read or written. The mutex is held.
func (w *Wire) moves() {
	if w.quiet != nil {
		w.moved = time.Now()
	}
}

// readFrom lets the kernel send a file over TCP.
func (w *Wire) readFrom(tcp *net.TCPConn, r io.Reader) (int64, error) {
	return w.writes(func() (int64, error) { return tcp.ReadFrom(r) })
}
