package httpadapter

import (
	"fmt"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/httpconn"
)

// idleTime is for how long GracefulStop may go on after the last request before that is
// worth a note.
const idleTime = 500 * time.Millisecond

// InFlight returns the requests of each pattern, and the calls into user code and net/http that
// have not returned. A request whose handler has taken the connection over is a
// lastcall.WorkConn until the connection is closed and the handler has returned. Requests
// without a known pattern come with the path of the oldest one, without its query. InFlight may
// be called at any time, and does not block.
func (s *Server) InFlight() []lastcall.Work {
	s = s.made()
	work := s.tracker.Work((*request).describe)
	serves := !s.conns.Closed() // and Shutdown is to wait for requests
	busy := slices.ContainsFunc(work, func(w lastcall.Work) bool { return w.Running > 0 })
	return append(work, slices.DeleteFunc(s.calls.Left(), func(w lastcall.Work) bool {
		return w.Name == callServe && serves || w.Name == callShutdown && busy
	})...)
}

// Notes returns what an operator should know about the server's end. The controller calls it.
func (s *Server) Notes() (notes []string) {
	s = s.made()
	note := func(n int, one, many string) { notes = append(notes, connset.Counted(n, one, many)...) }
	counts := s.conns.Counts()
	note(counts.Silent, "1 connection was closed on which no request had come: a port scanner, a TCP probe, or a client that connects in advance",
		"%d connections were closed on which no request had come: port scanners, TCP probes, or clients that connect in advance")
	note(counts.Cut, "1 connection survived Stop and was cut", "%d connections survived Stop and were cut")
	note(int(s.severed.Load()), "other code called Close of the http.Server, which cut off 1 request", "other code called Close of the http.Server, which cut off %d requests")
	note(s.conns.Len(), "1 connection is open", "%d connections are open")
	if lateness := time.Duration(s.lateness.Load()); lateness > idleTime {
		notes = append(notes, fmt.Sprintf("GracefulStop returned %v after the last request had ended: until then peers kept their connections open", lateness.Round(time.Millisecond)))
	}
	return notes
}

// IdlePeers returns the connections that keep GracefulStop from returning, if no request is in
// flight. It returns true if none of these connections has had a request since the
// announcement, not even the beginning of one. It blocks for as long as RemoteAddr and
// LocalAddr of the connections do. The controller calls it.
func (s *Server) IdlePeers() (connections []string, idle bool) {
	if s = s.made(); len(s.errs) > 0 || len(s.tracker.InFlight()) > 0 {
		return nil, false
	}
	held := s.conns.Held(true)
	return connset.Names(held), !slices.ContainsFunc(held, func(c *httpconn.Conn) bool { return !c.WasIdle() })
}

// LastArrival returns when the last request since the announcement arrived; probes and the like
// do not count. If there was none, it returns the instant of the announcement or, before that,
// the instant in which the Server was made.
func (s *Server) LastArrival() time.Time {
	s = s.made()
	return s.tracker.LastArrival()
}
