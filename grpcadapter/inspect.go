package grpcadapter

import (
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/connset"
)

// idleTime is for how long GracefulStop may go on after the last RPC before that is
// worth a note.
const idleTime = 500 * time.Millisecond

// InFlight returns the RPCs of each method that has had any, and the calls into user code that
// have not returned. A call that writes an RPC's status is listed only once it has taken 10 ms.
// For a server from [Use] there are only such calls. The numbers of a method belong to one
// instant. InFlight does not block, and may be called at any time, also for metrics.
func (s *Server) InFlight() []lastcall.Work {
	if s.isZero() {
		return nil
	}
	calls := slices.DeleteFunc(s.foreign.Left(), func(w lastcall.Work) bool { // at the timer there is one for each RPC
		return w.Name == callStatus && time.Since(w.Oldest) < moment
	})
	return append(s.tracker.Work(func(r *rpc, w *lastcall.Work) { w.Peer = r.peerAddr() }), calls...)
}

// Notes returns what an operator should know about the server's end. It blocks for as long as
// RemoteAddr and LocalAddr of a connection do. The controller calls it.
func (s *Server) Notes() []string {
	if s.isZero() {
		return nil
	}
	var notes []string
	note := func(n int, one, many string) { notes = append(notes, connset.Counted(n, one, many)...) }
	if s.unknownHealth.Load() {
		notes = append(notes, "the gRPC server has a health service that went on saying SERVING: give it to grpcadapter.WithHealth, or say grpcadapter.WithoutHealth()")
	}
	served := false
	if s.listener != nil {
		served = s.listener.served.Load()
		counts := s.listener.set.Counts()
		note(counts.Silent, "1 connection had not finished its handshake and was closed: a port scanner, a TCP probe, or a client that connects in advance",
			"%d connections had not finished their handshake and were closed: port scanners, TCP probes, or clients that connect in advance")
		note(counts.Cut, "1 connection survived Stop and was cut", "%d connections survived Stop and were cut")
		note(counts.Open, "1 connection is open", "%d connections are open")
	}
	if found, refused := s.door.found.Load(), s.door.refused.Load(); found+refused > 0 {
		notes = append(notes, fmt.Sprintf("when the drain of this server began, %d RPCs were in flight over HTTP, and %d came later and were refused: register the http.Server with the controller, and put this server After it", found, refused))
	}
	switch {
	case !s.usedHTTP():
	case served:
		notes = append(notes, "RPCs came over HTTP and over the listener: as long as some are in flight over HTTP, clients of the listener are not sent away; use one Server for each")
	case !s.overHTTP && !s.complained.Load(): // they came later
		notes = append(notes, errOverHTTP.Error())
	}
	if lateness := time.Duration(s.lateness.Load()); lateness > idleTime {
		who := ""
		if s.listener != nil {
			if last := s.listener.ended.Load(); last != nil {
				who = ", the last one " + connset.Names([]net.Conn{last.NetConn()})[0]
			}
		}
		notes = append(notes, fmt.Sprintf("GracefulStop returned %v after the last RPC had ended: until then peers kept their connections open, or had not read their answers%s", lateness.Round(time.Millisecond), who))
	}
	return notes
}

// LastArrival returns when the last RPC since the announcement arrived; health, reflection and
// the like do not count. If there was none, it returns the instant of the announcement or,
// before that, the instant in which the Server was made. For a server from [Use] it returns the
// zero time. It does not block.
func (s *Server) LastArrival() time.Time {
	if s.isZero() || s.used {
		return time.Time{}
	}
	return s.tracker.LastArrival()
}
