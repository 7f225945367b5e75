package hazards_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"

	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/busy"
	"github.com/lastcall-go/lastcall/internal/mempipe"
	"github.com/lastcall-go/lastcall/internal/tlstest"
)

// Each row of the gRPC table in HAZARDS.md has one test, with a part "grpc", where
// grpc alone does what the row says, and a part "lastcall", where the controller
// ends all the same. The pieces:
//
//	n := memory(), secureMemory(t), tcp(t), secureTCP(t)   where a server listens
//	n.client(t)                   a grpc-go client
//	n.peer(t, peerConfig{})       an HTTP/2 client that does what it is told; see peer
//	n.silent(t)                   a connection on which the server waits for the handshake
//	srv := bare(t, n, service)    grpc alone, serving
//	l := begin(t, n, setup{...})  grpc with adapter and controller, serving
//	r := l.shutdown(t)            triggers, waits, and checks what holds for every shutdown
//
// l.trigger and l.report are the two halves of l.shutdown. What has been begun is
// ended by the test's end.

// network is a way to reach a server.
type network struct {
	net.Listener
	dial      func(context.Context) (net.Conn, error) // without TLS
	tls       *tls.Config                             // the client's; nil: none
	options   []grpc.ServerOption                     // the server's credentials
	creds     credentials.TransportCredentials        // the server's; nil: none
	handshake chan struct{}                           // has an element for each TLS handshake that has begun
}

func memory() *network {
	lis := mempipe.Listen(1 << 16)
	return &network{Listener: lis, dial: lis.DialContext}
}

func tcp(t *testing.T) *network {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	return &network{Listener: lis, dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", lis.Addr().String())
	}}
}

func secureMemory(t *testing.T) *network {
	t.Helper()
	n := memory()
	n.secure(t)
	return n
}

func secureTCP(t *testing.T) *network {
	t.Helper()
	n := tcp(t)
	n.secure(t)
	return n
}

// secure adds TLS, with a certificate of its own.
func (n *network) secure(t *testing.T) {
	t.Helper()
	cert, roots, err := tlstest.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	n.tls = &tls.Config{RootCAs: roots, ServerName: tlstest.Name, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13}
	n.handshake = make(chan struct{}, 100)
	server := credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS13,
	})
	n.creds = heardCredentials{server, n.handshake}
	n.options = []grpc.ServerOption{grpc.Creds(n.creds)}
}

// heardCredentials tell when a handshake begins.
type heardCredentials struct {
	credentials.TransportCredentials
	begun chan<- struct{}
}

func (c heardCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c.begun <- struct{}{}
	return c.TransportCredentials.ServerHandshake(conn)
}

