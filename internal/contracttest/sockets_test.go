package contracttest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/internal/tlstest"
	"github.com/lastcall-go/lastcall/report"
)

// Servers of every kind on real sockets, under a controller. A call says what the handler
// does: "hold" waits until it is let go, "big" is answered with many bytes, everything else
// with itself.

type (
	dialer  = func(context.Context) (net.Conn, error)
	handler = func(what string) (answer string)
	caller  = func(ctx context.Context, what string) (answer string, err error)
)

// kind is a kind of server.
type kind struct {
	serve func(*testing.T, net.Listener, handler) controller.Option
	// client returns a client that keeps its connection, and the function that ends it.
	client func(*testing.T, dialer) (caller, func())
}

const calledServer = "the server"

func kinds() map[string]kind {
	onHTTP := func(protocols *http.Protocols, secured bool) kind {
		cert, roots, err := tlstest.Certificate()
		if err != nil {
			panic(err)
		}
		return kind{
			func(_ *testing.T, lis net.Listener, h handler) controller.Option {
				srv := &http.Server{Handler: overHTTP(h), Protocols: protocols}
				var opts []httpadapter.Option
				if secured {
					srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
					opts = append(opts, httpadapter.WithTLS("", ""))
				}
				return controller.WithServer(calledServer, httpadapter.New(lis, srv, opts...))
			},
			func(_ *testing.T, dial dialer) (caller, func()) {
				config := &tls.Config{RootCAs: roots, ServerName: tlstest.Name}
				return httpClient(dial, &http.Transport{Protocols: protocols, TLSClientConfig: config}, secured)
			},
		}
	}
	protocols := func(set func(*http.Protocols)) *http.Protocols {
		p := new(http.Protocols)
		set(p)
		return p
	}
	http1 := protocols(func(p *http.Protocols) { p.SetHTTP1(true) })
	onGRPC := func(option func(net.Listener, *grpc.Server) controller.Option) kind {
		return kind{
			func(_ *testing.T, lis net.Listener, h handler) controller.Option {
				srv := grpc.NewServer()
				testgrpc.RegisterTestServiceServer(srv, overGRPC{handle: h})
				return option(lis, srv)
			},
			grpcClient,
		}
	}
	return map[string]kind{
		"gRPC New": {
			func(_ *testing.T, lis net.Listener, h handler) controller.Option {
				g := grpcadapter.New(lis)
				testgrpc.RegisterTestServiceServer(g.NewServer(), overGRPC{handle: h})
				return controller.WithServer(calledServer, g)
			},
			grpcClient,
		},
		"gRPC Use": onGRPC(func(lis net.Listener, srv *grpc.Server) controller.Option {
			return controller.WithServer(calledServer, grpcadapter.Use(srv, grpcadapter.WithListener(lis)))
		}),
		"gRPC On": onGRPC(func(lis net.Listener, srv *grpc.Server) controller.Option {
			return controller.WithServer(calledServer, srv, controller.On(lis))
		}),
		"h1":     onHTTP(http1, false),
		"h1 TLS": onHTTP(http1, true),
		"h2":     onHTTP(protocols(func(p *http.Protocols) { p.SetHTTP2(true) }), true),
		"h2c":    onHTTP(protocols(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }), false),
		"admin": {
			func(_ *testing.T, lis net.Listener, h handler) controller.Option {
				return controller.WithServer(calledServer, admin.New(lis, admin.Handle("/{what}", overHTTP(h))))
			},
			func(_ *testing.T, dial dialer) (caller, func()) { return httpClient(dial, new(http.Transport), false) },
		},
		"drain": {serveLines, lineClient},
	}
}

func overHTTP(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, h(strings.TrimPrefix(r.URL.Path, "/")))
	})
}

