package grpcadapter

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

// Listener is a net.Listener for a gRPC server that is going to be stopped, with or without
// a controller. It keeps what it wraps, and peers that connect and then say nothing, from
// holding the server's GracefulStop and Stop:
//
//   - Its Close does not block, and from then on Accept returns net.ErrClosed,
//     whatever the listener inside does.
//   - Connections whose handshake is not over when Close is called are given
//     [HandshakeTime] to finish it, counted from Close, and are then closed.
//   - Close of a connection does not block, so connections that close slowly are
//     closed side by side.
//
// It is for gRPC: a handshake is over when the server resets the deadline that it
// has set for it, which *grpc.Server and *xds.GRPCServer do. Credentials that set and
// reset a deadline of their own in their handshake are taken for the server, and a
// peer that then says nothing holds GracefulStop as it would without the Listener.
// [Credentials] prevents that. All methods may be called concurrently.
type Listener struct {
	set           *connset.Set
	handshakeTime time.Duration
	userTimeout   time.Duration
	mistakes                                    // in what WrapListener was given
	served        atomic.Bool                   // a handshake was over
	ended         atomic.Pointer[conn]          // the last connection that was closed
	waiting       connset.Waiting               // for grpc to begin their handshakes
	written       atomic.Pointer[chan struct{}] // nil: awaitGoAways does not wait
	elsewhere     atomic.Bool                   // other code has called GracefulStop or Stop
	severed       atomic.Bool                   // it was Stop
	foreign       foreign.Calls
}

// ListenerOption configures a [Listener].
type ListenerOption func(*Listener)

// HandshakeTime sets how long connections that are in their handshake when the listener is
// closed may still take, counted from then. It must be positive; the default is one second. If
// a peer says nothing, GracefulStop lasts that long, and clients get their GOAWAY only then. So
// under a controller at most half of the time to the timer is used.
func HandshakeTime(d time.Duration) ListenerOption {
	return func(l *Listener) {
		if d <= 0 {
			l.fail("HandshakeTime is %v; it has to be more than zero", d)
			return
		}
		l.checkUnit("HandshakeTime", d)
		l.handshakeTime = d
	}
}

// UserTimeout sets TCP_USER_TIMEOUT on TCP connections, on Linux: how long sent data may
// stay unacknowledged until the connection counts as dead. grpc sets it itself, to the
// Timeout of its keepalive.ServerParameters, but only if the listener is not wrapped; if
// you set that, set this as well. The default is grpc's, 20 seconds. Zero leaves
// connections as they are; less is an error.
func UserTimeout(d time.Duration) ListenerOption {
	return func(l *Listener) {
		if d < 0 {
			l.fail("UserTimeout is %v; it has to be zero or more", d)
			return
		}
		l.checkUnit("UserTimeout", d)
		l.userTimeout = d
	}
}

// WrapListener returns a Listener that accepts what lis accepts, and closes lis when it is
// closed. Wrong arguments are an error from Accept, and from controller.New.
func WrapListener(lis net.Listener, opts ...ListenerOption) *Listener {
	l := &Listener{handshakeTime: time.Second, userTimeout: 20 * time.Second}
	if foreign.IsNil(lis) {
		l.fail("the listener is nil")
		lis = nil
	}
	for _, opt := range opts {
		if opt == nil {
			l.fail("an option of the listener is nil")
			continue
		}
		opt(l)
	}
	l.set = connset.New(lis, connset.Options{
		Owner: "grpcadapter", Calls: &l.foreign, HandshakeTime: l.handshakeTime, Accepted: l.limitAcks, Wrap: l.wrap,
		Closed: func(c net.Conn) {
			tracked(c).begin()
			l.ended.Store(tracked(c))
		},
	})
	return l
}

// problems returns what was wrong with the arguments of WrapListener, or nil.
func (l *Listener) problems() error {
	if l.isZero() {
		return errors.New("grpcadapter: a Listener that was not made by WrapListener")
	}
	return l.err()
}

// isZero reports whether the Listener was not made by WrapListener.
func (l *Listener) isZero() bool { return l.set == nil }

// Accept blocks until there is a connection, or until Close is called, and then returns
// net.ErrClosed. If Accept of the listener inside panics, that is an error.
func (l *Listener) Accept() (net.Conn, error) {
	if err := l.problems(); err != nil {
		return nil, err
	}
	return l.set.Accept()
}

// limitAcks sets the user timeout. A connection that is not of package net is asked for
// its descriptor on another goroutine, as its methods may hang.
func (l *Listener) limitAcks(c net.Conn) {
	if l.userTimeout <= 0 {
		return
	}
	switch c.(type) {
	case *net.TCPConn:
		setUserTimeout(c, l.userTimeout)
	case *net.UnixConn: // has no such thing
	default:
		l.foreign.Run(connset.CallSyscallConn, func() { setUserTimeout(c, l.userTimeout) })
	}
}

// Close makes Accept return and closes the listener inside. It waits at most 0.2 s for that,
// and only for a listener of package net. It closes a listener even if its descriptor was taken
// with File().Fd(). It removes the file of a unix socket, unless that has become another
// socket's. Connections that are past their handshake stay open. A second call does nothing.
// Close returns nil.
func (l *Listener) Close() error {
	if l.isZero() {
		return nil
	}
	return l.set.Close()
}

// Addr returns the address of the listener inside.
func (l *Listener) Addr() net.Addr {
	if l.isZero() {
		return (*connset.Listener)(nil).Addr()
	}
	return l.set.Addr()
}

// SyscallConn returns that of the listener inside, for grpc's channelz, or
// errors.ErrUnsupported if it has none.
func (l *Listener) SyscallConn() (syscall.RawConn, error) {
	if l.isZero() {
		return nil, errors.ErrUnsupported
	}
	return l.set.SyscallConn()
}
