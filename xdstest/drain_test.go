package xdstest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	csds "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/grpcadapter"
)

// roomy is a budget whose timer no test waits for: what needs it has hung.
var roomy = lastcall.Budget{Total: 30 * time.Second, Reserve: 10 * time.Second}

// wantLeaving checks for the status with which lastcall ends an RPC.
func wantLeaving(t *testing.T, what string, err error) {
	t.Helper()
	if st := status.Convert(err); st.Code() != codes.Unavailable || st.Message() != "the server is shutting down" {
		t.Errorf("%s: %v", what, err)
	}
}

// wantWork checks the numbers of the report, all of them.
func wantWork(t *testing.T, r report.Report, want ...lastcall.Work) {
	t.Helper()
	for i := range want {
		want[i].Server = "xds"
	}
	got := slices.Clone(r.Work)
	for i := range got {
		got[i].Slowest = [3]lastcall.EndedWork{} // when they began and ended
	}
	if !slices.Equal(got, want) {
		t.Errorf("work is %+v\nwant %+v", got, want)
	}
}

// wantDrained checks that a server has drained, and long before the timer.
func wantDrained(t *testing.T, r report.Report, lis net.Listener) {
	t.Helper()
	if r.Outcome != report.OutcomeDrained || r.ExitCode() != report.ExitOK || r.Took() > 5*time.Second || !isClosed(lis) {
		t.Errorf("%v, exit code %d, after %v, listener closed: %v\n%v", r.Outcome, r.ExitCode(), r.Took(), isClosed(lis), r)
	}
}

// An xds server drains as others do: RPCs in flight finish, streams learn of the
// drain, those that never end are ended, and a peer in its handshake holds nothing.
func TestDrain(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}, 1), make(chan struct{})
	lis := listen(t, "tcp", loopback)
	build := func(t *testing.T, lis net.Listener, s service, opts ...grpc.ServerOption) *grpcadapter.Server {
		return adopted(t, grpcadapter.WrapListener(lis, grpcadapter.HandshakeTime(50*time.Millisecond)), s, opts...)
	}
	h := serve(t, roomy, build, lis, service{
		unary: func(context.Context) error { running <- struct{}{}; <-release; return nil },
		stream: func(s testgrpc.TestService_FullDuplexCallServer) error {
			if err := s.Send(&testgrpc.StreamingOutputCallResponse{}); err != nil {
				return err
			}
			<-lastcall.Draining(s.Context())
			return s.Send(&testgrpc.StreamingOutputCallResponse{})
		},
	})
	answer := h.unary(t)
	await(t, "the unary RPC", running)
	stream, err := testgrpc.NewTestServiceClient(h.client).FullDuplexCall(t.Context())
	must(t, err)
	must(t, received(stream.Recv()))
	watch, err := healthpb.NewHealthClient(h.client).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	must(t, err)
	must(t, received(watch.Recv()))
	config, err := csds.NewClientStatusDiscoveryServiceClient(h.client).StreamClientStatus(t.Context())
	must(t, err)
	must(t, config.Send(&csds.ClientStatusRequest{}))
	must(t, received(config.Recv()))
	silent := connect(t, lis)
	must(t, received(silent.Read(make([]byte, 1)))) // grpc speaks first: it is in the handshake

	h.Shutdown(nil)
	must(t, received(stream.Recv()))
	if err := received(stream.Recv()); !errors.Is(err, io.EOF) {
		t.Errorf("the end of the stream: %v", err)
	}
	if last, err := watch.Recv(); err != nil || last.Status != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("the last health message: %v, %v", last, err)
	}
	wantLeaving(t, "health Watch", received(watch.Recv()))
	wantLeaving(t, "client status", received(config.Recv()))
	must(t, received(io.Copy(io.Discard, silent))) // until it is closed
	select {
	case r := <-h.report:
		t.Fatalf("over while a handler runs\n%v", r)
	default:
	}
	close(release)
	must(t, await(t, "the unary answer", answer))
	r := await(t, "the report", h.report)
	wantDrained(t, r, lis)
	await(t, "the end of the stream to the management server", h.left)
	wantWork(t, r,
		lastcall.Work{Name: csds.ClientStatusDiscoveryService_StreamClientStatus_FullMethodName, Kind: lastcall.WorkInfra, Before: 1, Completed: 1},
		lastcall.Work{Name: healthpb.Health_Watch_FullMethodName, Kind: lastcall.WorkInfra, Before: 1, Completed: 1},
		lastcall.Work{Name: testgrpc.TestService_FullDuplexCall_FullMethodName, Kind: lastcall.WorkBidiStream, Before: 1, Completed: 1},
		lastcall.Work{Name: testgrpc.TestService_UnaryCall_FullMethodName, Kind: lastcall.WorkUnary, Before: 1, Completed: 1},
	)
}

