package grpcadapter

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

// The names under which a report has calls that do not return.
const (
	callCloseConn   = "net.Conn.Close"
	callSyscallConn = "net.Conn.SyscallConn"
)

// Listener is a net.Listener for a gRPC server that is going to be stopped. It
// keeps what it wraps, and peers that connect and then say nothing, from holding
// the server's GracefulStop and Stop:
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
// peer that then says nothing holds GracefulStop as it would without the Listener;
// not so if they are given to [Listener.Credentials]. All methods may be called by any
// number of goroutines.
type Listener struct {
	inner         *connset.Listener // does not hang
	handshakeTime time.Duration
	userTimeout   time.Duration
	errs          []error // what was wrong with what WrapListener was given

	foreign  foreign.Calls
	emptied  chan struct{} // see drained
	finished chan struct{} // see closed

	mu          sync.Mutex // guards what is below; never held while foreign code is called
	isClosed    bool
	refusing    bool // closeHandshakes was called
	timer       *time.Timer
	conns       map[*conn]struct{} // all whose Close has not returned
	open        int                // of these, Close was not called for
	greeted     bool               // a handshake was over
	handshaking int                // of these, in their handshake
	silent, cut int                // see closedEarly
	silentUntil time.Time          // see heldUntil
	told        chan struct{}      // see watchGoAways; nil before
	telling     bool               // beginTelling has counted
	untold      int                // connections whose GOAWAY is awaited
}

// ListenerOption says more about a [Listener].
type ListenerOption func(*Listener)

// HandshakeTime is how long connections that are in their handshake when the
// listener is closed may still take, counted from then. It is more than zero; the
// default is one second. GracefulStop lasts that long if a peer says nothing, and
// clients are told to go only then; so under a controller at most half of the time
// to the timer is used.
func HandshakeTime(d time.Duration) ListenerOption {
	return func(l *Listener) {
		if d <= 0 {
			l.errs = append(l.errs, fmt.Errorf("grpcadapter: HandshakeTime is %v; it has to be more than zero", d))
			return
		}
		l.handshakeTime = d
	}
}

// UserTimeout sets TCP_USER_TIMEOUT on TCP connections, where there is such a
// thing: how long sent data may stay unacknowledged until the connection counts as
// dead. grpc sets it itself, to the Timeout of its keepalive.ServerParameters, but
// only if the listener is not wrapped; whoever sets that sets this too. The default
// is grpc's, 20 seconds. Zero leaves connections as they are; less is an error.
func UserTimeout(d time.Duration) ListenerOption {
	return func(l *Listener) {
		if d < 0 {
			l.errs = append(l.errs, fmt.Errorf("grpcadapter: UserTimeout is %v; it has to be zero or more", d))
			return
		}
		l.userTimeout = d
	}
}

// WrapListener returns a Listener that accepts what lis accepts, and closes lis
// when it is closed. What is wrong with the arguments is an error from Accept.
func WrapListener(lis net.Listener, opts ...ListenerOption) *Listener {
	l := &Listener{
		handshakeTime: time.Second,
		userTimeout:   20 * time.Second,
		emptied:       make(chan struct{}),
		finished:      make(chan struct{}),
		conns:         map[*conn]struct{}{},
	}
	if foreign.IsNil(lis) {
		l.errs = append(l.errs, errors.New("grpcadapter: the listener is nil"))
		lis = nil
	}
	l.inner = connset.NewListener(lis, "grpcadapter", &l.foreign, connset.Hooks{
		Accepted: l.limitAcks,
		Late:     func(c net.Conn) { l.admit(c) },
	})
	for _, opt := range opts {
		if opt == nil {
			l.errs = append(l.errs, errors.New("grpcadapter: an option of the listener is nil"))
			continue
		}
		opt(l)
	}
	return l
}

// problems returns what was wrong with the arguments of WrapListener, or nil.
func (l *Listener) problems() error {
	if l.isZero() {
		return errors.New("grpcadapter: a Listener that was not made by WrapListener")
	}
	return errors.Join(l.errs...)
}

// isZero says whether the Listener was not made by WrapListener.
func (l *Listener) isZero() bool { return l.inner == nil }

// Accept blocks until there is a connection or Close is called, and returns
// net.ErrClosed then. An Accept of the listener inside that panics is an error.
func (l *Listener) Accept() (net.Conn, error) {
	if err := l.problems(); err != nil {
		return nil, err
	}
	for {
		inner, err := l.inner.Accept()
		if err != nil {
			return nil, err
		}
		if c, ok := l.admit(inner); ok {
			return c, nil
		}
	}
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
		l.foreign.Run(callSyscallConn, func() { setUserTimeout(c, l.userTimeout) })
	}
}

// Close makes Accept return and closes the listener inside, without waiting for a
// Close that takes its time. Connections that are past their handshake stay. A
// second call does nothing and returns nil.
func (l *Listener) Close() error {
	if !l.beginClose() {
		return nil
	}
	return l.inner.Close()
}

// beginClose reports whether this was the first call.
func (l *Listener) beginClose() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed || l.isZero() {
		return false
	}
	l.isClosed = true
	if l.handshaking > 0 {
		l.timer = time.AfterFunc(l.handshakeTime, l.cutHandshakes)
	}
	l.settle()
	return true
}

// Addr returns the address of the listener inside.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// SyscallConn returns that of the listener inside, for grpc's channelz, or
// errors.ErrUnsupported if it has none.
func (l *Listener) SyscallConn() (syscall.RawConn, error) { return l.inner.SyscallConn() }

// left returns the calls of the listener into foreign code that have not returned.
// An Accept is one of them for as long as the listener is served.
func (l *Listener) left() []lastcall.Work { return l.foreign.Left() }
