package grpcadapter

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

// Streams that never end by themselves would hold the drain until the timer. The
// adapter ends them in the drain: once their last message is out, each gets a
// status, as in phase cancel.

// The health service, and its method whose stream never ends.
const (
	healthService = "grpc.health.v1.Health"
	watchMethod   = healthpb.Health_Watch_FullMethodName
)

const (
	// lastMessageTime bounds the wait for the last message of an endless stream.
	lastMessageTime = time.Second
	// watchTime bounds for how long health Watches that have not sent NOT_SERVING hold
	// the GOAWAYs back.
	watchTime = 100 * time.Millisecond
)

// endlessMethods returns the methods whose streams are known never to end by themselves.
func endlessMethods() []string {
	return []string{
		watchMethod,
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
		"/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics",
		"/envoy.service.status.v3.ClientStatusDiscoveryService/StreamClientStatus",
	}
}

// WithEndlessStreams names methods ("/package.Service/Method") whose streams go on for as long
// as the client likes, and whose handlers do not look at lastcall.Draining. The adapter already
// knows Watch of the health service, server reflection, ORCA's load reports and xDS client
// status.
//
// Such streams end with Unavailable in the drain, each one when it is idle. A handler that
// reads requests is idle while it waits for the next one; another handler is idle while it is
// not sending. From then on the handler gets no request, and its SendMsg and RecvMsg return an
// error. So a request that the handler was given is answered, if that takes less than a second,
// and those behind it are not begun. After a second the stream ends in any case.
//
// They end when phase drain begins, even if the server is After others whose handlers may hold
// such streams; only a Watch waits for GracefulStop. A method that the server does not have, or
// that is not a stream, is an error from Serve.
func WithEndlessStreams(methods ...string) Option {
	return func(s *Server) {
		if len(methods) == 0 {
			s.fail("WithEndlessStreams was given no method")
		}
		for _, m := range methods {
			service, name, ok := strings.Cut(strings.TrimPrefix(m, "/"), "/")
			if !strings.HasPrefix(m, "/") || !ok || service == "" || name == "" || strings.Contains(name, "/") {
				s.fail("WithEndlessStreams was given %q, which is not a method: write \"/package.Service/Method\"", m)
				continue
			}
			s.endless = append(s.endless, m)
			s.userEndless = append(s.userEndless, m)
		}
	}
}

// WithSpread spreads the endings of endless streams evenly over a window from the
// beginning of the drain, so that their clients do not come back to the other
// servers at the same time. At most half of the time to the timer is used. A
// negative window is an error from controller.New.
func WithSpread(window time.Duration) Option {
	return func(s *Server) {
		if window < 0 {
			s.fail("WithSpread was given %v; a window is not negative", window)
			return
		}
		s.checkUnit("WithSpread", window)
		s.spread = window
	}
}

// checkEndless returns what is wrong with the user's list, given the methods that
// the server has.
func (s *Server) checkEndless(methods map[string]*method) error {
	for _, name := range s.userEndless {
		switch m, ok := methods[name]; {
		case !ok:
			return fmt.Errorf("grpcadapter: WithEndlessStreams was given %q, but the server has no such method", name)
		case !m.endless:
			return fmt.Errorf("grpcadapter: WithEndlessStreams was given %q, which is a unary method", name)
		}
	}
	return nil
}

// endlessStream knows when nothing of it would be lost.
type endlessStream struct {
	*stream
	asks   bool      // the handler reads requests and answers them
	turn   time.Time // when endOne is to end it; zero: not before the drain. Guarded by the Server's mutex, as what follows
	ending bool      // endOne was called

	mu    sync.Mutex
	busy  bool          // an answer is on its way, or the request not there yet
	up    bool          // a health Watch whose last message was SERVING
	down  chan struct{} // nil: not asked for; closed when a health Watch is not up
	taken chan struct{} // nil: not asked for; closed when the stream was idle, and so is concluded
}

func newEndlessStream(s *stream, asks bool) *endlessStream {
	e := &endlessStream{stream: s, asks: asks, up: s.rpc.method.watch}
	s.rpc.own.endless = e
	return e
}

// RecvMsg notes when the handler waits for the next request. One that comes when the
// stream has been concluded is not given to the handler.
func (e *endlessStream) RecvMsg(m any) error {
	if !e.set(func() { e.busy = e.busy && !e.asks }) {
		return leaving().Err()
	}
	err := e.stream.RecvMsg(m)
	if !e.set(func() { e.busy = e.busy || e.asks }) {
		return leaving().Err()
	}
	return err
}

