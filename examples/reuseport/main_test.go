//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/examples/helloworld/helloworld"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// generation is one server, as a process has it.
type generation struct {
	ctl  *controller.Controller
	end  chan report.Report
	addr string
	name string
}

func launch(t *testing.T, addr, name string) *generation {
	t.Helper()
	lis, err := listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	ctl, err := controller.New(lastcall.Budget{Total: 20 * time.Second, Settle: 500 * time.Millisecond, Reserve: 5 * time.Second},
		append(server(lis, name), controller.WithSignals())...)
	if err != nil {
		t.Fatal(err)
	}
	return &generation{ctl: ctl, end: make(chan report.Report, 1), addr: lis.Addr().String(), name: name}
}

func (g *generation) run() {
	go func() { g.end <- g.ctl.Run(context.Background()) }()
	<-g.ctl.Serving()
}

func (g *generation) leave(t *testing.T) {
	t.Helper()
	g.ctl.Shutdown(nil)
	if r := <-g.end; r.ExitCode() != report.ExitOK {
		t.Error(r)
	}
}

// patience is how long a call may take. It is reached only by a test that fails.
const patience = 20 * time.Second

// greet calls on a connection of its own, and returns which generation has answered.
func greet(ctx context.Context, addr string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	reply, err := pb.NewGreeterClient(conn).SayHello(ctx, &pb.HelloRequest{Name: "a"})
	return strings.TrimPrefix(reply.GetMessage(), "Hello a from "), err
}

// TestReplace: one server replaces the other on the same port, again and again, while clients
// make fresh connections. No call fails, and the new one gets none before the old one leaves.
func TestReplace(t *testing.T) {
	old := launch(t, "127.0.0.1:0", "0")
	old.run()
	addr := old.addr
	var calls, failed atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if _, err := greet(ctx, addr); err != nil && ctx.Err() == nil && failed.Add(1) < 10 {
					t.Error(err)
				}
				calls.Add(1)
			}
		})
	}
	defer clients.Wait()
	defer stop()
	for i := range 6 {
		next := launch(t, addr, fmt.Sprint(i+1))
		for range 20 { // it has the port, and is not ready yet
			if by, err := greet(t.Context(), addr); err != nil || by != old.name {
				t.Fatalf("answered by %q, %v, want %q", by, err, old.name)
			}
		}
		next.run()
		old.leave(t)
		if by, err := greet(t.Context(), addr); err != nil || by != next.name {
			t.Errorf("answered by %q, %v, want %q", by, err, next.name)
		}
		old = next
	}
	stop()
	old.leave(t)
	t.Logf("%d calls, 6 replacements", calls.Load())
}
