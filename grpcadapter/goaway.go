package grpcadapter

import (
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// awaitGoAways blocks until grpc's GracefulStop has written a GOAWAY to every connection
// with a stream, and for moment more if there are connections of which that cannot be known.
// It gives up when GracefulStop has returned, when the drain is forced, and when handshakes
// have had their time. A peer that does not read holds its GOAWAY back, and after moment no
// longer what the others are told.
func (s *Server) awaitGoAways(returned <-chan struct{}) {
	known := true
	if l := s.listener; l != nil {
		limit := time.NewTimer(l.handshakeTime + moment)
		defer limit.Stop()
		tick := time.NewTicker(moment)
		defer tick.Stop()
		written := make(chan struct{}, 1)
		l.written.Store(&written)
		defer l.written.Store(nil)
		for left := l.conns(); len(left) > 0; {
			if away, knows := left[0].streams.wentAway(); away || !knows {
				left, known = left[1:], known && knows
				continue
			}
			select {
			case <-written:
			case <-tick.C:
				left = slices.DeleteFunc(left, func(c *conn) bool { return c.writing.Load() > 0 })
			case <-returned:
				return
			case <-s.forced:
				return
			case <-limit.C:
				return
			}
		}
	}
	if !known || s.listener == nil {
		foreign.Either(returned, s.forced, moment)
	}
}

// tellWritten tells awaitGoAways, if it waits, that something was written.
func (l *Listener) tellWritten() {
	if written := l.written.Load(); written != nil {
		select {
		case *written <- struct{}{}:
		default:
		}
	}
}
