package grpcadapter

import (
	"errors"

	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

var errElsewhere = errors.New("grpcadapter: other code called GracefulStop or Stop of the gRPC server")

// servedListener is the Listener as grpc gets it. It tells when GracefulStop or Stop is called
// by other code: that closes it first, and Serve returns much later, when all RPCs have ended.
// Until then the process would be ready, and would accept no connection.
type servedListener struct {
	*Listener
	server *Server
}

// Close is that of the listener inside. If the end was not asked for, it triggers the shutdown
// before: Serve may return right after.
func (l *servedListener) Close() error {
	accepts := foreign.IsClosed(l.set.Accepting()) && !l.set.Closed() // otherwise the gRPC server was stopped before Serve
	if accepts && !l.set.Failed() && !l.server.ends() {               // for a failed Accept grpc closes it, too
		l.elsewhere.Store(true)
		l.server.tracker.Enter(inflight.Announced) // what is in flight counts
		if h := l.server.host.Load(); h != nil {
			(*h).Shutdown(errElsewhere)
		}
	}
	return l.Listener.Close()
}

// Close is that of the connection inside. It notes if grpc cuts off streams by it: Stop was called
// by other code, and not because the peer has gone.
func (c *conn) Close() error {
	if c.listener.elsewhere.Load() && !c.is(failed) && !c.Closing() && !c.streams.none() {
		c.listener.severed.Store(true)
	}
	return c.Conn.Close()
}

// isCut reports whether an RPC that ends now was cut off by a Stop of other code.
func (s *Server) isCut(r *rpc) bool {
	return s.listener != nil && s.listener.severed.Load() && r.Err() != nil
}

// ends reports whether the end of the server was asked for, of it or of another adapter of the
// gRPC server.
func (s *Server) ends() bool {
	_, triggered := s.timerAt()
	return triggered || s.draining.Load() || foreign.IsClosed(s.stopping)
}
