//go:build unix

package examples_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/lastcall-go/lastcall/report"
)

const (
	replicas = 3
	// lag is how long after SIGTERM proxies and clients learn that an endpoint has gone.
	lag = settle / 4
	// interval makes 100 calls a second for each way to the servers.
	interval = 10 * time.Millisecond
)

// TestRollout replaces three processes one by one, as a Deployment does: the new one
// first, then SIGTERM, and everybody learns of it later. Calls through a balancer of
// connections (a ClusterIP), with gRPC and with REST, and calls of a client that follows
// the endpoints (EndpointSlices) go on all the time, and none fails.
func TestRollout(t *testing.T) {
	t.Parallel()
	cluster := &cluster{slices: manual.NewBuilderWithScheme("slices")}
	pods := make([]*guestBook, replicas)
	for i := range pods {
		pods[i] = cluster.schedule(t)
	}
	overREST := overREST(t, "http://"+cluster.serve(t, func(g *guestBook) string { return strings.TrimPrefix(g.rest, "http://") }))
	ways := map[string]func(name string) (string, error){
		"gRPC, ClusterIP":      overGRPC(hellopb.NewGreeterClient(dial(t, cluster.serve(t, func(g *guestBook) string { return g.addr })))),
		"gRPC, EndpointSlices": overGRPC(hellopb.NewGreeterClient(cluster.follow(t))),
		"REST, ClusterIP":      overREST,
	}
	ctx, end := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	numbers := map[string]*atomic.Int64{}
	for way, sign := range ways {
		number := &atomic.Int64{}
		numbers[way] = number
		calls.Go(func() {
			tick := time.NewTicker(interval)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				calls.Go(func() {
					name := fmt.Sprint(way, " ", number.Add(1))
					if _, err := sign(name); err != nil {
						t.Errorf("%s failed: %v", name, err)
					}
				})
			}
		})
	}
	for _, old := range pods {
		cluster.schedule(t)
		old.terminate(t)
		time.AfterFunc(lag, func() { cluster.remove(old) })
		old.ends(t, report.ExitOK)
	}
	end()
	calls.Wait()
	for way, number := range numbers {
		t.Logf("%s: %d calls", way, number.Load())
		if number.Load() < 100 {
			t.Errorf("%s: %d calls, which shows nothing", way, number.Load())
		}
	}
}

// TestRESTClientsMoveInSettle: from the signal on, answers ask clients to open their
// next connection, which a balancer then leads elsewhere.
func TestRESTClientsMoveInSettle(t *testing.T) {
	t.Parallel()
	g := open(t, t.TempDir(), roomy...)
	closes := func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.rest+"/echo/hello", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if text, err := io.ReadAll(response.Body); err != nil || string(text) != `{"message":"hello"}` {
			t.Errorf("%s, %v", text, err)
		}
		return response.Close
	}
	if closes() {
		t.Error("connections are not kept before the signal")
	}
	g.terminate(t)
	g.await(t, "phase settle")
	if !closes() {
		t.Error("connections are kept in the settle")
	}
	g.ends(t, report.ExitOK)
}

// cluster has the processes that calls may go to.
type cluster struct {
	slices *manual.Resolver
	next   atomic.Int64

	mu        sync.Mutex
	endpoints []*guestBook
	followed  bool
}

// schedule starts a process and makes it an endpoint when it is ready.
func (c *cluster) schedule(t *testing.T) *guestBook {
	t.Helper()
	g := open(t, t.TempDir(), roomy...)
	c.change(func() { c.endpoints = append(c.endpoints, g) })
	return g
}

func (c *cluster) remove(g *guestBook) {
	c.change(func() { c.endpoints = slices.DeleteFunc(c.endpoints, func(e *guestBook) bool { return e == g }) })
}

func (c *cluster) change(how func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	how()
	if c.followed {
		c.slices.UpdateState(c.state())
	}
}

// state is what a client that follows the endpoints is told. c.mu is locked.
func (c *cluster) state() (state resolver.State) {
	for _, e := range c.endpoints {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: e.addr})
	}
	return state
}

// follow returns a connection of a client that follows the endpoints.
func (c *cluster) follow(t *testing.T) *grpc.ClientConn {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slices.InitialState(c.state())
	conn, err := grpc.NewClient("slices:///guestbook", grpc.WithResolvers(c.slices), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	conn.Connect()
	c.followed = true
	return conn
}

// serve returns the address of a balancer: each connection goes to one endpoint, and
// stays there.
func (c *cluster) serve(t *testing.T, addr func(*guestBook) string) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() })
	go func() {
		for {
			client, err := lis.Accept()
			if err != nil {
				return // the test has ended
			}
			c.mu.Lock()
			to := addr(c.endpoints[int(c.next.Add(1))%len(c.endpoints)])
			c.mu.Unlock()
			go connect(client, to)
		}
	}()
	return lis.Addr().String()
}

// connect passes on what the two say, until both have closed.
func connect(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to) //nolint:noctx // on the loopback it takes no time
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // whoever has closed has said why
		_ = to.(*net.TCPConn).CloseWrite()
	}
	both.Go(func() { pass(server, client) })
	both.Go(func() { pass(client, server) })
	both.Wait()
}
