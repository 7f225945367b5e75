//go:build unix

package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"testing"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/oteladapter"
	"github.com/lastcall-go/lastcall/promadapter"
	"github.com/lastcall-go/lastcall/slogadapter"
)

// What a unary RPC may cost with everything on, beside a server that has one interceptor
// which does nothing.
const (
	maxObservedAllocs = 1
	maxObservedBytes  = 64
)

type unaryEcho struct {
	testgrpc.UnimplementedTestServiceServer
}

func (unaryEcho) UnaryCall(_ context.Context, req *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{Payload: req.Payload}, nil
}

// observers are ways to see a gRPC server. Each serves on a listener until the test ends.
var observers = []struct {
	name  string
	serve func(testing.TB, net.Listener)
}{
	{"plain", func(tb testing.TB, lis net.Listener) {
		serveBare(tb, lis, grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			return handler(ctx, req)
		}))
	}},
	{"lastcall", serveObserved},
	{"middleware", func(tb testing.TB, lis net.Listener) {
		m := grpcprom.NewServerMetrics()
		prometheus.NewRegistry().MustRegister(m)
		serveBare(tb, lis, grpc.ChainUnaryInterceptor(m.UnaryServerInterceptor()))
	}},
	{"otelgrpc", func(tb testing.TB, lis net.Listener) {
		serveBare(tb, lis, grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))),
			otelgrpc.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))))))
	}},
}

func serveBare(tb testing.TB, lis net.Listener, opts ...grpc.ServerOption) {
	tb.Helper()
	srv := grpc.NewServer(opts...)
	testgrpc.RegisterTestServiceServer(srv, unaryEcho{})
	go func() { _ = srv.Serve(lis) }() // ends with Stop
	tb.Cleanup(srv.Stop)
}

// serveObserved serves under a controller with log, metrics and traces.
func serveObserved(tb testing.TB, lis net.Listener) {
	tb.Helper()
	g := grpcadapter.New(lis)
	testgrpc.RegisterTestServiceServer(g.NewServer(), unaryEcho{})
	m := promadapter.New()
	prometheus.NewRegistry().MustRegister(m)
	o := oteladapter.New(
		oteladapter.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))),
		oteladapter.WithTracerProvider(sdktrace.NewTracerProvider()))
	ctl, err := controller.New(lastcall.Budget{Total: 20 * time.Second, Reserve: 10 * time.Second}, m.Option(), o.Option(), controller.WithSignals(),
		controller.WithServer("grpc", g), slogadapter.WithLogger(slog.New(slog.NewJSONHandler(io.Discard, nil))))
	if err != nil {
		tb.Fatal(err)
	}
	go ctl.Run(context.Background())
	<-ctl.Serving()
	tb.Cleanup(func() { ctl.Force(); <-ctl.Done() })
}

// cost is what one RPC costs, in the whole process, client included.
type cost struct{ allocs, bytes, cpu float64 } // CPU in microseconds

func callObserved(tb testing.TB, client testgrpc.TestServiceClient, n int) cost {
	tb.Helper()
	req := &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: make([]byte, 64)}}
	call := func(n int) {
		for range n {
			if _, err := client.UnaryCall(context.Background(), req); err != nil {
				tb.Fatal(err)
			}
		}
	}
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it empties grpc's pools of buffers
	call(100)                                        // which fill again
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	used := processCPU(tb)
	call(n)
	used = processCPU(tb) - used
	runtime.ReadMemStats(&after)
	per := float64(n)
	return cost{float64(after.Mallocs-before.Mallocs) / per, float64(after.TotalAlloc-before.TotalAlloc) / per, used.Seconds() * 1e6 / per}
}

func processCPU(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// compareObserved returns what each costs more than the plain one, and its CPU time per
// RPC: medians of interleaved rounds.
func compareObserved(tb testing.TB, rounds, n int) map[string]cost {
	tb.Helper()
	clients := map[string]testgrpc.TestServiceClient{}
	for _, o := range observers {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		o.serve(tb, lis)
		conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = conn.Close() })
		clients[o.name] = testgrpc.NewTestServiceClient(conn)
		callObserved(tb, clients[o.name], 500)
	}
	all := map[string][]cost{}
	for range rounds {
		plain := cost{}
		for _, o := range observers {
			c := callObserved(tb, clients[o.name], n)
			if o.name == "plain" {
				plain = c
			}
			all[o.name] = append(all[o.name], cost{c.allocs - plain.allocs, c.bytes - plain.bytes, c.cpu})
		}
	}
	medians := map[string]cost{}
	for name, costs := range all {
		of := func(f func(cost) float64) float64 {
			var values []float64
			for _, c := range costs {
				values = append(values, f(c))
			}
			slices.Sort(values)
			return values[len(values)/2]
		}
		medians[name] = cost{of(func(c cost) float64 { return c.allocs }), of(func(c cost) float64 { return c.bytes }), of(func(c cost) float64 { return c.cpu })}
	}
	return medians
}

// A unary RPC with log, metrics and traces on.
func TestObservedAllocations(t *testing.T) {
	all := compareObserved(t, 9, 2000) // a buffer of 32 KiB more or less is 16 bytes per RPC
	for _, o := range observers {
		t.Logf("%-10s %+6.2f allocations, %+6.0f bytes, %5.1f us of CPU per RPC", o.name, all[o.name].allocs, all[o.name].bytes, all[o.name].cpu)
	}
	if c := all["lastcall"]; c.allocs > maxObservedAllocs+0.3 || c.bytes > maxObservedBytes+32 { // the rest is noise of the process
		t.Errorf("a unary RPC costs %.2f allocations and %.0f bytes more", c.allocs, c.bytes)
	}
}

// BenchmarkObserved is the same with more rounds: allocations and bytes more than with a
// plain server, and CPU time as a ratio to that.
func BenchmarkObserved(b *testing.B) {
	for b.Loop() {
		all := compareObserved(b, 15, 2000)
		for _, o := range observers[1:] {
			b.ReportMetric(all[o.name].allocs, "allocs/"+o.name)
			b.ReportMetric(all[o.name].bytes, "B/"+o.name)
			b.ReportMetric(all[o.name].cpu/all["plain"].cpu, "cpu/"+o.name)
		}
	}
}
