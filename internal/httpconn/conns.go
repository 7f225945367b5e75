// Package httpconn knows the state of each connection of an http.Server, and closes the
// connection when that loses no request. It sees connections through ConnState, and through
// what is read and written on them. It uses only net/http's public API.
package httpconn

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/stacks"
)

// Options configure [Conns]. All are required, but LeaveHijacked.
type Options struct {
	// Owner is the name with which errors begin.
	Owner string
	// Calls runs and names the calls into the listener and its connections.
	Calls *foreign.Calls
	// HandshakeTime is how long a connection on which no request has come when the Set is
	// closed may still take for one.
	HandshakeTime time.Duration
	// LeaveHijacked keeps IsEmpty and Held from counting connections that were hijacked.
	LeaveHijacked bool
	// Changed is called when IsEmpty or Shaken may have changed. It must return at once.
	Changed func()
	// Elsewhere is called before net/http closes the listener by itself. It must return at once.
	Elsewhere func()
	// Linger returns for how long a peer may go on sending that was answered before.
	Linger func() time.Duration
}

// Conns are the connections of an http.Server. All methods may be called concurrently.
type Conns struct {
	*connset.Set
	opts     Options
	left     atomic.Int64 // hijacked connections that are left to those who have them
	leaving  atomic.Bool  // Mark or Drain was called
	draining atomic.Bool  // Drain was called
	told     atomic.Bool  // Tell was called

	elsewhere atomic.Bool // net/http has closed the listener by itself

	mu      sync.Mutex // guards through
	through map[*tls.Conn]*Conn
}

// New returns the connections that inner will accept.
func New(inner net.Listener, opts Options) *Conns {
	s := &Conns{opts: opts, through: map[*tls.Conn]*Conn{}}
	s.Set = connset.New(inner, connset.Options{
		Owner: opts.Owner, Calls: opts.Calls, HandshakeTime: opts.HandshakeTime, Wrap: s.wrap, Shaken: opts.Changed, Closed: s.closed,
	})
	return s
}

// Hook puts hooks around ConnState, ConnContext and the functions of TLSNextProto. Those of
// the user get the connections that the listener returned, or the *tls.Conn around those.
func (s *Conns) Hook(srv *http.Server) {
	connState, connContext := srv.ConnState, srv.ConnContext
	srv.ConnState = func(nc net.Conn, state http.ConnState) {
		c := s.of(nc)
		if c != nil {
			c.enters(nc, state)
		}
		if connState != nil {
			connState(c.users(nc), state)
		}
	}
	srv.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		c := s.of(nc)
		if connContext != nil {
			if ctx = connContext(ctx, c.users(nc)); ctx == nil {
				return nil // net/http says what is wrong
			}
		}
		return context.WithValue(stacks.Of(ctx, stacks.HTTP), key{}, c) // last: the user's may not be made from ctx
	}
	if next := maps.Clone(srv.TLSNextProto); len(next) > 0 {
		for proto, serve := range next {
			if proto != "h2" { // that one calls ConnState
				next[proto] = func(srv *http.Server, nc *tls.Conn, h http.Handler) {
					if c := s.of(nc); c != nil {
						c.leaves(other)
					}
					serve(srv, nc, h)
				}
			}
		}
		srv.TLSNextProto = next
	}
}

// key is the key of the *Conn in the contexts of requests.
type key struct{}

// Of returns the connection on which a request has come; nil if it is not one of these.
func (s *Conns) Of(req *http.Request) *Conn {
	if c, ok := req.Context().Value(key{}).(*Conn); ok && c != nil && c.conns == s {
		return c
	}
	return nil
}

// Listener returns the listener for net/http's Serve, or for ServeTLS if tls is set.
func (s *Conns) Listener(tls bool) net.Listener { return accepting{s, tls} }

type accepting struct {
	*Conns
	tls bool
}

