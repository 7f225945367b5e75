package grpcadapter

import (
	"fmt"
	"time"

	"github.com/lastcall-go/lastcall"
)

// idleTime is for how long GracefulStop may go on after the last RPC before that is
// worth a note.
const idleTime = 500 * time.Millisecond

// InFlight returns the RPCs of each method, as far as there were any in flight when
// the shutdown began or afterwards, and the calls into the listener and its
// connections that have not returned. A server from [Use] has only these. The
// numbers of a method belong to one instant. It may be called at any time, for
// metrics, too.
func (s *Server) InFlight() []lastcall.Work {
	if s.isZero() {
		return nil
	}
	work := s.foreign.Left()
	if s.listener != nil {
		work = append(work, s.listener.left()...)
	}
	return append(s.tracker.work(), work...)
}

// Notes returns what the end of the server tells an operator. It is called by the
// controller.
func (s *Server) Notes() []string {
	var notes []string
	note := func(n int, one, many string) {
		switch {
		case n == 1:
			notes = append(notes, one)
		case n > 1:
			notes = append(notes, fmt.Sprintf(many, n))
		}
	}
	if s.listener != nil {
		open, _ := s.listener.Connections()
		handshakes, cut := s.listener.closedEarly()
		note(handshakes, "1 connection had not finished its handshake and was closed: a port scanner, a TCP probe, or a client that connects in advance",
			"%d connections had not finished their handshake and were closed: port scanners, TCP probes, or clients that connect in advance")
		note(cut, "1 connection survived Stop and was cut", "%d connections survived Stop and were cut")
		note(open, "1 connection is open", "%d connections are open")
	}
	if found, refused := s.door.tooLate(); found+refused > 0 {
		notes = append(notes, fmt.Sprintf("when the drain of this server began, %d RPCs were in flight over HTTP, and %d came later and were refused: register the http.Server with the controller, and put this server Behind it", found, refused))
	}
	s.mu.Lock()
	lateness, complained := s.lateness, s.complained
	s.mu.Unlock()
	switch {
	case !s.usedHTTP():
	case s.listener != nil && s.listener.served():
		notes = append(notes, "RPCs came over HTTP and over the listener: as long as some are in flight over HTTP, clients of the listener are not told to go; use one Server for each")
	case !s.overHTTP && !complained: // they came later
		notes = append(notes, errOverHTTP.Error())
	}
	if lateness > idleTime {
		notes = append(notes, fmt.Sprintf("GracefulStop returned %v after the last RPC had ended: until then peers kept their connections open, or had not read their answers", lateness.Round(time.Millisecond)))
	}
	return notes
}

// LastArrival returns when the last RPC came since the announcement, leaving out
// health, reflection and the like; without any, the instant of the announcement, or
// before that, when the Server was made. For a server from [Use] it is zero.
func (s *Server) LastArrival() time.Time {
	if s.foreignBuilt || s.isZero() {
		return time.Time{}
	}
	return s.tracker.lastArrival()
}
