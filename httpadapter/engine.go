package httpadapter

import (
	"context"
	"crypto/tls"
	"errors"
	"github.com/lastcall-go/lastcall"
	"maps"
	"net"
	"net/http"
	"reflect"
)

// Two copies of the user's http.Server do the work. The front serves. The back never
// does: it only has the HTTP/2 server of net/http configured for itself, which the
// front then uses, so that its Shutdown sends the GOAWAYs. The front is never shut
// down, because net/http drops requests on connections of HTTP/1.1 that it reads in
// that moment; its SetKeepAlivesEnabled(false) has the same effect without that.

// copyOf returns an http.Server with the exported fields of another one.
func copyOf(srv *http.Server) *http.Server {
	dst := &http.Server{ReadHeaderTimeout: srv.ReadHeaderTimeout}
	from, to := reflect.ValueOf(srv).Elem(), reflect.ValueOf(dst).Elem()
	for i := range from.NumField() {
		if from.Type().Field(i).IsExported() {
			to.Field(i).Set(from.Field(i))
		}
	}
	dst.TLSConfig = srv.TLSConfig.Clone()
	dst.TLSNextProto = maps.Clone(srv.TLSNextProto)
	return dst
}

// newBack returns the server that has HTTP/2 configured.
func newBack(user *http.Server, secure bool) (*http.Server, error) {
	back := copyOf(user)
	back.BaseContext, back.ConnState, back.ConnContext = nil, nil, nil
	if back.TLSConfig == nil {
		back.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12} // never used
	}
	if !secure {
		back.TLSConfig.CipherSuites = nil // never used, and HTTP/2 has demands on them
	}
	back.TLSConfig.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errNobody }
	if err := back.ServeTLS(nobody{}, "", ""); !errors.Is(err, errNobody) {
		return nil, err
	}
	return back, nil
}

// nobody is a listener to which nobody comes.
type nobody struct{}

var errNobody = errors.New("httpadapter: nobody serves here")

func (nobody) Accept() (net.Conn, error) { return nil, errNobody }
func (nobody) Close() error              { return nil }
func (nobody) Addr() net.Addr            { return nil }

// newFront returns the server that serves.
func (s *Server) newFront(back *http.Server) *http.Server {
	front := copyOf(s.user)
	front.TLSNextProto = maps.Clone(back.TLSNextProto)
	for proto, serve := range front.TLSNextProto {
		front.TLSNextProto[proto] = s.conns.upgraded(proto, serve)
	}
	handler := front.Handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	if mux, ok := handler.(*http.ServeMux); ok {
		s.routeBy(mux)
	}
	front.Handler = &tracked{server: s, next: handler}
	connState := front.ConnState
	front.ConnState = func(c net.Conn, state http.ConnState) {
		s.conns.enters(c, state)
		if connState != nil {
			connState(outside(c), state)
		}
	}
	connContext := front.ConnContext
	front.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		ctx = context.WithValue(ctx, connKey{}, s.conns.of(c))
		if connContext != nil {
			return connContext(ctx, outside(c))
		}
		return ctx
	}
	baseContext := front.BaseContext
	front.BaseContext = func(net.Listener) context.Context {
		base := context.Background()
		if baseContext != nil {
			base = baseContext(s.inner)
			if base == nil {
				return nil // net/http says what is wrong
			}
		}
		return s.scope(base)
	}
	return front
}

// scope returns the context of all requests: with the Life, and with the end that
// Cancel and Stop give it.
func (s *Server) scope(base context.Context) context.Context {
	if l := s.life.Load(); l != nil {
		base = lastcall.NewContext(base, *l)
	}
	ctx, cancel := context.WithCancelCause(base)
	s.mu.Lock()
	s.cancel = cancel
	cause := s.cause
	s.mu.Unlock()
	if cause != nil {
		cancel(cause)
	}
	return ctx
}

// endContexts ends the contexts of all requests, once.
func (s *Server) endContexts(cause error) {
	s.mu.Lock()
	first := s.cause == nil
	if first {
		s.cause = cause
	}
	cancel := s.cancel
	s.mu.Unlock()
	if first && cancel != nil {
		cancel(cause)
	}
}

type connKey struct{}

// shutdown calls the functions that were registered with RegisterOnShutdown, and
// does not wait for them. It does not block but for a moment.
func shutdown(srv *http.Server) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = srv.Shutdown(over) // there are no connections, or somebody else's
}

// sendGoAways has every HTTP/2 connection send its GOAWAY that has not done so. It
// does not block.
func (s *Server) sendGoAways() {
	if _, back := s.servers(); back != nil {
		s.foreign.Run(callShutdown, func() { shutdown(back) })
	}
}
