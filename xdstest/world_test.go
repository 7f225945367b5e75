package xdstest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/admin"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/xds"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
)

const (
	node     = "xdstest"
	template = "grpc/server?address=%s"
)

// management is an xDS management server.
type management struct {
	addr  string
	cache cache.SnapshotCache
	left  chan struct{} // gets an element when an xDS client has left
}

func manage(t *testing.T) *management {
	t.Helper()
	lis := listen(t, "tcp", loopback)
	m := &management{lis.Addr().String(), cache.NewSnapshotCache(false, cache.IDHash{}, nil), make(chan struct{}, 8)}
	srv := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(srv, server.NewServer(t.Context(), m.cache, server.CallbackFuncs{
		StreamClosedFunc: func(int64, *core.Node) { m.left <- struct{}{} },
	}))
	go func() { _ = srv.Serve(lis) }()
	t.Cleanup(srv.Stop)
	return m
}

// publish makes these listeners all that there are.
func (m *management) publish(t *testing.T, version int, listeners ...types.Resource) {
	t.Helper()
	snapshot, err := cache.NewSnapshot(strconv.Itoa(version), map[resource.Type][]types.Resource{resource.ListenerType: listeners})
	must(t, err)
	must(t, m.cache.SetSnapshot(t.Context(), node, snapshot))
}

// resourceFor is the configuration with which a server on lis serves every RPC.
func resourceFor(t *testing.T, lis net.Listener) *listener.Listener {
	t.Helper()
	addr := lis.Addr().(*net.TCPAddr)
	pack := func(m proto.Message) *anypb.Any {
		packed, err := anypb.New(m)
		must(t, err)
		return packed
	}
	every := &route.Route{
		Match:  &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}},
		Action: &route.Route_NonForwardingAction{},
	}
	manager := pack(&hcm.HttpConnectionManager{
		RouteSpecifier: &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{
			VirtualHosts: []*route.VirtualHost{{Domains: []string{"*"}, Routes: []*route.Route{every}}},
		}},
		HttpFilters: []*hcm.HttpFilter{{Name: "router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: pack(&router.Router{})}}},
	})
	return &listener.Listener{
		Name: fmt.Sprintf(template, addr),
		Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
			Address: addr.IP.String(), PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(addr.Port)},
		}}},
		DefaultFilterChain: &listener.FilterChain{Filters: []*listener.Filter{{
			Name: "http", ConfigType: &listener.Filter_TypedConfig{TypedConfig: manager},
		}}},
	}
}

// service is what the xds servers serve.
type service struct {
	testgrpc.UnimplementedTestServiceServer
	unary  func(context.Context) error
	stream func(testgrpc.TestService_FullDuplexCallServer) error
}

func (s service) UnaryCall(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{}, s.unary(ctx)
}

func (s service) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	return s.stream(stream)
}

// bootstrap makes an xds server ask the management server at addr.
func bootstrap(addr string) grpc.ServerOption {
	return xds.BootstrapContentsForTesting(fmt.Appendf(nil, `{
		"xds_servers": [{"server_uri": "passthrough:///%s", "channel_creds": [{"type": "insecure"}]}],
		"node": {"id": %q},
		"server_listener_resource_name_template": %q
	}`, addr, node, template))
}

// newServer returns an xds server with this service and those of package admin.
func newServer(t *testing.T, s service, opts ...grpc.ServerOption) *xds.GRPCServer {
	t.Helper()
	srv, err := xds.NewGRPCServer(opts...)
	must(t, err)
	t.Cleanup(srv.Stop)
	testgrpc.RegisterTestServiceServer(srv, s)
	cleanup, err := admin.Register(srv)
	must(t, err)
	t.Cleanup(cleanup)
	return srv
}

// shapes are the two ways to give an xds server to lastcall.
func shapes() map[string]shape { return map[string]shape{"Adopt": adopted, "Use": used} }

type shape func(*testing.T, net.Listener, service, ...grpc.ServerOption) *grpcadapter.Server

func adopted(t *testing.T, lis net.Listener, s service, opts ...grpc.ServerOption) *grpcadapter.Server {
	t.Helper()
	g := grpcadapter.New(lis)
	g.Adopt(newServer(t, s, g.ServerOptions(opts...)...))
	return g
}

// whenServing returns an option for an xds server, and one for the adapter: the server
// accepts work once its mode is SERVING.
func whenServing() (grpc.ServerOption, grpcadapter.Option) {
	ready := make(chan struct{})
	var once sync.Once
	return xds.ServingModeCallback(func(_ net.Addr, args xds.ServingModeChangeArgs) {
		if args.Mode == connectivity.ServingModeServing {
			once.Do(func() { close(ready) })
		}
	}), grpcadapter.WithReady(ready)
}

func used(t *testing.T, lis net.Listener, s service, opts ...grpc.ServerOption) *grpcadapter.Server {
	t.Helper()
	return grpcadapter.Use(newServer(t, s, opts...), grpcadapter.WithListener(lis))
}

// house is an xds server whose controller runs.
type house struct {
	*controller.Controller
	*management
	lis    net.Listener
	client *grpc.ClientConn
	modes  chan connectivity.ServingMode // those that the server enters
	report chan report.Report
}

// serve starts a house and waits until it serves.
func serve(t *testing.T, budget lastcall.Budget, build shape, lis net.Listener, s service) *house {
	t.Helper()
	h := &house{management: manage(t), lis: lis, modes: make(chan connectivity.ServingMode, 64)}
	h.control(t, budget, build(t, lis, s, bootstrap(h.addr), xds.ServingModeCallback(func(_ net.Addr, args xds.ServingModeChangeArgs) {
		h.modes <- args.Mode
	})))
	h.run()
	h.publish(t, 1, resourceFor(t, lis))
	h.await(t, connectivity.ServingModeServing)
	conn, err := grpc.NewClient("passthrough:///"+lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	h.client = conn
	return h
}

func (h *house) control(t *testing.T, budget lastcall.Budget, g *grpcadapter.Server) {
	t.Helper()
	c, err := controller.New(budget, controller.WithServer("xds", g), controller.WithSignals())
	must(t, err)
	h.Controller, h.report = c, make(chan report.Report, 1)
}

func (h *house) run() { go func() { h.report <- h.Run(context.Background()) }() }

func (h *house) await(t *testing.T, want connectivity.ServingMode) {
	t.Helper()
	for {
		if await(t, "mode "+want.String(), h.modes) == want {
			return
		}
	}
}

// unary calls the service; its error comes from the channel.
func (h *house) unary(t *testing.T) <-chan error {
	answer := make(chan error, 1)
	go func() {
		answer <- received(testgrpc.NewTestServiceClient(h.client).UnaryCall(t.Context(), &testgrpc.SimpleRequest{}))
	}()
	return answer
}

const loopback = "127.0.0.1:0"

func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	lis, err := net.Listen(network, addr)
	must(t, err)
	t.Cleanup(func() { lis.Close() })
	return lis
}

// isClosed reports whether a listener is closed, without a wait.
func isClosed(lis net.Listener) bool {
	err := lis.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Time{})
	return errors.Is(err, net.ErrClosed)
}

func connect(t *testing.T, lis net.Listener) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", lis.Addr().String())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// await receives a value, and fails the test if there is none for long.
func await[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: nothing for 20 s", what)
	}
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// received drops what came with an error.
func received[T any](_ T, err error) error { return err }
