package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// client is one of the demo's clients. Each of its RPCs goes into the ledger with
// the code that it ended with.
type client struct {
	*grpc.ClientConn
	all      *clients
	replicas int // how many it knows
}

// reachAll makes calls until each replica has answered one.
func (c *client) reachAll(ctx context.Context) error {
	seen := make(map[string]bool)
	for len(seen) < c.replicas {
		replica, code := c.call(ctx, methodCall, callTime)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if code != codes.OK {
			return fmt.Errorf("a first call ended with %v before the shutdown began", code)
		}
		seen[replica] = true
	}
	return nil
}

// call makes a unary RPC that takes the handler the given time.
func (c *client) call(ctx context.Context, method string, takes time.Duration) (replica string, code codes.Code) {
	var from peer.Peer
	begun := time.Now()
	err := c.Invoke(ctx, path(method), durationpb.New(takes), new(wrapperspb.StringValue), grpc.Peer(&from))
	return c.ended(ctx, method, begun, &from, err)
}

// watch opens a stream and reads it until the server ends it, or, once the clients
// stop, closes it.
func (c *client) watch(method string) codes.Code {
	begun := time.Now()
	st, err := c.NewStream(c.all.ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, path(method))
	if err != nil {
		_, code := c.ended(c.all.ctx, method, begun, nil, err)
		return code
	}
	release := context.AfterFunc(c.all.stop, func() { _ = st.CloseSend() }) // an error of the stream is RecvMsg's as well
	defer release()
	for err == nil {
		err = st.RecvMsg(new(wrapperspb.StringValue))
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	from, _ := peer.FromContext(st.Context())
	_, code := c.ended(c.all.ctx, method, begun, from, err)
	return code
}

// ended writes into the ledger how an RPC with this context ended. The replica is
// "" if the RPC reached none.
func (c *client) ended(ctx context.Context, method string, begun time.Time, from *peer.Peer, err error) (string, codes.Code) {
	r := rpc{place: place{method: method}, begun: begun, code: status.Code(err)}
	r.hungUp = r.code == codes.Canceled && ctx.Err() != nil
	if from != nil && from.Addr != nil {
		r.replica = c.all.names[from.Addr.String()]
	}
	c.all.ledger.add(r)
	return r.replica, r.code
}
