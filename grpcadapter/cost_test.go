package grpcadapter_test

import (
	"cmp"
	"context"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/grpcadapter"
)

// What the adapter may cost a unary RPC by default, beside a server that has one
// interceptor which does nothing.
const (
	maxAllocs = 2
	maxBytes  = 96
)

type echo struct {
	testgrpc.UnimplementedTestServiceServer
}

func (echo) UnaryCall(_ context.Context, req *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{Payload: req.Payload}, nil
}

// echoClient serves on TCP what build makes of a listener, and returns a client.
func echoClient(tb testing.TB, build func(net.Listener) (*grpc.Server, net.Listener)) testgrpc.TestServiceClient {
	tb.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	srv, lis := build(lis)
	testgrpc.RegisterTestServiceServer(srv, echo{})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		conn.Close()
		srv.Stop()
		if err := <-served; err != nil {
			tb.Error(err)
		}
	})
	return testgrpc.NewTestServiceClient(conn)
}

// plain has one interceptor, which does nothing.
func plain(tb testing.TB) testgrpc.TestServiceClient {
	tb.Helper()
	return echoClient(tb, func(lis net.Listener) (*grpc.Server, net.Listener) {
		return grpc.NewServer(grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			return handler(ctx, req)
		})), lis
	})
}

// adapted has the adapter's interceptors and listener.
func adapted(tb testing.TB, opts ...grpcadapter.Option) testgrpc.TestServiceClient {
	tb.Helper()
	return echoClient(tb, func(lis net.Listener) (*grpc.Server, net.Listener) {
		wrapped := grpcadapter.WrapListener(lis)
		return grpcadapter.New(wrapped, opts...).NewServer(), wrapped
	})
}

// calls makes n RPCs and returns what one of them allocates, in the whole process.
func calls(tb testing.TB, client testgrpc.TestServiceClient, n int) (allocs, bytes float64) {
	tb.Helper()
	req := &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: make([]byte, 64)}}
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it empties grpc's pools of buffers, of 32 KiB each
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		if _, err := client.UnaryCall(context.Background(), req); err != nil {
			tb.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
}

// What a unary RPC costs in memory with the adapter, as the median of interleaved
// rounds: others allocate in this process, too.
func TestUnaryAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for name, tt := range map[string]struct {
		opts          []grpcadapter.Option
		allocs, bytes float64
	}{
		"default":           {nil, maxAllocs, maxBytes},
		"WithUnaryContexts": {[]grpcadapter.Option{grpcadapter.WithUnaryContexts()}, 8, 560},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := plain(t), adapted(t, tt.opts...)
			calls(t, a, 500)
			calls(t, b, 500)
			var allocs, bytes []float64
			// On a busy machine grpc's pools are emptied more often on one side: up to three times.
			for try := 0; try < 3 && (try == 0 || allocs[4] > tt.allocs+0.3 || bytes[4] > tt.bytes+16); try++ {
				allocs, bytes = nil, nil
				for range 9 {
					a1, b1 := calls(t, a, 400)
					a2, b2 := calls(t, b, 400)
					allocs, bytes = append(allocs, a2-a1), append(bytes, b2-b1)
				}
				slices.Sort(allocs)
				slices.Sort(bytes)
			}
			t.Logf("more allocations per RPC: %.2f (%.2f to %.2f), more bytes: %.0f (%.0f to %.0f)",
				allocs[4], allocs[0], allocs[8], bytes[4], bytes[0], bytes[8])
			if allocs[4] > tt.allocs+0.3 { // a background allocation in every third RPC is noise
				t.Errorf("a unary RPC needs %.2f allocations more, at most %v are allowed", allocs[4], tt.allocs)
			}
			if bytes[4] > tt.bytes+16 {
				t.Errorf("a unary RPC needs %.0f bytes more, at most %v are allowed", bytes[4], tt.bytes)
			}
		})
	}
}

// BenchmarkUnaryEcho compares the adapter with a server that has one interceptor
// which does nothing, interleaved. The ratio of the medians is the figure.
func BenchmarkUnaryEcho(b *testing.B) {
	a, c := plain(b), adapted(b)
	calls(b, a, 1000)
	calls(b, c, 1000)
	req := &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: make([]byte, 64)}}
	took := [2][]time.Duration{}
	for b.Loop() {
		for i, client := range []testgrpc.TestServiceClient{a, c} {
			start := time.Now()
			if _, err := client.UnaryCall(context.Background(), req); err != nil {
				b.Fatal(err)
			}
			took[i] = append(took[i], time.Since(start))
		}
	}
	b.ReportMetric(median(took[0]).Seconds()*1e6, "us/plain")
	b.ReportMetric(median(took[1]).Seconds()*1e6, "us/adapter")
	b.ReportMetric(median(took[1]).Seconds()/median(took[0]).Seconds(), "ratio")
}

func median[T cmp.Ordered](all []T) T {
	slices.Sort(all)
	return all[len(all)/2]
}
