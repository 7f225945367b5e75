package grpcadapter_test

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
	"github.com/lastcall-go/lastcall/report"
)

// With WithReadyUntilDrain Check goes on saying SERVING in settle after a signal, and after
// no other cause; before GracefulStop of grpc is called it says NOT_SERVING.
func TestReadyUntilDrain(t *testing.T) {
	const serving, not = healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING
	for name, build := range map[string]func(*mempipe.Listener) (*grpcadapter.Server, *health.Server){
		"New": func(lis *mempipe.Listener) (*grpcadapter.Server, *health.Server) {
			g := grpcadapter.New(lis)
			g.NewServer()
			return g, g.Health()
		},
		"Use": func(lis *mempipe.Listener) (*grpcadapter.Server, *health.Server) {
			h, srv := health.NewServer(), grpc.NewServer()
			healthpb.RegisterHealthServer(srv, h)
			return grpcadapter.Use(srv, grpcadapter.WithListener(lis), grpcadapter.WithHealth(h)), h
		},
	} {
		for _, tt := range []struct {
			cause    string
			opts     []controller.Option
			inSettle healthpb.HealthCheckResponse_ServingStatus
		}{
			{"signal", []controller.Option{controller.WithReadyUntilDrain()}, serving},
			{"signal", nil, not},
			{"failure", []controller.Option{controller.WithReadyUntilDrain()}, not},
		} {
			t.Run(name+" "+tt.cause, func(t *testing.T) {
				bubble(t, func(t *testing.T, lis *mempipe.Listener, _ <-chan struct{}) {
					g, h := build(lis)
					conn := dial(t, lis)
					signals := make(chan os.Signal, 1)
					c, err := controller.New(budget, append(tt.opts, controller.WithSignalChannel(signals), controller.WithServer("grpc", g))...)
					if err != nil {
						t.Fatal(err)
					}
					ended := make(chan report.Report, 1)
					go func() { ended <- c.Run(t.Context()) }()
					<-c.Serving()
					if got := healthOf(t, conn, ""); got != serving {
						t.Errorf("before the trigger: %v", got)
					}
					if tt.cause == "signal" {
						signals <- syscall.SIGTERM
					} else {
						c.Fail(errors.New("the disk is full"))
					}
					time.Sleep(budget.Settle - time.Nanosecond)
					if got := healthOf(t, conn, ""); got != tt.inSettle {
						t.Errorf("in settle: %v, want %v", got, tt.inSettle)
					}
					if r := <-ended; (r.ExitCode() == report.ExitOK) != (tt.cause == "signal") || r.Took() != budget.Settle {
						t.Error(r)
					}
					if answer, err := h.Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil || answer.Status != not {
						t.Errorf("afterwards: %v, %v", answer, err)
					}
				})
			})
		}
	}
}