// At the timer, RPCs that are left end with a status, also one that is blocked in
// RecvMsg, and with the cause.
func TestTimer(t *testing.T) {
	t.Parallel()
	running, cause := make(chan struct{}, 2), make(chan error, 1)
	budget := lastcall.Budget{Total: 6 * time.Second, Reserve: 5 * time.Second}
	h := serve(t, budget, adopted, listen(t, "tcp", loopback), service{
		unary: func(ctx context.Context) error {
			running <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		},
		stream: func(s testgrpc.TestService_FullDuplexCallServer) error {
			running <- struct{}{}
			err := received(s.Recv())
			cause <- context.Cause(s.Context())
			return err
		},
	})
	answer := h.unary(t)
	stream, err := testgrpc.NewTestServiceClient(h.client).FullDuplexCall(t.Context())
	must(t, err)
	await(t, "an RPC", running)
	await(t, "the other RPC", running)
	h.Shutdown(nil)
	wantLeaving(t, "unary", await(t, "the unary answer", answer))
	wantLeaving(t, "stream", received(stream.Recv()))
	if err := await(t, "the cause", cause); !errors.Is(err, lastcall.ErrTimer) {
		t.Errorf("the context of the stream's handler ended with %v", err)
	}
	r := await(t, "the report", h.report)
	if r.Outcome != report.OutcomeCancelled || r.ExitCode() != report.ExitInterrupted || !isClosed(h.lis) {
		t.Errorf("%v, exit code %d, listener closed: %v\n%v", r.Outcome, r.ExitCode(), isClosed(h.lis), r)
	}
	if timer := budget.Total - budget.Reserve; r.Took() < timer || r.Took() > budget.Total {
		t.Errorf("it took %v, the timer is at %v", r.Took(), timer)
	}
	wantWork(t, r,
		lastcall.Work{Name: testgrpc.TestService_FullDuplexCall_FullMethodName, Kind: lastcall.WorkBidiStream, Before: 1, Cancelled: 1},
		lastcall.Work{Name: testgrpc.TestService_UnaryCall_FullMethodName, Kind: lastcall.WorkUnary, Before: 1, Cancelled: 1},
	)
}

// Serve does not wait for its configuration: without one the server accepts
// connections and closes them. It stops at once then, too, whatever keeps the
// configuration from coming.
func TestNotServing(t *testing.T) {
	for name, addr := range map[string]func(*testing.T) string{
		"no management server":                   func(*testing.T) string { return nowhere },
		"a silent management server":             func(t *testing.T) string { return listen(t, "tcp", loopback).Addr().String() },
		"a management server that knows nothing": func(t *testing.T) string { return manage(t).addr },
	} {
		for shape, build := range shapes() {
			t.Run(name+"/"+shape, func(t *testing.T) {
				t.Parallel()
				h := &house{lis: listen(t, "tcp", loopback)}
				h.control(t, roomy, build(t, h.lis, service{}, bootstrap(addr(t))))
				h.run()
				must(t, received(io.Copy(io.Discard, connect(t, h.lis)))) // it serves, and is not configured
				h.Shutdown(nil)
				r := await(t, "the report", h.report)
				wantDrained(t, r, h.lis)
				wantWork(t, r)
				if len(r.Notes) > 0 {
					t.Errorf("notes: %v", r.Notes)
				}
			})
		}
	}
}

// A server whose configuration was taken away drains what it had begun before.
func TestServesNoMore(t *testing.T) {
	t.Parallel()
	running := make(chan struct{}, 1)
	h := serve(t, roomy, adopted, listen(t, "tcp", loopback), service{unary: func(ctx context.Context) error {
		running <- struct{}{}
		<-lastcall.Draining(ctx)
		return nil
	}})
	answer := h.unary(t)
	await(t, "the RPC", running)
	h.publish(t, 2)
	h.await(t, connectivity.ServingModeNotServing)
	h.Shutdown(nil)
	must(t, await(t, "the answer", answer))
	r := await(t, "the report", h.report)
	wantDrained(t, r, h.lis)
	wantWork(t, r, lastcall.Work{Name: testgrpc.TestService_UnaryCall_FullMethodName, Kind: lastcall.WorkUnary, Before: 1, Completed: 1})
}