// Close is called by net/http: if the Set is not closed, other code has called Shutdown or Close
// of the http.Server, or Accept has failed.
func (a accepting) Close() error {
	if !a.Closed() {
		a.elsewhere.Store(true)
		a.opts.Elsewhere()
	}
	return a.Conns.Close()
}

func (a accepting) Accept() (net.Conn, error) {
	c, err := a.Conns.Accept()
	if _, secured := c.(*tls.Conn); err == nil && secured && a.tls {
		_ = c.Close() // the error says why
		return nil, errors.New(a.opts.Owner + ": the listener returns a *tls.Conn, and WithTLS would put TLS into TLS: use WithoutTLS with this listener")
	}
	return c, err
}

// wrap returns a connection as net/http gets it. A *tls.Conn stays one: before Go 1.27
// net/http speaks HTTP/2 on nothing else.
func (s *Conns) wrap(set *connset.Conn) net.Conn {
	c := &Conn{Wire: &connset.Wire{Conn: set}, conns: s}
	secured, ok := set.NetConn().(*tls.Conn)
	if !ok {
		return connset.WithMethods(c)
	}
	c.through = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.through[secured] = c
	return secured
}

// of returns what is known of a connection that net/http has; nil if it is not one of ours.
func (s *Conns) of(nc net.Conn) *Conn {
	secured, ok := nc.(*tls.Conn)
	if ok {
		nc = secured.NetConn()
	}
	if c, ok := connset.WithoutMethods(nc).(*Conn); ok {
		return c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.through[secured]
}

// closed is called when a connection is closed.
func (s *Conns) closed(nc net.Conn) {
	c := s.of(nc)
	if secured, ok := nc.(*tls.Conn); ok {
		s.mu.Lock()
		delete(s.through, secured)
		s.mu.Unlock()
	}
	c.StopQuiet()
	c.letGo()
	s.opts.Changed()
}

// Drain closes the idle connections of HTTP/1.x from now on. Those on which something has
// come have as much time as those in their handshake. It blocks until the idle ones are
// closed, but at most for most. The bodies of requests that are answered end soon.
func (s *Conns) Drain(most time.Duration) {
	s.leaving.Store(true)
	s.draining.Store(true)
	var idle []func()
	for _, c := range s.all() {
		c.limitBody()
		if ends := c.drain(true); ends && c.Direct() {
			idle = append(idle, c.endHere)
		} else if ends {
			c.end()
		}
	}
	foreign.Within(s.opts.Calls.RunAll(callClose, idle), most)
}

// Shaken reports whether no connection is in its handshake, or idle with something that has
// come. After Drain that is final: net/http has given what it has read to handlers.
func (s *Conns) Shaken() bool { return s.Counts().Handshaking == 0 }

// Tell is called before Shutdown of the http.Server is, by which HTTP/2 sends GOAWAY: idle
// connections of HTTP/2 are closed from now on, once they are quiet.
func (s *Conns) Tell() {
	s.told.Store(true)
	for _, c := range s.all() {
		c.tell(false)
	}
}

// Mark forgets the requests that are over, for WasIdle of the connections. From now on
// answers may end their connections.
func (s *Conns) Mark() {
	s.leaving.Store(true)
	for _, c := range s.all() {
		c.mark()
	}
}

// IsEmpty reports whether no connection is open, or only those that are left. Once the Set
// is closed that is final.
func (s *Conns) IsEmpty() bool { return s.Len() == int(s.left.Load()) }

// Held returns the connections that are not closed, and not left; if hijacked is not set,
// only those that no handler has hijacked.
func (s *Conns) Held(hijacked bool) []*Conn {
	var held []*Conn
	for _, c := range s.all() {
		if (hijacked && !s.opts.LeaveHijacked) || !c.is(hijack) {
			held = append(held, c)
		}
	}
	return held
}

// all returns the connections that are not closed.
func (s *Conns) all() []*Conn {
	var all []*Conn
	for _, nc := range s.Conns() {
		if c := s.of(nc); c != nil { // it may have been closed since
			all = append(all, c)
		}
	}
	return all
}
