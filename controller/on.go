package controller

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

var errElsewhere = errors.New("the server has closed its listener: other code called GracefulStop or Stop of it")

// onListener is the listener of [On], as the server gets it. It tells when GracefulStop or Stop
// is called by other code: that closes it first, and Serve of a gRPC server returns when all
// RPCs have ended. Until then the process would be ready, and would accept no connection.
type onListener struct {
	*connset.Listener
	failed   atomic.Bool   // Accept has returned an error, for which the server may close it as well
	returned chan struct{} // closed when Serve has returned
}

func newOnListener(lis net.Listener) *onListener {
	calls := new(foreign.Calls)
	return &onListener{
		returned: make(chan struct{}),
		Listener: connset.NewListener(lis, "controller", calls, connset.Hooks{Late: func(late net.Conn) {
			calls.Run("net.Conn.Close", func() { _ = late.Close() }) // nothing has seen it
		}}),
	}
}

// Accept is that of the listener inside.
func (l *onListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	l.failed.Store(err != nil && !l.Closed())
	return c, err
}

// closedByServer blocks until the server has closed the listener, and has not returned from
// Serve a moment later, which would be a trigger; or until over is closed. It reports whether
// it was the first.
func (l *onListener) closedByServer(over <-chan struct{}) bool {
	select {
	case <-l.Closing():
	case <-over:
		return false
	}
	limit := time.NewTimer(grace)
	defer limit.Stop()
	select {
	case <-limit.C:
		return !l.failed.Load()
	case <-l.returned:
	case <-over:
	}
	return false
}
