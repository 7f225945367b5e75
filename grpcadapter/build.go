package grpcadapter

import (
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// NewServer returns a grpc.Server with [Server.ServerOptions] of the options. Register services
// on it, also a health service of your own if you have one ([WithHealth]), and leave Serve to
// the controller. Right before it serves, the adapter registers a health service if there is
// none; to do that on a server that already serves would make grpc end the process. A second
// call of NewServer, and a call after Use or Adopt, is an error from controller.New.
func (s *Server) NewServer(opts ...grpc.ServerOption) *grpc.Server {
	srv := grpc.NewServer(s.ServerOptions(opts...)...)
	s.take("NewServer", srv)
	return srv
}

// ServerOptions returns the options with the adapter's interceptors in front of the chained
// ones. It is for servers with a constructor of their own, which are then given to
// [Server.Adopt]:
//
//	srv, err := xds.NewGRPCServer(g.ServerOptions(creds)...)
//	...
//	g.Adopt(srv)
//
// Interceptors, taps and stats handlers among the options work as without the adapter. But an
// interceptor that is set with grpc.UnaryInterceptor or grpc.StreamInterceptor runs before
// every chained interceptor, and so before the adapter's. While an RPC waits in it, the RPC is
// not counted, gets no status at the timer, and its context carries no lastcall.Draining. With
// grpc.ChainUnaryInterceptor and grpc.ChainStreamInterceptor it is counted, and has both. A nil
// option is an error from controller.New.
func (s *Server) ServerOptions(opts ...grpc.ServerOption) []grpc.ServerOption {
	if s.isZero() {
		return opts // Check says what is wrong
	}
	s.tracked.Store(true)
	all := []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
	}
	for i, opt := range opts {
		if foreign.IsNil(opt) {
			s.fail("option %d of the gRPC server is nil", i+1) // grpc would panic
			continue
		}
		all = append(all, opt)
	}
	return all
}

// Adopt takes a server that was built with [Server.ServerOptions]. What [Server.NewServer] says
// of services and Serve holds for it. A nil server, a server that was built without
// ServerOptions, and a second server are errors from controller.New.
func (s *Server) Adopt(srv GRPCServer) {
	if foreign.IsNil(srv) {
		s.fail("Adopt was given a nil server")
		return
	}
	s.take("Adopt", srv)
}

func (s *Server) take(how string, srv GRPCServer) {
	switch {
	case s.isZero(): // Check says what is wrong
		return
	case !s.tracked.Load():
		s.fail("%s was given a server that was built without ServerOptions; Use is for those", how)
		return
	}
	b := &built{GRPCServer: srv, room: enterRoom(srv)}
	if !s.noHealth && s.health == nil {
		b.health = health.NewServer()
	}
	if !s.built.CompareAndSwap(nil, b) {
		b.room.leave(srv)
		s.fail("%s was called for a Server that has its gRPC server already", how)
		return
	}
	if b.health != nil {
		b.room.wanted.Store(b.health)
	}
}

// built is a gRPC server that an adapter has. It does not change.
type built struct {
	GRPCServer
	room   *room
	health *health.Server // the adapter's; nil: none
}

// room is what the adapters of one gRPC server share: with Use a server may be served on
// a second listener. The first Serve registers what the others want, as a later
// registration would end the process. The mutex is held while grpc's table of services,
// which has none, is read and changed: by methods of the gRPC server.
type room struct {
	mu         sync.Mutex
	served     atomic.Bool
	wanted     atomic.Pointer[health.Server]
	registered atomic.Bool // wanted is

	adapters int // that have not ended; guarded by rooms.mu
}

// rooms has the rooms of the gRPC servers whose adapters have not ended.
var rooms = struct {
	mu sync.Mutex
	of map[GRPCServer]*room
}{of: map[GRPCServer]*room{}}

// enterRoom returns the room of a gRPC server.
func enterRoom(srv GRPCServer) (r *room) {
	rooms.mu.Lock()
	defer rooms.mu.Unlock()
	defer func() {
		if recover() != nil { // its type is not comparable, so no other adapter can have the same
			r = &room{}
		}
		r.adapters++
	}()
	if r = rooms.of[srv]; r == nil {
		r = &room{}
		rooms.of[srv] = r
	}
	return r
}

// leave is called when an adapter of the server has ended. The adapter keeps the room.
func (r *room) leave(srv GRPCServer) {
	rooms.mu.Lock()
	defer rooms.mu.Unlock()
	if r.adapters--; r.adapters > 0 {
		return
	}
	defer func() { _ = recover() }() // see enterRoom
	delete(rooms.of, srv)
}

// prepare is called right before the gRPC server is served. It registers the health
// service that is wanted, unless there is one, or the server is served already.
func (b *built) prepare() {
	r := b.room
	if r.served.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.wanted.Load(); h != nil && !r.served.Load() && !hasHealth(b.GetServiceInfo()) {
		healthpb.RegisterHealthServer(b, h)
		r.registered.Store(true)
		setUp(h, b.GetServiceInfo())
	}
	r.served.Store(true)
}

// services returns what is registered on the gRPC server.
func (b *built) services() map[string]grpc.ServiceInfo {
	b.room.mu.Lock()
	defer b.room.mu.Unlock()
	return b.GetServiceInfo()
}

// servedServices is services for a server that serves, to which nothing can be added.
func (b *built) servedServices() map[string]grpc.ServiceInfo {
	b.room.mu.Lock()
	defer b.room.mu.Unlock()
	b.room.served.Store(true)
	return b.GetServiceInfo()
}
