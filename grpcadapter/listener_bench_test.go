package grpcadapter_test

import (
	"net"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/grpcadapter"
)

// BenchmarkListener compares a unary echo over TCP through a Listener with one
// without, the two taking turns. The ratio is that of the medians.
func BenchmarkListener(b *testing.B) {
	client := func(wrap func(net.Listener) net.Listener) testgrpc.TestServiceClient {
		lis, dial := listenOn(b, "tcp")
		serveOn(b, wrap(lis))
		return clientOf(b, dial, insecure.NewCredentials())
	}
	clients := []testgrpc.TestServiceClient{
		client(func(lis net.Listener) net.Listener { return lis }),
		client(func(lis net.Listener) net.Listener { return grpcadapter.WrapListener(lis) }),
	}
	took := make([][]time.Duration, len(clients))
	request := &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: make([]byte, 1<<10)}}
	for n := 0; b.Loop(); n++ {
		for i := range clients {
			i = (i + n) % len(clients) // who is first takes turns, too
			began := time.Now()
			if _, err := clients[i].UnaryCall(b.Context(), request); err != nil {
				b.Fatal(err)
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2])
	}
	bare, wrapped := median(took[0]), median(took[1])
	b.ReportMetric(bare, "ns/bare")
	b.ReportMetric(wrapped, "ns/wrapped")
	b.ReportMetric(wrapped/bare, "wrapped/bare")
}
