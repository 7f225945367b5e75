package shutdowntest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/internal/tlstest"
)

// bidi answers each message of a stream, and has work in the background.
type bidi struct {
	rpcs
	tasks drain.Watcher
}

func (b *bidi) FullDuplexCall(s testgrpc.TestService_FullDuplexCallServer) error {
	for {
		_, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(&testgrpc.StreamingOutputCallResponse{Payload: &testgrpc.Payload{Body: make([]byte, 5000)}}); err != nil {
			return err
		}
	}
}

func (b *bidi) EmptyCall(ctx context.Context, _ *testgrpc.Empty) (*testgrpc.Empty, error) {
	if err := b.tasks.Go(ctx, "mail", func(ctx context.Context) { _ = work(ctx) }); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error()) // the kit finds what Go's error alone is: Unknown
	}
	return &testgrpc.Empty{}, nil
}

// pings is a client of that stream.
func pings(ctx context.Context, cc *grpc.ClientConn) error {
	s, err := testgrpc.NewTestServiceClient(cc).FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for range 5 {
		if err := s.Send(&testgrpc.StreamingOutputCallRequest{}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := s.Recv(); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	_, err = s.Recv()
	return Ended(err)
}

// Services of other shapes are correct as well, and raise no alarm.
func TestCorrectShapes(t *testing.T) {
	cert, _, err := tlstest.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		build build
		loads []Load
	}{
		"bidi, tasks, TLS": {func(e *Env) *controller.Controller {
			group := drain.New()
			g := grpcadapter.New(e.Listen("grpc"))
			testgrpc.RegisterTestServiceServer(g.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert))), &bidi{tasks: group.Watcher()})
			return newController(e, controller.WithServer("grpc", g), controller.WithServer("tasks", group, controller.After("grpc")), controller.WithServer("admin", admin.New(e.Listen("admin"))))
		}, []Load{GRPC("grpc", pings), GRPC("grpc", func(ctx context.Context, cc *grpc.ClientConn) error {
			_, err := testgrpc.NewTestServiceClient(cc).EmptyCall(ctx, &testgrpc.Empty{})
			return err
		}), WithTLS("grpc", &tls.Config{InsecureSkipVerify: true}), Probe("admin", "/readyz")}},
		"endless streams option": {func(e *Env) *controller.Controller {
			g := grpcadapter.New(e.Listen("grpc"), grpcadapter.WithEndlessStreams(testgrpc.TestService_StreamingOutputCall_FullMethodName))
			testgrpc.RegisterTestServiceServer(g.NewServer(), &rpcs{stream: endless})
			return newController(e, controller.WithServer("grpc", g))
		}, []Load{GRPC("grpc", stream)}},
		"big answers": {func(e *Env) *controller.Controller {
			return newController(e, controller.WithServer("web", httpServer(e, func(w http.ResponseWriter, r *http.Request) {
				if work(r.Context()) == nil {
					_, _ = w.Write(bytes.Repeat([]byte("x"), 300_000))
				}
			})))
		}, []Load{HTTP("web", get)}},
		"uploads": {func(e *Env) *controller.Controller {
			return newController(e, controller.WithServer("web", httpServer(e, func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					return
				}
				_, _ = w.Write([]byte("thanks"))
			})))
		}, []Load{HTTP("web", func(ctx context.Context, c *http.Client) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://x/", bytes.NewReader(make([]byte, 300_000)))
			if err != nil {
				return err
			}
			res, err := c.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			_, err = io.ReadAll(res.Body)
			return err
		})}},
		"upgrades": {func(e *Env) *controller.Controller {
			return newController(e, controller.WithServer("web", httpServer(e, func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
				_, _ = io.CopyN(conn, conn, 1)
			})))
		}, []Load{HTTP("web", func(ctx context.Context, c *http.Client) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/", http.NoBody)
			if err != nil {
				return err
			}
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "echo")
			res, err := c.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			conn, ok := res.Body.(io.ReadWriter)
			if !ok {
				return errors.New("the answer cannot be written to")
			}
			if _, err := io.WriteString(conn, "x"); err != nil {
				return err
			}
			_, err = io.ReadFull(conn, make([]byte, 1))
			return err
		})}},
		"ready until the drain": {func(e *Env) *controller.Controller {
			return newController(e, controller.WithReadyUntilDrain(), controller.WithServer("grpc", grpcServer(e, &rpcs{})), controller.WithServer("admin", admin.New(e.Listen("admin"))))
		}, []Load{GRPC("grpc", unary), Probe("admin", "/readyz")}},
		"connections that grow old": {func(e *Env) *controller.Controller {
			g := grpcadapter.New(e.Listen("grpc"))
			testgrpc.RegisterTestServiceServer(g.NewServer(grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: time.Second, MaxConnectionAgeGrace: time.Second})), &rpcs{})
			return newController(e, controller.WithServer("grpc", g))
		}, []Load{GRPC("grpc", unary)}},
		"long poll": {func(e *Env) *controller.Controller {
			return newController(e, controller.WithServer("web", httpadapter.New(e.Listen("web"), &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-r.Context().Done():
				case <-time.After(20 * time.Second):
				}
				_, _ = w.Write([]byte("nothing new"))
			})}, httpadapter.WithEndlessPaths("/"))))
		}, []Load{HTTP("web", get)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Check(t, tt.build, tt.loads...)
		})
	}
}
