package httpadapter

import (
	"fmt"
	"github.com/lastcall-go/lastcall"
	"slices"
	"time"
)

// idleTime is for how long GracefulStop may go on after the last request before that
// is worth a note.
const idleTime = 500 * time.Millisecond

// InFlight returns the requests by the pattern of their route, as far as there were
// any in flight when the shutdown began or afterwards, and the calls into the
// listener and its connections that have not returned. A request whose handler has
// taken the connection over is a lastcall.WorkConn until that is closed and the
// handler has returned; where net/http has a *tls.Conn of the listener's, until the
// handler has returned. The numbers of the requests belong to one instant, those of the
// calls to one shortly before. It blocks only for as long as the function of
// [WithPattern] does, which it calls. It may be called at any time, for metrics, too.
func (s *Server) InFlight() []lastcall.Work {
	if s.isZero() {
		return nil
	}
	calls := s.foreign.Left()
	if !s.isDraining() { // it is to run
		calls = slices.DeleteFunc(calls, func(w lastcall.Work) bool { return w.Name == callServe })
	}
	return append(s.tracker.work(), calls...)
}

// Notes returns what the end of the server tells an operator. It is called by the
// controller.
func (s *Server) Notes() []string {
	if s.isZero() {
		return nil
	}
	var notes []string
	note := func(n int, one, many string) {
		switch {
		case n == 1:
			notes = append(notes, one)
		case n > 1:
			notes = append(notes, fmt.Sprintf(many, n))
		}
	}
	s.mu.Lock()
	silent, cut, lateness := s.silent, s.cut, s.lateness
	s.mu.Unlock()
	note(silent, "1 connection was closed on which no request had come: a port scanner, a TCP probe, or a client that connects in advance",
		"%d connections were closed on which no request had come: port scanners, TCP probes, or clients that connect in advance")
	note(cut, "1 connection survived Stop and was cut", "%d connections survived Stop and were cut")
	note(len(s.conns.all()), "1 connection is open", "%d connections are open")
	if lateness > idleTime {
		notes = append(notes, fmt.Sprintf("GracefulStop returned %v after the last request had ended: until then peers kept their connections open, or had not read their answers", lateness.Round(time.Millisecond)))
	}
	return notes
}

// LastArrival returns when the last request came since the announcement, leaving out
// probes and the like; without any, the instant of the announcement, or before that,
// when the Server was made.
func (s *Server) LastArrival() time.Time {
	if s.isZero() {
		return time.Time{}
	}
	return s.tracker.lastArrival()
}
