package grpcadapter

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// Option configures a [Server].
type Option func(*Server)

// mistakes are what is wrong with arguments. The zero value is ready; any number of
// goroutines may use it.
type mistakes struct {
	mu   sync.Mutex
	errs []error
}

// fail notes an error for Check.
func (m *mistakes) fail(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errs = append(m.errs, fmt.Errorf("grpcadapter: "+format, args...))
}

// checkUnit notes an error for a duration whose unit was forgotten.
func (m *mistakes) checkUnit(what string, d time.Duration) {
	if err := foreign.CheckUnit(what, d); err != nil {
		m.fail("%w", err)
	}
}

// err returns all of them as one error, or nil.
func (m *mistakes) err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.errs...)
}

// settings are what options set; they do not change afterwards.
type settings struct {
	used        bool // by Use
	ready       <-chan struct{}
	health      interface{ Shutdown() } // see WithHealth
	noHealth    bool
	endless     []string // the methods whose streams the drain ends
	userEndless []string // those that WithEndlessStreams gave
	spread      time.Duration
	pushback    string
	ownContexts bool
	overHTTP    bool
}

// intercepting returns the options given that need the interceptors.
func (s *settings) intercepting() []string {
	var names []string
	for name, set := range map[string]bool{
		"WithEndlessStreams": len(s.userEndless) > 0, "WithSpread": s.spread > 0,
		"WithRetryPushback": s.pushback != "", "WithUnaryContexts": s.ownContexts,
	} {
		if set {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// WithListener makes a Server from [Use] serve on the listener, through
// [WrapListener]. A nil listener, or a second one, is an error from controller.New.
func WithListener(lis net.Listener) Option {
	return func(s *Server) {
		if foreign.IsNil(lis) {
			s.fail("the listener is nil")
			return
		}
		if s.listener != nil {
			s.fail("there are two listeners; a Server serves on one")
			return
		}
		wrapped, ok := lis.(*Listener)
		switch {
		case !ok:
			wrapped = WrapListener(lis)
		case wrapped.isZero():
			s.fail("a Listener that was not made by WrapListener")
			return
		}
		s.listener, s.foreign = wrapped, &wrapped.foreign
	}
}

// WithReady makes the server count as accepting work once the channel is closed, instead of
// when Accept is called. An xds server accepts connections and closes them until its
// configuration has come. So close the channel when its serving mode is SERVING for the first
// time, in the callback given to xds.ServingModeCallback. A nil channel is an error from
// controller.New.
func WithReady(ready <-chan struct{}) Option {
	return func(s *Server) {
		if ready == nil {
			s.fail("WithReady was given a nil channel; it has to be closed once the server accepts work")
		}
		if s.ready != nil {
			s.fail("WithReady was given twice")
		}
		s.ready = ready
	}
}

// WithUnaryContexts gives every unary RPC a context of its own. It ends at the timer with the
// cause lastcall.ErrTimer, and so do contexts that a handler derives from it. Without this
// option a unary handler has grpc's context, for which context.Cause returns context.Canceled.
// Streams always have a context of their own. What it costs is in docs/hazards.md.
func WithUnaryContexts() Option { return func(s *Server) { s.ownContexts = true } }