// connect returns a connection without TLS.
func (n *network) connect(t *testing.T) net.Conn {
	t.Helper()
	conn, err := n.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// silent returns a connection on which the server waits for the handshake.
func (n *network) silent(t *testing.T) net.Conn {
	t.Helper()
	conn := n.connect(t)
	switch {
	case inBubble():
		synctest.Wait()
	case n.tls != nil:
		<-n.handshake
	default:
		if _, err := conn.Read(make([]byte, 1)); err != nil { // of the server's settings
			t.Fatal(err)
		}
	}
	return conn
}

// forgetHandshakes is called when all TLS handshakes are over, and before silent.
func (n *network) forgetHandshakes() {
	for len(n.handshake) > 0 {
		<-n.handshake
	}
}

// peer returns an HTTP/2 client that does what the test tells it to.
func (n *network) peer(t *testing.T, config peerConfig) *peer {
	t.Helper()
	conn := n.connect(t)
	if n.tls != nil {
		secured := tls.Client(conn, n.tls)
		if err := secured.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-n.handshake
		conn = secured
	}
	return newPeer(t, conn, config)
}

// client returns a grpc-go client.
func (n *network) client(t *testing.T, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	creds := insecure.NewCredentials()
	if n.tls != nil {
		creds = credentials.NewTLS(n.tls)
	}
	opts = append([]grpc.DialOption{grpc.WithTransportCredentials(creds)}, opts...)
	return dialWith(t, func(ctx context.Context, _ string) (net.Conn, error) { return n.dial(ctx) }, opts...)
}

// call makes a unary RPC.
func call(conn *grpc.ClientConn) func() error {
	return func() error {
		_, err := testgrpc.NewTestServiceClient(conn).UnaryCall(context.Background(), &testgrpc.SimpleRequest{})
		return err
	}
}

// registers is what registers services. An fnService does.
type registers interface{ register(grpc.ServiceRegistrar) }

func (s fnService) register(srv grpc.ServiceRegistrar) { testgrpc.RegisterTestServiceServer(srv, s) }

// bare serves grpc alone. Neither GracefulStop nor Stop need return.
func bare(t *testing.T, n *network, service registers, opts ...grpc.ServerOption) *grpc.Server {
	t.Helper()
	srv := grpc.NewServer(append(n.options, opts...)...)
	service.register(srv)
	start(func() error { return srv.Serve(n) })
	t.Cleanup(func() { go srv.Stop() })
	return srv
}

// setup is a server with adapter and controller. What is zero is usual.
type setup struct {
	service    registers
	budget     lastcall.Budget
	adapter    []grpcadapter.Option
	grpc       []grpc.ServerOption
	controller []controller.Option
}

// instance is a server with adapter and controller, which runs.
type instance struct {
	*controller.Controller
	adapter *grpcadapter.Server
	run     *pending
	last    report.Report
	machine *busy.Clock
}

// usual is a budget for virtual time, without a settle: the drain begins with the
// trigger. Of the reserve phase cancel may use 3 s; if it does, each phase behind
// may use what is in the constants, counted from its own start.
func usual() lastcall.Budget {
	return lastcall.Budget{Total: 40 * time.Second, Reserve: 18 * time.Second}
}

const (
	usualTimer = 22 * time.Second                 // after the trigger
	fullCancel = 3 * time.Second                  // a sixth of 18 s
	fullStop   = 3 * time.Second                  // a fifth of the 15 s that are left then
	stopGrace  = 10 * time.Millisecond            // phase stop, if Stop returned at once and GracefulStop does not
	waitIfStop = 4 * time.Second                  // a third of the 12 s left, if Stop did not return
	waitIfNot  = (15*time.Second - stopGrace) / 3 // a third of what is left otherwise
)

// quick is a budget for real time, with 400 ms for the drain. When what hangs is given up more
// than half a second is left: a machine that stops for less does not have it end late, and one
// that stops for longer is a suspension.
func quick() lastcall.Budget {
	return lastcall.Budget{Total: 2 * time.Second, Reserve: 1600 * time.Millisecond}
}

// begin makes a server with adapter and controller and waits until it serves.
func begin(t *testing.T, n *network, s setup) *instance {
	t.Helper()
	l := &instance{adapter: grpcadapter.New(n.Listener, s.adapter...)}
	l.machine = busy.Watch(t.Context().Done())
	service, budget := s.service, s.budget
	if service == nil {
		service = fnService{}
	}
	if budget == (lastcall.Budget{}) {
		budget = usual()
	}
	service.register(l.adapter.NewServer(append(n.options, s.grpc...)...))
	ready := make(chan struct{})
	l.Controller = controllerOf(t, budget, append(s.controller,
		controller.WithServer("grpc", l.adapter),
		controller.WithObserver("ready", func(step report.Step) {
			if step.Kind == report.KindPhase && step.Phase == lastcall.PhaseServe {
				close(ready)
			}
		}))...)
	l.run = start(func() error {
		l.last = l.Run(context.Background())
		return nil
	})
	t.Cleanup(func() { l.Force() })
	<-ready
	return l
}

// trigger asks for the shutdown.
func (l *instance) trigger() { l.Shutdown(errors.New("asked for")) }

// report waits for the end and checks what holds for every shutdown: the deadline,
// the sums, and that no goroutine is left which the report does not name.
func (l *instance) report(t *testing.T) report.Report {
	t.Helper()
	_ = l.run.result()
	r := l.last
	stopped, _ := l.machine.Late()
	r.Ended = l.run.at
	checkReportOf(t, r, stopped)
	wantLeft(t, "controller.", len(r.Abandoned()), r)
	calls := 0
	for _, w := range r.Work {
		if w.Kind == lastcall.WorkCall {
			calls += w.Running
		}
	}
	wantLeft(t, "grpcadapter.", 0, r)
	wantLeft(t, "internal/foreign.", calls, r)
	return r
}

// shutdown is trigger and report.
func (l *instance) shutdown(t *testing.T) report.Report {
	t.Helper()
	l.trigger()
	return l.report(t)
}

// wantLeft checks how many goroutines of a package of ours are left.
func wantLeft(t *testing.T, pkg string, want int, r report.Report) {
	t.Helper()
	wantAlive(t, "github.com/lastcall-go/lastcall/"+pkg, want, r)
}

// wantNoServer checks that no goroutine of grpc's server is left.
func wantNoServer(t *testing.T, r report.Report) {
	t.Helper()
	wantAlive(t, "google.golang.org/grpc.(*Server)", 0, r)
	wantAlive(t, "google.golang.org/grpc/internal/transport.NewServerTransport", 0, r)
}

// wantAlive checks how many goroutines there are that functions with a prefix have
// created. In real time those that are about to end may do so.
func wantAlive(t *testing.T, prefix string, want int, r report.Report) {
	t.Helper()
	limit := time.Now().Add(5 * time.Second)
	for {
		if inBubble() {
			synctest.Wait()
		}
		stacks := aliveAround(prefix)
		if len(stacks) == want {
			return
		}
		if inBubble() || time.Now().After(limit) {
			t.Errorf("%d goroutines of %s are alive, want %d\n%v\n%s", len(stacks), prefix, want, r, bytes.Join(stacks, []byte("\n\n")))
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// aliveAround is aliveHere for callers in a bubble. For others it returns the stacks
// of goroutines in no bubble.
func aliveAround(prefix string) [][]byte {
	if inBubble() {
		return aliveHere(prefix)
	}
	buf := make([]byte, 1<<22)
	buf = buf[:runtime.Stack(buf, true)]
	var alive [][]byte
	for stack := range bytes.SplitSeq(buf, []byte("\n\n")) {
		head, _, _ := bytes.Cut(stack, []byte("\n"))
		_, creator, _ := bytes.Cut(stack, []byte("created by "))
		if !bytes.Contains(head, []byte("synctest bubble")) && bytes.HasPrefix(creator, []byte(prefix)) && !bytes.Contains(creator, []byte("/hazards_test.")) {
			alive = append(alive, stack)
		}
	}
	return alive
}

// inBubble reports whether the caller runs in virtual time.
func inBubble() bool {
	buf := make([]byte, 100)
	head, _, _ := bytes.Cut(buf[:runtime.Stack(buf, false)], []byte("\n"))
	return bytes.Contains(head, []byte("synctest bubble"))
}

// patience is how long to wait for what has to come.
func patience() time.Duration {
	if inBubble() {
		return 4 * time.Hour
	}
	return 20 * time.Second
}

// comes waits for something that has to come.
func comes(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience()):
		t.Fatalf("%s: that does not come", what)
	}
}

// stays checks, in virtual time, that something does not come for as long.
func (p *pending) stays(t *testing.T, what string, d time.Duration) {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
	if p.isDone() {
		t.Fatalf("%s: that has ended after %v, %v ago", what, p.err, time.Since(p.at))
	}
}

// handler is the body of a handler that tells what happens to it.
type handler struct {
	in   chan struct{} // has an element when it is called
	runs atomic.Int32
	run  func(context.Context) error
}

func newHandler(run func(context.Context) error) *handler {
	return &handler{in: make(chan struct{}, 1000), run: run}
}

// service returns a service whose methods all run the handler.
func (h *handler) service() fnService {
	return fnService{
		unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			return &testgrpc.SimpleResponse{}, h.handle(ctx)
		},
		output: func(s testgrpc.TestService_StreamingOutputCallServer) error { return h.handle(s.Context()) },
		duplex: func(s testgrpc.TestService_FullDuplexCallServer) error { return h.handle(s.Context()) },
	}
}

// answering returns a service that answers at once.
func (h *handler) answering() fnService {
	h.run = func(context.Context) error { return nil }
	return h.service()
}

func (h *handler) handle(ctx context.Context) error {
	h.runs.Add(1)
	h.in <- struct{}{}
	return h.run(ctx)
}
