package httpadapter_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// untold answers nothing until its context ends: as a unary RPC, and as a stream that has
// sent one message.
type untold struct {
	testgrpc.UnimplementedTestServiceServer
}

func (untold) UnaryCall(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (untold) StreamingOutputCall(_ *testgrpc.StreamingOutputCallRequest, s testgrpc.TestService_StreamingOutputCallServer) error {
	_ = s.Send(&testgrpc.StreamingOutputCallResponse{})
	<-s.Context().Done()
	return s.Context().Err()
}

// gateway is an HTTP server that calls a gRPC server in the same process.
type gateway struct {
	client testgrpc.TestServiceClient
	mu     sync.Mutex
	heard  []codes.Code
}

func (g *gateway) note(err error) codes.Code {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.heard = append(g.heard, status.Code(err))
	return status.Code(err)
}

// ServeHTTP makes HTTP statuses of codes as grpc-gateway does, or lets the message of a
// stream through.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/stream" {
		s, err := g.client.StreamingOutputCall(r.Context(), &testgrpc.StreamingOutputCallRequest{})
		for err == nil {
			if _, err = s.Recv(); err == nil {
				_, _ = io.WriteString(w, "message\n")
				_ = http.NewResponseController(w).Flush()
			}
		}
		g.note(err)
		return
	}
	_, err := g.client.UnaryCall(r.Context(), &testgrpc.SimpleRequest{})
	switch g.note(err) {
	case codes.Canceled:
		http.Error(w, err.Error(), 499)
	case codes.Unavailable:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// behind begins a gateway, with a gRPC server behind it.
func behind(t *testing.T, n *network, opts ...grpcadapter.Option) (*gateway, *instance) {
	t.Helper()
	in := memory()
	g := grpcadapter.New(in.Listener, opts...)
	testgrpc.RegisterTestServiceServer(g.NewServer(), untold{})
	conn, err := grpc.NewClient("passthrough:///x",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return in.dial(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	front := &gateway{client: testgrpc.NewTestServiceClient(conn)}
	return front, begin(t, n, setup{
		server:     &http.Server{Handler: front},
		controller: []controller.Option{controller.WithServer("grpc", g, controller.After("http"))},
	})
}

// Row 33 at the timer: a gateway hears Unavailable of the server behind it, before its own
// requests are cancelled, and its clients are answered 503.
func TestGatewayAtTheTimer(t *testing.T) {
	for _, how := range []string{h1, h2c, h2, h1s} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				front, l := behind(t, n)
				client := n.client(t, how)
				var came []<-chan answer
				for range 5 {
					came = append(came, client.start("POST", "/", nil))
				}
				time.Sleep(time.Second)
				r := l.shutdown(t)
				for _, c := range came {
					if a := <-c; a.err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.at.Sub(l.asked) != usualTimer {
						t.Errorf("%d %q after %v, %v", a.status, a.body, a.at.Sub(l.asked), a.err)
					}
				}
				for _, code := range front.heard {
					if code != codes.Unavailable {
						t.Errorf("the gateway heard %v", code)
					}
				}
				wantWork(t, r, "POST (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 5, Cancelled: 5})
			})
		})
	}
}

