package grpcadapter_test

import (
	"context"
	"sync"
	"testing"
	"time"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// Handlers know how long after the trigger their RPC came, whenever they ask; the one that
// came before does not become late by staying.
func TestLate(t *testing.T) {
	type lateness struct {
		after time.Duration
		share float64
		ok    bool
	}
	for _, kind := range []string{"unary", "stream", "unary with contexts of their own"} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
				var mu sync.Mutex
				var got []lateness
				var opts []grpcadapter.Option
				if kind == "unary with contexts of their own" {
					opts = append(opts, grpcadapter.WithUnaryContexts())
				}
				g := grpcadapter.New(lis, opts...)
				testgrpc.RegisterTestServiceServer(g.NewServer(), service{unary: func(ctx context.Context) error {
					ctx, cancel := context.WithTimeout(ctx, time.Minute)
					defer cancel()
					time.Sleep(time.Second)
					after, share, ok := lastcall.Late(ctx)
					mu.Lock()
					defer mu.Unlock()
					got = append(got, lateness{after, share, ok})
					return nil
				}})
				c := mustNew(t, controller.WithServer("grpc", g))
				go c.Run(context.Background())
				<-c.Serving()
				client := testgrpc.NewTestServiceClient(dial(t, lis))
				call := func() {
					if kind == "stream" {
						if stream, err := client.StreamingOutputCall(t.Context(), &testgrpc.StreamingOutputCallRequest{}); err != nil {
							t.Error(err)
						} else if _, err := stream.Recv(); err.Error() != "EOF" {
							t.Error(err)
						}
						return
					}
					if _, err := client.UnaryCall(t.Context(), &testgrpc.SimpleRequest{}); err != nil {
						t.Error(err)
					}
				}
				call()
				var calls sync.WaitGroup
				calls.Go(call)
				time.Sleep(500 * time.Millisecond)
				c.Shutdown(nil)
				time.Sleep(1500 * time.Millisecond)
				calls.Go(call)
				calls.Wait()
				if want := (lateness{1500 * time.Millisecond, 0.15, true}); len(got) != 3 || got[0].ok || got[1].ok || got[2] != want {
					t.Errorf("the RPCs are late by %v, want the last by %v", got, want)
				}
				<-c.Done()
			})
		})
	}
}
