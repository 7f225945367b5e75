package grpcadapter_test

import (
	"context"
	"net"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/grpcadapter"
)

// held is a service whose handlers wait: the unary one to be released, the stream
// for the end of its context.
type held struct {
	testgrpc.UnimplementedTestServiceServer
	release chan struct{}
	in, out *sync.WaitGroup
}

func newHeld(n int) *held {
	h := &held{release: make(chan struct{}), in: &sync.WaitGroup{}, out: &sync.WaitGroup{}}
	h.in.Add(n)
	h.out.Add(n)
	return h
}

func (h *held) UnaryCall(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	h.in.Done()
	<-h.release
	return &testgrpc.SimpleResponse{}, nil
}

func (h *held) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	h.in.Done()
	defer h.out.Done()
	<-stream.Context().Done()
	return stream.Context().Err()
}

// listen returns a listener and a client of what will serve on it.
func listen(b *testing.B) (net.Listener, testgrpc.TestServiceClient) {
	b.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return lis, testgrpc.NewTestServiceClient(conn)
}

// adapt returns a controller around an adapter, as a user makes it.
func adapt(b *testing.B, lis net.Listener, service testgrpc.TestServiceServer) *controller.Controller {
	b.Helper()
	g := grpcadapter.New(lis)
	testgrpc.RegisterTestServiceServer(g.NewServer(), service)
	c, err := controller.New(lastcall.Budget{Total: 30 * time.Second, Reserve: 20 * time.Second},
		controller.WithServer("grpc", g), controller.WithSignals(), controller.WithoutStderr())
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkLastRPC compares, interleaved, the time from the last handler's return
// to that of a bare GracefulStop, and to TERMINATED. The difference of the medians
// is the figure.
func BenchmarkLastRPC(b *testing.B) {
	var bare, ours []time.Duration
	for b.Loop() {
		h := newHeld(1)
		lis, client := listen(b)
		srv := grpc.NewServer()
		testgrpc.RegisterTestServiceServer(srv, h)
		go func() { _ = srv.Serve(lis) }()
		go func() { _, _ = client.UnaryCall(context.Background(), &testgrpc.SimpleRequest{}) }()
		h.in.Wait()
		over := make(chan time.Time)
		go func() {
			srv.GracefulStop()
			over <- time.Now()
		}()
		time.Sleep(5 * time.Millisecond) // the GOAWAYs are out; both wait for the handler
		start := time.Now()
		close(h.release)
		bare = append(bare, (<-over).Sub(start))

		h = newHeld(1)
		lis, client = listen(b)
		c := adapt(b, lis, h)
		reports := make(chan report.Report)
		go func() { reports <- c.Run(context.Background()) }()
		go func() {
			_, _ = client.UnaryCall(context.Background(), &testgrpc.SimpleRequest{}, grpc.WaitForReady(true))
		}()
		h.in.Wait()
		c.Shutdown(nil)
		time.Sleep(5 * time.Millisecond)
		start = time.Now()
		close(h.release)
		for _, s := range (<-reports).Steps {
			if s.Kind == report.KindTransition && s.State == fsm.Terminated {
				ours = append(ours, s.Start.Sub(start))
			}
		}
	}
	if len(ours) != len(bare) {
		b.Fatalf("%d of %d runs reached TERMINATED", len(ours), len(bare))
	}
	b.ReportMetric(float64(median(bare).Microseconds()), "us/bare")
	b.ReportMetric(float64(median(ours).Microseconds()), "us/lastcall")
	b.ReportMetric(float64((median(ours) - median(bare)).Microseconds()), "us/more")
}

// BenchmarkManyStreams compares, interleaved, how long it takes until the handlers
// of 10,000 open streams are back: after a bare Stop, and after the timer.
func BenchmarkManyStreams(b *testing.B) {
	const streams = 10_000
	open := func(h *held, client testgrpc.TestServiceClient) {
		for range streams {
			if _, err := client.FullDuplexCall(context.Background(), grpc.WaitForReady(true)); err != nil {
				b.Fatal(err)
			}
		}
		h.in.Wait()
	}
	var bare, ours []time.Duration
	for b.Loop() {
		h := newHeld(streams)
		lis, client := listen(b)
		srv := grpc.NewServer()
		testgrpc.RegisterTestServiceServer(srv, h)
		go func() { _ = srv.Serve(lis) }()
		open(h, client)
		start := time.Now()
		srv.Stop()
		h.out.Wait()
		bare = append(bare, time.Since(start))

		h = newHeld(streams)
		lis, client = listen(b)
		c := adapt(b, lis, h)
		go c.Run(context.Background())
		open(h, client)
		start = time.Now()
		c.Force()
		h.out.Wait()
		ours = append(ours, time.Since(start))
		<-c.Done()
	}
	b.ReportMetric(float64(median(bare).Milliseconds()), "ms/bare")
	b.ReportMetric(float64(median(ours).Milliseconds()), "ms/lastcall")
	b.ReportMetric(median(ours).Seconds()/median(bare).Seconds(), "ratio")
}

// BenchmarkForcedIdle compares, interleaved, how long a forced end takes where every
// connection is idle and has had an RPC: a bare Stop, GracefulStop with a Stop right
// behind it, and Run with New and with Use. The ratios are to the first.
func BenchmarkForcedIdle(b *testing.B) {
	for _, n := range []int{100, 1000, 9000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			took := map[string][]time.Duration{}
			for b.Loop() {
				took["bare"] = append(took["bare"], forceIdle(b, n, func(lis net.Listener) (func(), func()) {
					srv := grpc.NewServer()
					testgrpc.RegisterTestServiceServer(srv, echo{})
					return func() { _ = srv.Serve(lis) }, srv.Stop
				}))
				took["both"] = append(took["both"], forceIdle(b, n, func(lis net.Listener) (func(), func()) {
					srv := grpc.NewServer()
					testgrpc.RegisterTestServiceServer(srv, echo{})
					return func() { _ = srv.Serve(lis) }, func() {
						begun := make(chan struct{})
						go func() { close(begun); srv.GracefulStop() }()
						<-begun
						srv.Stop()
					}
				}))
				took["New"] = append(took["New"], forceIdle(b, n, func(lis net.Listener) (func(), func()) {
					return forced(adapt(b, lis, echo{}))
				}))
				took["Use"] = append(took["Use"], forceIdle(b, n, func(lis net.Listener) (func(), func()) {
					srv := grpc.NewServer()
					testgrpc.RegisterTestServiceServer(srv, echo{})
					c, err := controller.New(lastcall.Budget{Total: 60 * time.Second, Reserve: 50 * time.Second},
						controller.WithServer("grpc", grpcadapter.Use(srv, grpcadapter.WithListener(lis))), controller.WithSignals(), controller.WithoutStderr())
					if err != nil {
						b.Fatal(err)
					}
					return forced(c)
				}))
			}
			bare := median(took["bare"])
			b.ReportMetric(float64(bare.Microseconds())/1000, "ms/bare")
			for _, name := range []string{"both", "New", "Use"} {
				b.ReportMetric(float64(slices.Min(took[name]).Microseconds())/1000, "min-ms/"+name)
				b.ReportMetric(float64(median(took[name]).Microseconds())/1000, "ms/"+name)
				b.ReportMetric(median(took[name]).Seconds()/bare.Seconds(), "ratio/"+name)
			}
		})
	}
}

// forced returns Run, and a Force that waits for it.
func forced(c *controller.Controller) (serve, stop func()) {
	return func() { c.Run(context.Background()) }, func() { c.Force(); <-c.Done() }
}

// forceIdle opens n connections, makes an RPC on each, and returns what stop takes.
func forceIdle(b *testing.B, n int, build func(net.Listener) (serve, stop func())) time.Duration {
	b.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	serve, stop := build(lis)
	go serve()
	var wg sync.WaitGroup
	conns := make([]*grpc.ClientConn, n)
	room := make(chan struct{}, 50)
	for i := range conns {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			c, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err == nil {
				conns[i] = c
				_, err = testgrpc.NewTestServiceClient(c).UnaryCall(context.Background(), &testgrpc.SimpleRequest{})
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	time.Sleep(200 * time.Millisecond) // idle
	runtime.GC()
	start := time.Now()
	stop()
	took := time.Since(start)
	for _, c := range conns {
		c.Close()
	}
	return took
}
