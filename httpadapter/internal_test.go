package httpadapter

// What the tests, which are outside, see of the inside.

// Reading returns on how many idle connections net/http waits for a request.
func (s *Server) Reading() (n int) {
	for _, c := range s.conns.all() {
		c.mu.Lock()
		if c.phase == idle && c.reading.Load() {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

// Drains says whether idle connections have been closed.
func (s *Server) Drains() bool { return s.draining.Load() }