func httpClient(dial dialer, tr *http.Transport, secured bool) (caller, func()) {
	tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	client, scheme := &http.Client{Transport: tr}, "http"
	if secured {
		scheme = "https"
	}
	return func(ctx context.Context, what string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://"+tlstest.Name+"/"+what, nil)
		if err != nil {
			return "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		return string(body), err
	}, tr.CloseIdleConnections
}

type overGRPC struct {
	testgrpc.UnimplementedTestServiceServer
	handle handler
}

func (s overGRPC) UnaryCall(_ context.Context, r *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{Payload: &testgrpc.Payload{Body: []byte(s.handle(string(r.GetPayload().GetBody())))}}, nil
}

func grpcClient(t *testing.T, dial dialer) (caller, func()) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///server", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	client := testgrpc.NewTestServiceClient(conn)
	return func(ctx context.Context, what string) (string, error) {
		answer, err := client.UnaryCall(ctx, &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: []byte(what)}})
		return string(answer.GetPayload().GetBody()), err
	}, func() { _ = conn.Close() }
}

func serveLines(_ *testing.T, lis net.Listener, h handler) controller.Option {
	g := drain.New()
	lis = g.Listen(lis)
	serve := func(c *drain.Conn) {
		defer c.Close()
		for r := bufio.NewReader(c); r.Buffered() > 0 || c.Idle(); {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if _, err := fmt.Fprintln(c, h(strings.TrimSpace(line))); err != nil {
				return
			}
		}
	}
	return controller.WithServer(calledServer, g, controller.Serving(func() error {
		for {
			c, err := lis.Accept()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if err != nil {
				return err
			}
			if watched, err := g.Watcher().WatchConn(context.Background(), "lines", c); err == nil {
				go serve(watched)
			} else {
				c.Close()
			}
		}
	}, nil))
}

func lineClient(t *testing.T, dial dialer) (caller, func()) {
	t.Helper()
	var c net.Conn
	var r *bufio.Reader
	return func(ctx context.Context, what string) (string, error) {
			if c == nil {
				var err error
				if c, err = dial(ctx); err != nil {
					return "", err
				}
				r = bufio.NewReader(c)
			}
			if by, ok := ctx.Deadline(); ok {
				_ = c.SetDeadline(by)
			}
			if _, err := fmt.Fprintln(c, what); err != nil {
				return "", err
			}
			line, err := r.ReadString('\n')
			return strings.TrimSpace(line), err
		}, func() {
			if c != nil {
				_ = c.Close()
			}
		}
}

// bigAnswer is more than one segment, and less than what HTTP/2 sends without permission.
const bigAnswer = 30 << 10

// hugeAnswer is more than the peer's kernel takes, and less than what both do.
const hugeAnswer = 1 << 20

// process is a controller with one server on a real socket.
type process struct {
	*controller.Controller
	draining <-chan struct{} // closed when GracefulStop of the server was called
	release  chan struct{}   // handlers that hold go on when it is closed
	held     chan struct{}   // has an element for each of those
	end      chan report.Report
}

// run runs a server of the kind until the test ends.
func run(t *testing.T, k kind, lis net.Listener) *process {
	t.Helper()
	draining := make(chan struct{})
	p := &process{draining: draining, release: make(chan struct{}), held: make(chan struct{}, 100), end: make(chan report.Report, 1)}
	opt := k.serve(t, lis, func(what string) string {
		switch what {
		case "hold":
			p.held <- struct{}{}
			<-p.release
		case "huge":
			p.held <- struct{}{}
			<-p.release
			return strings.Repeat("x", hugeAnswer)
		case "big":
			return strings.Repeat("x", bigAnswer)
		}
		return what
	})
	ctl, err := controller.New(lastcall.Budget{Total: 20 * time.Second, Reserve: time.Second}, opt,
		controller.WithSignals(), controller.WithObserver("drain", func(s report.Step) {
			if s.Kind == report.KindBegin && s.Op == report.OpGracefulStop && s.Name == calledServer {
				close(draining)
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	p.Controller = ctl
	go func() { p.end <- ctl.Run(context.Background()) }()
	t.Cleanup(func() { ctl.Force() })
	select {
	case <-ctl.Serving():
	case r := <-p.end:
		t.Fatal(r)
	case <-time.After(10 * time.Second):
		t.Fatal("it does not serve")
	}
	return p
}

// listen returns a listener on a socket of this machine, and its dialer.
func listen(t *testing.T, network string) (net.Listener, dialer) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { lis.Close() })
	at := lis.Addr().String()
	return lis, func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, network, at) }
}
