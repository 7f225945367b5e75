package grpcadapter

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/inflight"
	"github.com/lastcall-go/lastcall/internal/stacks"
)

// method is what is known of one method of the gRPC server.
type method struct {
	server  *Server
	label   inflight.Label
	marks   context.Context // with the goroutine label of the method; nil: none
	endless bool            // its streams do not end by themselves
	health  bool            // it belongs to the health service
	watch   bool            // it is Watch of the health service
	seen    atomic.Bool
}

// refusesFrom returns the stage from which new RPCs are refused. From the timer on the
// drain takes none, although Cancel comes only when the servers behind have been cancelled.
func (s *Server) refusesFrom(m *method) inflight.Stage {
	if m.endless || s.tracker.Stage() == inflight.Draining && s.tracker.TimeIsUp() {
		return inflight.Draining
	}
	return inflight.Refusing
}

// isInfrastructure reports whether a service is there for the network around the server,
// and not for its users.
func isInfrastructure(service string) bool {
	prefixes := []string{"grpc.health.", "grpc.reflection.", "grpc.channelz.", "xds.service.orca.", "envoy.service.status."}
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(service, prefix) })
}

// otherMethods is the name of the methods that the server does not have.
const otherMethods = "(methods that the server does not know)"

// kindOf returns the kind of the RPCs of a method.
func kindOf(m grpc.MethodInfo) lastcall.WorkKind {
	switch {
	case m.IsClientStream && m.IsServerStream:
		return lastcall.WorkBidiStream
	case m.IsClientStream:
		return lastcall.WorkClientStream
	case m.IsServerStream:
		return lastcall.WorkServerStream
	default:
		return lastcall.WorkUnary
	}
}

// freeze takes in the methods that the server has, and returns them. grpc allows none to
// be added once it serves, so the map never changes and needs no lock.
func (s *Server) freeze(services map[string]grpc.ServiceInfo) map[string]*method {
	methods := map[string]*method{}
	for service, info := range services {
		for _, m := range info.Methods {
			name := "/" + service + "/" + m.Name
			kind := kindOf(m)
			streams := kind.IsStream()
			if isInfrastructure(service) {
				kind = lastcall.WorkInfra
			}
			methods[name] = &method{
				server: s, label: s.tracker.Keep(inflight.Label{Name: name, Kind: kind}), marks: stacks.Of(context.Background(), name),
				endless: streams && slices.Contains(s.endless, name),
				health:  service == healthService, watch: streams && name == watchMethod,
			}
		}
	}
	s.methods.CompareAndSwap(nil, &methods) // the first RPCs of a server that another goroutine serves come here together
	return *s.methods.Load()
}

// method returns what is known of the method of an RPC. With the first RPC of each
// method it looks whether that came through ServeHTTP of the gRPC server itself.
func (s *Server) method(ctx context.Context, name string) *method {
	methods := s.methods.Load()
	if methods == nil {
		if b := s.built.Load(); b != nil {
			s.freeze(b.servedServices())
			methods = s.methods.Load()
		}
	}
	m := s.other
	if methods != nil {
		if known, ok := (*methods)[name]; ok {
			m = known
		}
	}
	if !m.seen.Load() && !m.seen.Swap(true) && pastUs(ctx) {
		s.sawHTTP.Store(true)
	}
	return m
}
