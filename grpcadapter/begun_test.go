package grpcadapter_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
)

// TestAcceptedBeforeDrain: grpc has accepted a connection, and has not begun to serve it
// when the drain begins. Its GracefulStop closes such a connection; the adapter has it
// served, as another process that has the same socket would have. It waits 100 ms for
// that. The GOAWAY then races with the first call, so the test has many tries: without the
// adapter all of them fail.
func TestAcceptedBeforeDrain(t *testing.T) {
	var err error
	for range 200 {
		if err = callAsDraining(t); err == nil {
			return
		}
	}
	t.Errorf("each call was lost: %v", err)
}

func callAsDraining(t *testing.T) error {
	t.Helper()
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lis := &slowAddr{Listener: inner, armed: make(chan struct{}), asked: make(chan struct{}), closed: make(chan struct{})}
	g := grpcadapter.New(lis)
	g.Adopt(slowServer{grpc.NewServer(g.ServerOptions()...), lis})
	ctl, err := controller.New(lastcall.Budget{Total: time.Minute, Reserve: time.Second}, controller.WithServer("grpc", g), controller.WithSignals())
	if err != nil {
		t.Fatal(err)
	}
	run := make(chan int)
	go func() { run <- ctl.Run(context.Background()).ExitCode() }()
	<-ctl.Serving()
	close(lis.armed)
	conn, err := grpc.NewClient(inner.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	called := make(chan error)
	go func() {
		_, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
		called <- err
	}()
	<-lis.asked // grpc has the connection
	ctl.Shutdown(nil)
	err = <-called
	if code := <-run; code != 0 {
		t.Errorf("exit code %d", code)
	}
	return err
}

// slowServer is a gRPC server that asks slowAddr for the address.
type slowServer struct {
	*grpc.Server
	lis *slowAddr
}

func (s slowServer) Serve(lis net.Listener) error {
	return s.Server.Serve(addressed{lis, s.lis})
}

// addressed is a listener with the address of another one.
type addressed struct {
	net.Listener
	at *slowAddr
}

func (l addressed) Addr() net.Addr { return l.at.Addr() }

// slowAddr is a listener whose Addr, which grpc asks for each connection before it looks
// whether it has been stopped, returns when the listener is closed.
type slowAddr struct {
	net.Listener
	armed, asked, closed chan struct{}
	askedOnce, closeOnce sync.Once
}

func (l *slowAddr) Addr() net.Addr {
	select {
	case <-l.armed:
		l.askedOnce.Do(func() { close(l.asked) })
		<-l.closed
	default:
	}
	return l.Listener.Addr()
}

func (l *slowAddr) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
