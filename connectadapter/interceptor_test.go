package connectadapter_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/connectadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// ask makes an RPC of a kind and returns the error with which it ends.
func ask(client connect.HTTPClient, path string, opts ...connect.ClientOption) error {
	const base = "http://server"
	ctx := context.Background()
	switch path {
	case unaryPath:
		_, err := connect.NewClient[unaryIn, unaryOut](client, base+path, opts...).CallUnary(ctx, connect.NewRequest(&unaryIn{}))
		return err
	case serverPath:
		s, err := connect.NewClient[serverIn, serverOut](client, base+path, opts...).CallServerStream(ctx, connect.NewRequest(&serverIn{}))
		if err != nil {
			return err
		}
		defer s.Close()
		for s.Receive() {
		}
		return s.Err()
	case clientPath:
		s := connect.NewClient[clientIn, clientOut](client, base+path, opts...).CallClientStream(ctx)
		if err := s.Send(&clientIn{}); err != nil {
			return err
		}
		time.Sleep(time.Hour) // the server has answered by then
		_, err := s.CloseAndReceive()
		return err
	default:
		s := connect.NewClient[serverIn, serverOut](client, base+path, opts...).CallBidiStream(ctx)
		if err := s.Send(&serverIn{}); err != nil {
			return err
		}
		var err error
		for err == nil {
			_, err = s.Receive()
		}
		_ = s.CloseRequest()
		_ = s.CloseResponse()
		return err
	}
}

// client returns an HTTP client of a listener in memory.
func client(t *testing.T, lis *mempipe.Listener) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.DialContext(ctx) }}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// isLeaving reports whether the server has said that it shuts down.
func isLeaving(err error) bool {
	return connect.CodeOf(err) == connect.CodeUnavailable && strings.Contains(err.Error(), "the server is shutting down")
}

// What the handlers of the tests do when their contexts end.
func endings() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"the context's error": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"internal": func(ctx context.Context) error {
			<-ctx.Done()
			return connect.NewError(connect.CodeInternal, errAsked)
		},
		"a moment later": func(ctx context.Context) error { <-ctx.Done(); time.Sleep(50 * time.Millisecond); return ctx.Err() },
	}
}

func protocols() map[string][]connect.ClientOption {
	return map[string][]connect.ClientOption{"connect": nil, "gRPC": {connect.WithGRPC()}, "gRPC-Web": {connect.WithGRPCWeb()}, "connect JSON": {connect.WithProtoJSON()}}
}

// What the timer interrupts ends with Unavailable, however its handler ends, and over each
// protocol.
func TestInterrupted(t *testing.T) {
	for protocol, opts := range protocols() {
		for ending, wait := range endings() {
			for _, path := range []string{unaryPath, serverPath, clientPath, bidiPath} {
				t.Run(protocol+path+" "+ending, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						lis := mempipe.Listen(64 << 10)
						ctl := serve(t, lis, handlers(wait, connect.WithInterceptors(connectadapter.Interceptor())), budget())
						got := make(chan error, 1)
						go func() { got <- ask(client(t, lis), path, opts...) }()
						synctest.Wait()
						ctl.Shutdown(errAsked)
						if err := <-got; !isLeaving(err) {
							t.Errorf("the client heard %v", err)
						}
					})
				})
			}
		}
	}
}

// Without the interceptor most of these end with Canceled: so the test above can fail.
func TestWithoutInterceptor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis := mempipe.Listen(64 << 10)
		ctl := serve(t, lis, handlers(endings()["the context's error"]), budget())
		got := make(chan error, 1)
		go func() { got <- ask(client(t, lis), unaryPath, connect.WithGRPC()) }()
		synctest.Wait()
		ctl.Shutdown(errAsked)
		if err := <-got; connect.CodeOf(err) != connect.CodeCanceled {
			t.Errorf("the client heard %v", err)
		}
	})
}

// A stream whose handler ends well because its context has ended is not whole.
func TestInterruptedStreamThatEndsWell(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lis := mempipe.Listen(64 << 10)
				wait := func(ctx context.Context) error { <-ctx.Done(); return nil }
				ctl := serve(t, lis, handlers(wait, connect.WithInterceptors(connectadapter.Interceptor())), budget())
				got := make(chan error, 1)
				go func() { got <- ask(client(t, lis), serverPath, opts...) }()
				synctest.Wait()
				ctl.Shutdown(errAsked)
				if err := <-got; !isLeaving(err) {
					t.Errorf("the client heard %v", err)
				}
			})
		})
	}
}

