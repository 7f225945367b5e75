package grpcadapter_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// A GracefulStop or Stop of the gRPC server that other code calls, a signal handler that was
// left in the program, triggers the shutdown when it is called: the server has refused
// connections from then on, and what runs would hold it for ever.
func TestStoppedByOtherCode(t *testing.T) {
	tests := map[string]struct {
		stop    func(*grpc.Server)
		lasts   time.Duration // of the RPC
		code    int
		took    time.Duration
		outcome report.Outcome
		client  string
		cut     int
	}{
		"GracefulStop":               {(*grpc.Server).GracefulStop, 3 * time.Second, report.ExitOK, 2 * time.Second, report.OutcomeDrained, "OK", 0},
		"GracefulStop, and a stream": {(*grpc.Server).GracefulStop, time.Hour, report.ExitInterrupted, 6 * time.Second, report.OutcomeCancelled, "Unavailable", 0},
		"Stop":                       {(*grpc.Server).Stop, time.Hour, report.ExitInterrupted, 0, report.OutcomeStopped, "Unavailable", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
				g := grpcadapter.New(lis)
				srv := g.NewServer()
				testgrpc.RegisterTestServiceServer(srv, service{unary: func(ctx context.Context) error {
					select {
					case <-time.After(tt.lasts):
					case <-ctx.Done():
					}
					return ctx.Err()
				}})
				ctl := mustNew(t, controller.WithServer("grpc", g))
				over := make(chan report.Report, 1)
				go func() { over <- ctl.Run(context.Background()) }()
				<-ctl.Serving()
				heard := make(chan error, 1)
				go func() {
					_, err := testgrpc.NewTestServiceClient(dial(t, lis)).UnaryCall(context.Background(), &testgrpc.SimpleRequest{})
					heard <- err
				}()
				time.Sleep(time.Second)
				go tt.stop(srv)
				synctest.Wait()
				if ctl.Ready() {
					t.Error("it is ready, and accepts no connection")
				}
				time.AfterFunc(time.Hour, ctl.Force) // or the test would hang
				r := <-over
				if r.ExitCode() != tt.code || r.Took() != tt.took || r.Outcome != tt.outcome || !strings.Contains(r.CauseText, "other code") {
					t.Error(r)
				}
				if got := status.Code(<-heard).String(); got != tt.client {
					t.Errorf("the client has heard %v", got)
				}
				if w := r.Work; len(w) != 1 || w[0].Before != 1 || w[0].Cut != tt.cut {
					t.Errorf("work: %+v", w)
				}
			})
		})
	}
}

// Of a bare server only the listener and Serve tell that other code has stopped it.
func TestBareStoppedByOtherCode(t *testing.T) {
	tests := map[string]struct {
		stop  func(*grpc.Server)
		lasts time.Duration // of the RPC; 0: there is none
		deaf  bool          // to its context
		cause string
		code  int
		took  time.Duration
	}{
		"GracefulStop":               {(*grpc.Server).GracefulStop, 0, false, `Serve "grpc" ended by itself`, report.ExitOK, 0},
		"GracefulStop, and an RPC":   {(*grpc.Server).GracefulStop, 3 * time.Second, false, "other code", report.ExitOK, 2*time.Second - 10*time.Millisecond},
		"GracefulStop, and a stream": {(*grpc.Server).GracefulStop, time.Hour, false, "other code", report.ExitInterrupted, 6 * time.Second},
		"Stop":                       {(*grpc.Server).Stop, time.Hour, false, `Serve "grpc" ended by itself`, report.ExitOK, 0},
		"Stop, and a deaf handler":   {(*grpc.Server).Stop, 3 * time.Second, true, "other code", report.ExitOK, 2*time.Second - 10*time.Millisecond},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
				srv := grpc.NewServer(grpc.WaitForHandlers(true))
				testgrpc.RegisterTestServiceServer(srv, service{unary: func(ctx context.Context) error {
					if tt.deaf {
						ctx = context.WithoutCancel(ctx)
					}
					select {
					case <-time.After(tt.lasts):
					case <-ctx.Done():
					}
					return ctx.Err()
				}})
				ctl := mustNew(t, controller.WithServer("grpc", srv, controller.On(lis)))
				over := make(chan report.Report, 1)
				go func() { over <- ctl.Run(context.Background()) }()
				<-ctl.Serving()
				if tt.lasts > 0 {
					go func() {
						_, _ = testgrpc.NewTestServiceClient(dial(t, lis)).UnaryCall(context.Background(), &testgrpc.SimpleRequest{})
					}()
				}
				time.Sleep(time.Second)
				go tt.stop(srv)
				time.Sleep(10 * time.Millisecond)
				synctest.Wait()
				if ctl.Ready() {
					t.Error("it is ready, and accepts no connection")
				}
				time.AfterFunc(time.Hour, ctl.Force) // or the test would hang
				if r := <-over; r.ExitCode() != tt.code || r.Took() != tt.took || !strings.Contains(r.CauseText, tt.cause) {
					t.Error(r)
				}
			})
		})
	}
}
