package controller

import (
	"errors"
	"net"
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
	returned chan struct{} // closed when Serve has returned
}

func newOnListener(lis net.Listener) *onListener {
	return &onListener{
		returned: make(chan struct{}),
		Listener: connset.NewListener(lis, "controller", new(foreign.Calls), connset.Hooks{}),
	}
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
		return !l.Failed() // for which the server closes it as well
	case <-l.returned:
	case <-over:
	}
	return false
}
