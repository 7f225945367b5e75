package grpcadapter

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// slowTransport is a transport stream whose SetTrailer takes its time.
type slowTransport struct {
	grpc.ServerTransportStream
	held chan struct{}
	did  []string
}

func (s *slowTransport) SetTrailer(metadata.MD) error {
	<-s.held
	s.did = append(s.did, "trailer")
	return nil
}

func (s *slowTransport) WriteStatus(*status.Status) error {
	s.did = append(s.did, "status")
	return nil
}

// slowStream is a grpc.ServerStream on such a transport stream.
type slowStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s slowStream) Context() context.Context { return s.ctx }

// A handler returns while phase cancel gives its RPC a status: what the interceptor
// returns comes after the trailer, because grpc would send it without.
func TestTrailerComesFirst(t *testing.T) {
	for _, kind := range []string{"unary", "stream"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer([]Option{WithRetryPushback(time.Second)})
				s.tracked.Store(true)
				transport := &slowTransport{held: make(chan struct{})}
				ctx := grpc.NewContextWithServerTransportStream(t.Context(), transport)
				finish := make(chan struct{})
				var err error
				go func() {
					if kind == "unary" {
						_, err = s.unary(ctx, nil, &grpc.UnaryServerInfo{}, func(context.Context, any) (any, error) {
							<-finish
							return "the answer", nil
						})
					} else {
						err = s.stream(nil, slowStream{ctx: ctx}, &grpc.StreamServerInfo{}, func(any, grpc.ServerStream) error {
							<-finish
							return nil
						})
					}
					transport.did = append(transport.did, "interceptor")
				}()
				synctest.Wait()
				over, end := context.WithCancel(t.Context())
				end()
				s.Cancel(over, context.Canceled)
				synctest.Wait() // until the trailer is being set
				close(finish)
				synctest.Wait()
				close(transport.held)
				synctest.Wait()
				if want := []string{"trailer", "status", "interceptor"}; !slices.Equal(transport.did, want) {
					t.Errorf("in this order came %q, want %q", transport.did, want)
				}
				if status.Code(err) != codes.Unavailable {
					t.Errorf("the interceptor returned %v", err)
				}
			})
		})
	}
}
