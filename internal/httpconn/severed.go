package httpconn

// Handles is called when a handler begins, with 1, and when it has returned, with -1.
func (c *Conn) Handles(n int32) { c.handlers.Add(n) }

// Unfinished reports whether the end of the connection is that of an answer which is not all
// written, as its handler runs, or net/http still writes.
func (c *Conn) Unfinished() bool {
	return c.UntilClose.Load() && (c.handlers.Load() > 0 || c.Writing())
}

// Severed reports whether Close was called while a handler ran, by Close of the http.Server, and
// not because the peer has gone. That of HTTP/1.x net/http calls itself when a write has failed;
// and that of HTTP/2 also when a read has, or a ping is not answered, so there net/http has to
// have closed its listener before.
func (c *Conn) Severed() bool { return c.severed.Load() }

func (c *Conn) noteSevered() {
	if c.handlers.Load() == 0 || c.Closing() || c.Broken() {
		return
	}
	c.mu.Lock()
	http2, hijacked := c.http2.Load(), c.phase == hijack
	c.mu.Unlock()
	if !hijacked && (!http2 || c.conns.elsewhere.Load() && !c.failed.Load()) {
		c.severed.Store(true)
	}
}