// SendMsg notes when a message is with grpc, which sends it before any status.
func (e *endlessStream) SendMsg(m any) error {
	if !e.set(func() { e.busy = e.busy || !e.asks }) {
		return leaving().Err()
	}
	err := e.stream.SendMsg(m)
	_ = e.set(func() { // the message is with grpc, also if the stream is over with it
		if !e.asks {
			e.busy = false
		}
		if h, ok := m.(*healthpb.HealthCheckResponse); ok && e.rpc.method.watch {
			e.up = h.GetStatus() == healthpb.HealthCheckResponse_SERVING
			e.tellDown()
		}
	})
	return err
}

// set changes something, and concludes the stream in the same step if it is idle then
// and the drain waits for that. It reports whether the stream goes on.
func (e *endlessStream) set(change func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.rpc.is(running) {
		return false
	}
	change()
	return !e.take()
}

// take concludes the stream if it is idle and the drain waits for that; its status is
// still to be written. The mutex is held.
func (e *endlessStream) take() bool {
	if e.taken == nil || e.busy || e.up || !e.rpc.leave(concluded) {
		return false
	}
	close(e.taken)
	return true
}

// wentDown returns a channel that is closed when the last message of a health Watch is not
// SERVING. It is always the same channel.
func (e *endlessStream) wentDown() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down == nil {
		e.down = make(chan struct{})
		e.tellDown()
	}
	return e.down
}

// tellDown closes the channel of wentDown. The mutex is held.
func (e *endlessStream) tellDown() {
	if e.down != nil && !e.up && !foreign.IsClosed(e.down) {
		close(e.down)
	}
}

// takeWhenIdle returns a channel that is closed when the stream was concluded because
// it was idle, which may be now. It is called once, and stopTaking afterwards.
func (e *endlessStream) takeWhenIdle() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.taken = make(chan struct{})
	e.take()
	return e.taken
}

// stopTaking ends what takeWhenIdle has begun, and reports whether the stream was
// concluded.
func (e *endlessStream) stopTaking() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := foreign.IsClosed(e.taken)
	e.taken = nil
	return taken
}

// endlessInFlight returns the streams in flight that never end by themselves, those that
// began first in front.
func (s *Server) endlessInFlight() []*endlessStream {
	var all []*endlessStream
	for _, r := range s.tracker.InFlight() {
		if r.own != nil && r.own.endless != nil {
			all = append(all, r.own.endless)
		}
	}
	slices.SortFunc(all, func(a, b *endlessStream) int { return cmp.Compare(a.rpc.Began(), b.rpc.Began()) })
	return all
}

// awaitDrain ends the endless streams when phase drain begins. GracefulStop is called then
// as well, unless the server is After another one: what that one waits for may be such a
// stream, through a gateway.
func (s *Server) awaitDrain() {
	if s.tracker.Host() == nil || !s.tracked.Load() {
		return
	}
	go func() {
		select {
		case <-s.tracker.Life().Draining():
			s.endEndless(false)
		case <-s.begun:
		case <-s.stopping:
		}
	}()
}

// endEndless ends the endless streams, each on a goroutine of its own, and returns
// at once. Those that come later are refused. Watches of the health service wait until
// GracefulStop has told them: their clients send no more RPCs after that.
func (s *Server) endEndless(watches bool) {
	window := s.tracker.Within(s.spread)
	s.ending.Lock()
	defer s.ending.Unlock()
	streams, now := s.endlessInFlight(), time.Now()
	for i, e := range streams {
		if e.turn.IsZero() {
			e.turn = now.Add(window * time.Duration(i) / time.Duration(len(streams)))
		}
		if !e.ending && (watches || !e.rpc.method.watch) {
			e.ending = true
			go s.endOne(e, e.turn.Sub(now))
		}
	}
}

// endOne ends a stream after a time, in its next idle moment.
func (s *Server) endOne(e *endlessStream, wait time.Duration) {
	over := e.rpc.own.Done() // ends with the RPC
	if wait > 0 && foreign.Either(over, s.forced, wait) {
		return
	}
	limit := time.NewTimer(lastMessageTime)
	defer limit.Stop()
	late := false
	select {
	case <-e.takeWhenIdle():
	case <-limit.C:
		late = true
	case <-over:
	case <-s.forced:
	}
	if e.stopTaking() || late && e.rpc.leave(concluded) {
		s.foreign.Run(callStatus, func() { e.rpc.tell(leaving(), lastcall.ErrDraining) })
	}
}

var (
	_ grpc.ServerStream = (*endlessStream)(nil)
	_ context.Context   = (*rpc)(nil)
)