// A unary answer that comes after the timer is sent over gRPC. Over Connect it is an answer of
// HTTP, which is left if the option says so.
func TestAnswerAfterTheTimer(t *testing.T) {
	protocols := protocols()
	protocols["connect GET"] = []connect.ClientOption{connect.WithHTTPGet()}
	for protocol, opts := range protocols {
		for _, left := range []bool{false, true} {
			t.Run(fmt.Sprint(protocol, left), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lis := mempipe.Listen(64 << 10)
					wait := func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Millisecond); return nil }
					var options []httpadapter.Option
					if left {
						options = append(options, httpadapter.WithAnswersLeft())
					}
					ctl := serve(t, lis, handlers(wait, connect.WithInterceptors(connectadapter.Interceptor()), connect.WithIdempotency(connect.IdempotencyNoSideEffects)), budget(), options...)
					got := make(chan error, 1)
					go func() { got <- ask(client(t, lis), unaryPath, opts...) }()
					synctest.Wait()
					ctl.Shutdown(errAsked)
					err, sent := <-got, left || strings.HasPrefix(protocol, "gRPC")
					if sent && err != nil || !sent && connect.CodeOf(err) != connect.CodeUnavailable {
						t.Errorf("the client heard %v", err)
					}
				})
			})
		}
	}
}

// Handlers hear of the drain, and what ends before the timer is as the handler says.
func TestDraining(t *testing.T) {
	want := connect.NewError(connect.CodeFailedPrecondition, errAsked)
	for protocol, opts := range protocols() {
		for _, path := range []string{unaryPath, serverPath, bidiPath} {
			t.Run(protocol+path, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lis := mempipe.Listen(64 << 10)
					wait := func(ctx context.Context) error { <-lastcall.Draining(ctx); return want }
					ctl := serve(t, lis, handlers(wait, connect.WithInterceptors(connectadapter.Interceptor())), budget())
					got := make(chan error, 1)
					go func() { got <- ask(client(t, lis), path, opts...) }()
					synctest.Wait()
					began := time.Now()
					ctl.Shutdown(errAsked)
					if err := <-got; connect.CodeOf(err) != connect.CodeFailedPrecondition || time.Since(began) > time.Second {
						t.Errorf("the client heard %v after %v", err, time.Since(began))
					}
				})
			})
		}
	}
}

// A stream whose path is endless ends with the drain.
func TestEndlessPath(t *testing.T) {
	for protocol, opts := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lis := mempipe.Listen(64 << 10)
				ctl := serve(t, lis, handlers(endings()["the context's error"], connect.WithInterceptors(connectadapter.Interceptor())), budget(), httpadapter.WithEndlessPaths(serverPath))
				got := make(chan error, 1)
				go func() { got <- ask(client(t, lis), serverPath, opts...) }()
				synctest.Wait()
				began := time.Now()
				ctl.Shutdown(errAsked)
				if err := <-got; !isLeaving(err) || time.Since(began) > time.Second {
					t.Errorf("the client heard %v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// The client of grpc-go hears the same.
func TestClientOfGRPC(t *testing.T) {
	for ending, wait := range endings() {
		t.Run(ending, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lis := mempipe.Listen(64 << 10)
				ctl := serve(t, lis, handlers(wait, connect.WithInterceptors(connectadapter.Interceptor())), budget())
				conn, err := grpc.NewClient("passthrough:///server", grpc.WithTransportCredentials(insecure.NewCredentials()),
					grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				client := testgrpc.NewTestServiceClient(conn)
				got := make(chan error, 2)
				go func() {
					_, err := client.UnaryCall(context.Background(), &unaryIn{})
					got <- err
				}()
				go func() {
					s, err := client.FullDuplexCall(context.Background())
					if err == nil {
						err = s.Send(&serverIn{})
					}
					for err == nil {
						_, err = s.Recv()
					}
					got <- err
				}()
				synctest.Wait()
				ctl.Shutdown(errAsked)
				for range cap(got) {
					if err := <-got; status.Code(err) != codes.Unavailable {
						t.Errorf("the client heard %v", err)
					}
				}
			})
		})
	}
}

// Elsewhere, and before the timer, the interceptor does nothing; and clients may have it.
func TestDoesNothing(t *testing.T) {
	want := connect.NewError(connect.CodeNotFound, errAsked)
	synctest.Test(t, func(t *testing.T) {
		lis := mempipe.Listen(64 << 10)
		both := connectadapter.Interceptor()
		srv := &http.Server{Handler: handlers(func(context.Context) error { return want }, connect.WithInterceptors(both)), Protocols: new(http.Protocols)}
		srv.Protocols.SetUnencryptedHTTP2(true)
		go func() { _ = srv.Serve(lis) }()
		defer srv.Close()
		c := client(t, lis)
		for _, path := range []string{unaryPath, serverPath, bidiPath} {
			if err := ask(c, path, connect.WithInterceptors(both)); connect.CodeOf(err) != connect.CodeNotFound {
				t.Errorf("%s: %v", path, err)
			}
		}
		c.CloseIdleConnections()
	})
}
