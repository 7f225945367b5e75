package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // the client's part of health checking
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

const (
	callers     = 6                      // clients that make one call after the other
	watchers    = 4                      // streams that are opened again when they end
	slowCalls   = 4                      // slow calls, begun right before SIGTERM
	callTime    = 20 * time.Millisecond  // what a Call takes
	pause       = 10 * time.Millisecond  // between two RPCs of a client
	backoff     = 100 * time.Millisecond // after an RPC that failed
	connectTime = 5 * time.Second        // until every client has reached its replicas
	partTime    = time.Second            // until the clients hang up at the end of the demo
)

// serviceConfig makes a client spread its RPCs over the replicas that say that
// they are healthy.
const serviceConfig = `{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": "` + serviceName + `"}}`

var errClientsDone = errors.New("the demo's clients are done")

// clients are the demo's clients. Each has connections of its own to both
// replicas, goes where the health checks send it, and opens a stream again that
// has ended.
type clients struct {
	ledger *ledger
	names  map[string]string // address to replica
	a      string            // replica a's address

	ctx    context.Context // ends when they hang up
	hangUp context.CancelCauseFunc
	stop   context.Context // ends when they begin nothing new and close their streams
	part   context.CancelFunc

	conns []*client // callers, then the watchers', then the slow calls'
	wg    sync.WaitGroup
}

func newClients(l *ledger, a, b *replica) *clients {
	c := &clients{ledger: l, a: a.addr(), names: map[string]string{a.addr(): replicaA, b.addr(): replicaB}}
	c.ctx, c.hangUp = context.WithCancelCause(context.Background())
	c.stop, c.part = context.WithCancel(c.ctx)
	return c
}

// connect opens the connections and blocks until every client has had an answer
// of both replicas, or until ctx ends.
func (c *clients) connect(ctx context.Context) error {
	for range callers + 2 {
		if err := c.dial(c.names); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, connectTime, fmt.Errorf("not every client reached both replicas within %v", connectTime))
	defer cancel()
	errs := make(chan error, len(c.conns))
	for _, conn := range c.conns {
		go func() { errs <- conn.reachAll(ctx) }()
	}
	var err error
	for range c.conns {
		err = errors.Join(err, <-errs)
	}
	return err
}

// load starts the callers and the watchers.
func (c *clients) load() {
	for _, conn := range c.conns[:callers] {
		c.repeat(func() codes.Code {
			_, code := conn.call(c.ctx, methodCall, callTime)
			return code
		})
	}
	for range watchers {
		c.repeat(func() codes.Code { return c.conns[callers].watch(methodWatch) })
	}
}

// slow begins the slow calls.
func (c *clients) slow(d time.Duration) {
	for range slowCalls {
		c.wg.Go(func() { c.conns[callers+1].call(c.ctx, methodSlow, d) })
	}
}

// trouble begins the RPCs that make a scenario's trouble, if it has any. A handler
// that ignores its context is a matter of replica a alone.
func (c *clients) trouble(method string) error {
	switch method {
	case methodEndless:
		for range watchers {
			c.repeat(func() codes.Code { return c.conns[callers].watch(methodEndless) })
		}
	case methodStuck:
		if err := c.dial(map[string]string{c.a: replicaA}); err != nil {
			return err
		}
		last := c.conns[len(c.conns)-1]
		c.wg.Go(func() { last.call(c.ctx, methodStuck, 0) })
	}
	return nil
}

// repeat makes one RPC after the other until the clients stop.
func (c *clients) repeat(do func() codes.Code) {
	c.wg.Go(func() {
		for c.stop.Err() == nil {
			wait := pause
			if do() != codes.OK {
				wait = backoff
			}
			select {
			case <-time.After(wait):
			case <-c.stop.Done():
			}
		}
	})
}

// end has the clients finish what they have begun, and hangs up on what takes
// longer than partTime.
func (c *clients) end() {
	c.part()
	timer := time.AfterFunc(partTime, func() { c.hangUp(errClientsDone) })
	c.wg.Wait()
	timer.Stop()
	c.hangUp(errClientsDone)
	for _, conn := range c.conns {
		_ = conn.Close() // nothing is in flight on it any more
	}
}

// dial adds a client of the replicas with these addresses.
func (c *clients) dial(names map[string]string) error {
	var addrs []resolver.Address
	for addr := range names {
		addrs = append(addrs, resolver.Address{Addr: addr})
	}
	static := manual.NewBuilderWithScheme("lastcall")
	static.InitialState(resolver.State{Addresses: addrs})
	conn, err := grpc.NewClient("lastcall:///demo",
		grpc.WithResolvers(static),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithNoProxy())
	if err != nil {
		return fmt.Errorf("a client of %v: %w", addrs, err)
	}
	c.conns = append(c.conns, &client{ClientConn: conn, all: c, replicas: len(names)})
	return nil
}