// G5: of two gateways the inner one, whose drain has not begun at the timer, answers 503, too,
// whatever its handler makes of the failure behind it.
func TestGatewayBehindAGateway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, middle := memory(), memory()
		front := make(chan int, 1)
		proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "middle"})
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return middle.dial(ctx) }}
		t.Cleanup(transport.CloseIdleConnections)
		proxy.Transport = transport
		proxy.ModifyResponse = func(r *http.Response) error { front <- r.StatusCode; return nil }
		inner := memory()
		back := grpcadapter.New(inner.Listener)
		testgrpc.RegisterTestServiceServer(back.NewServer(), untold{})
		conn, err := grpc.NewClient("passthrough:///x",
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return inner.dial(ctx) }),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		gateway := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := testgrpc.NewTestServiceClient(conn).UnaryCall(r.Context(), &testgrpc.SimpleRequest{}); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
		})
		l := begin(t, n, setup{handler: proxy.ServeHTTP, controller: []controller.Option{
			controller.WithServer("middle", httpadapter.New(middle.Listener, &http.Server{Handler: gateway}), controller.After("http")),
			controller.WithServer("back", back, controller.After("middle")),
		}})
		came := n.client(t, h1).start("GET", "/", nil)
		time.Sleep(time.Second)
		l.shutdown(t)
		heard := http.StatusServiceUnavailable
		if len(front) > 0 { // its own request may have ended first
			heard = <-front
		}
		if a := <-came; heard != http.StatusServiceUnavailable || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("the gateway in front heard %d, and its client %d %q, %v", heard, a.status, a.body, a.err)
		}
	})
}

// What a gateway forwards of a stream that the timer has ended is broken off, although the
// gateway's handler returns before it is cancelled itself.
func TestGatewayForwardsAnInterruptedStream(t *testing.T) {
	for _, how := range []string{h1, h2c} {
		t.Run(how, func(t *testing.T) {
			var heard codes.Code
			for try := 0; try < 3 && heard != codes.Unavailable; try++ { // see below
				bubble(t, func(t *testing.T) {
					n := on(t, memory(), how)
					front, l := behind(t, n)
					came := n.client(t, how).start("GET", "/stream", nil)
					time.Sleep(time.Second)
					l.shutdown(t)
					if a := <-came; a.status != http.StatusOK || a.body != "message\n" || a.err == nil {
						t.Errorf("%d %q, %v", a.status, a.body, a.err)
					}
					heard = front.heard[0]
				})
			}
			// If the gateway's goroutine gets no processor before its own request is cancelled,
			// gRPC's client draws which of the two it hears of: 1 of 600 runs, at a load of 20.
			if heard != codes.Unavailable {
				t.Errorf("the gateway heard %v three times", heard)
			}
		})
	}
}

// A gateway whose request holds a stream that never ends does not wait for the timer: the
// server behind it ends the stream when the drain begins.
func TestGatewayWithAnEndlessStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		front, l := behind(t, n, grpcadapter.WithEndlessStreams(testgrpc.TestService_StreamingOutputCall_FullMethodName))
		came := n.client(t, h1).start("GET", "/stream", nil)
		time.Sleep(time.Second)
		wantDrained(t, l.shutdown(t))
		(<-came).wantOK(t, "message\n")
		if front.heard[0] != codes.Unavailable || l.took > time.Second {
			t.Errorf("the gateway heard %v, and the shutdown took %v", front.heard, l.took)
		}
	})
}

// RPCs over HTTP have their status behind the body: it is not broken off.
func TestGRPCOverHTTPAtTheTimer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		g := grpcadapter.New(nil, grpcadapter.OverHTTP())
		testgrpc.RegisterTestServiceServer(g.NewServer(), untold{})
		l := begin(t, n, setup{
			server:     &http.Server{Handler: g},
			controller: []controller.Option{controller.WithServer("grpc", g, controller.After("http"))},
		})
		conn, err := grpc.NewClient("passthrough:///x",
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return n.dial(ctx) }),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		client, heard := testgrpc.NewTestServiceClient(conn), make(chan error, 2)
		go func() {
			_, err := client.UnaryCall(context.Background(), &testgrpc.SimpleRequest{})
			heard <- err
		}()
		go func() {
			s, err := client.StreamingOutputCall(context.Background(), &testgrpc.StreamingOutputCallRequest{})
			for err == nil {
				_, err = s.Recv()
			}
			heard <- err
		}()
		time.Sleep(time.Second)
		l.shutdown(t)
		for range cap(heard) {
			if st := status.Convert(<-heard); st.Code() != codes.Unavailable || st.Message() != "the server is shutting down" {
				t.Errorf("the client heard %v", st)
			}
		}
	})
}
