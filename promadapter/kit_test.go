package promadapter_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// series are the values of metrics, by name and labels as Prometheus writes them.
type series map[string]float64

// gather scrapes a registry.
func gather(t rapid.TB, reg prometheus.Gatherer) series {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := series{}
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := strings.TrimPrefix(f.GetName(), "lastcall_")
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			all[name] = value(m)
		}
	}
	return all
}

func value(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.Counter.GetValue()
	}
	return m.Gauge.GetValue()
}

// sum adds up the series of a metric whose labels contain all of these.
func (s series) sum(metric string, labels ...string) (sum float64) {
	for name, v := range s {
		all := func(l string) bool { return strings.Contains(name, l) }
		if strings.HasPrefix(name, metric+"{") && !slices.ContainsFunc(labels, func(l string) bool { return !all(l) }) {
			sum += v
		}
	}
	return sum
}

func (s series) want(t rapid.TB, want series) {
	t.Helper()
	for name, v := range want {
		if got, ok := s[name]; !ok || got != v {
			t.Errorf("%s is %v (there: %v), want %v", name, got, ok, v)
		}
	}
}

// addsUp checks that of each server begun = ended + in flight.
func (s series) addsUp(t rapid.TB) {
	t.Helper()
	for name, begun := range s {
		server, ok := strings.CutPrefix(name, "work_begun_total{")
		if !ok {
			continue
		}
		server = strings.TrimSuffix(server, "}")
		if ended, flight := s.sum("work_ended_total", server), s.sum("work_in_flight", server); begun != ended+flight {
			t.Errorf("%s: %v have begun, %v have ended, %v are in flight", server, begun, ended, flight)
		}
	}
}

// service runs a function for each RPC.
type service struct {
	testgrpc.UnimplementedTestServiceServer
	handle func(ctx context.Context) error
}

func (s *service) UnaryCall(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{}, s.handle(ctx)
}

func (s *service) StreamingOutputCall(_ *testgrpc.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	return s.handle(stream.Context())
}

func (s *service) StreamingInputCall(stream testgrpc.TestService_StreamingInputCallServer) error {
	return s.handle(stream.Context())
}

func (s *service) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	return s.handle(stream.Context())
}

// kinds are the types of RPCs, with a call of each that blocks until it is over.
func kinds() map[string]func(context.Context, testgrpc.TestServiceClient) error {
	return map[string]func(context.Context, testgrpc.TestServiceClient) error{
		"unary": func(ctx context.Context, c testgrpc.TestServiceClient) error {
			_, err := c.UnaryCall(ctx, &testgrpc.SimpleRequest{})
			return err
		},
		"server_stream": func(ctx context.Context, c testgrpc.TestServiceClient) error {
			s, err := c.StreamingOutputCall(ctx, &testgrpc.StreamingOutputCallRequest{})
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
		"client_stream": func(ctx context.Context, c testgrpc.TestServiceClient) error {
			s, err := c.StreamingInputCall(ctx)
			if err == nil {
				err = s.RecvMsg(&testgrpc.StreamingInputCallResponse{})
			}
			return err
		},
		"bidi_stream": func(ctx context.Context, c testgrpc.TestServiceClient) error {
			s, err := c.FullDuplexCall(ctx)
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
	}
}

func dial(t rapid.TB, lis *mempipe.Listener) (testgrpc.TestServiceClient, *grpc.ClientConn) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	return testgrpc.NewTestServiceClient(conn), conn
}
