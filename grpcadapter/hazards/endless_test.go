package hazards_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
)

// Rows 15 and 16: streams that go on for as long as the client likes.

// registerFunc is a service that is registered by a function.
type registerFunc func(grpc.ServiceRegistrar)

func (f registerFunc) register(srv grpc.ServiceRegistrar) { f(srv) }

// received is one message, or the end, that a client has got from a stream.
type received[M any] struct {
	at  time.Time
	msg M
	err error
}

// watched is a stream that a client reads to its end.
type watched[M any] struct {
	*pending
	got     []received[M]
	trailer metadata.MD
}

// readToEnd reads a stream to its end. What it got may be looked at once it is done, or
// when everything has come to rest.
func readToEnd[M any](recv func() (M, error), trailer func() metadata.MD) *watched[M] {
	w := &watched[M]{}
	w.pending = start(func() error {
		for {
			m, err := recv()
			w.got = append(w.got, received[M]{time.Now(), m, err})
			if err != nil {
				w.trailer = trailer()
				return err
			}
		}
	})
	return w
}

// openHealth opens a health Watch.
func openHealth(t *testing.T, conn *grpc.ClientConn) *watched[*healthpb.HealthCheckResponse] {
	t.Helper()
	stream, err := healthpb.NewHealthClient(conn).Watch(context.Background(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return readToEnd(stream.Recv, stream.Trailer)
}

// wantHealth checks what a health Watch got: SERVING before the trigger, NOT_SERVING
// when the drain begins, and our status some time after the trigger.
func wantHealth(t *testing.T, w *watched[*healthpb.HealthCheckResponse], r report.Report, end time.Duration) {
	t.Helper()
	w.wantAt(t, "a health Watch", r, end)
	var got []string
	for _, m := range w.got {
		if m.err == nil {
			got = append(got, m.msg.Status.String())
		}
	}
	if fmt.Sprint(got) != "[SERVING NOT_SERVING]" || !w.got[1].at.Equal(r.Triggered.Add(r.Budget.Settle)) {
		t.Errorf("a health Watch got %v", got)
	}
	wantLeaving(t, "a health Watch", w.result())
}

// infra is what a report has of a method that is there for the network.
func infra(method string, w lastcall.Work) lastcall.Work {
	w.Name, w.Kind = method, lastcall.WorkInfra
	return w
}

// checkedByClient makes a grpc-go client watch the health of its server.
func checkedByClient() grpc.DialOption {
	return grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}`)
}

// Row 15: health.Shutdown sends NOT_SERVING to a Watch and leaves it open, which
// holds GracefulStop; only grpc-go's own health checking leaves by itself. lastcall
// ends it in the drain, after its last message.
func TestHazard15_HealthWatch(t *testing.T) {
	inVirtualTime(t, "grpc", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h := health.NewServer()
		srv := bare(t, n, registerFunc(func(srv grpc.ServiceRegistrar) { healthpb.RegisterHealthServer(srv, h) }))
		w := openHealth(t, n.client(t))
		synctest.Wait()
		down := time.Now()
		h.Shutdown()
		synctest.Wait()
		if len(w.got) != 2 || w.got[1].msg.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING || !w.got[1].at.Equal(down) {
			t.Errorf("the Watch got %+v", w.got)
		}
		start(noError(srv.GracefulStop)).stays(t, "GracefulStop", time.Hour)
		if w.isDone() {
			t.Errorf("the Watch has ended: %+v", w.got)
		}
	})
	inVirtualTime(t, "grpc/grpc-go's health checking", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		h := health.NewServer()
		option, watches := tellWatches()
		srv := bare(t, n, registerFunc(func(srv grpc.ServiceRegistrar) {
			healthpb.RegisterHealthServer(srv, h)
			fnService{}.register(srv)
		}), option)
		if err := call(n.client(t, checkedByClient()))(); err != nil {
			t.Fatal(err)
		}
		comes(t, "the client's Watch", watches)
		h.Shutdown()
		start(noError(srv.GracefulStop)).wantNow(t, "GracefulStop")
	})
	for _, settle := range []time.Duration{0, 5 * time.Second} {
		name := fmt.Sprintf("lastcall/settle %v", settle)
		inVirtualTime(t, name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			budget := usual()
			budget.Settle = settle
			l := begin(t, n, setup{budget: budget})
			var all []*watched[*healthpb.HealthCheckResponse]
			for range 5 {
				conn := n.client(t)
				for range 20 {
					all = append(all, openHealth(t, conn))
				}
			}
			synctest.Wait()
			r := l.shutdown(t)
			wantEnd(t, r, report.OutcomeDrained, settle)
			wantWork(t, r, infra(healthpb.Health_Watch_FullMethodName, lastcall.Work{Before: 100, Completed: 100}))
			for _, w := range all {
				wantHealth(t, w, r, settle)
			}
			if r.ExitCode() != report.ExitOK {
				t.Errorf("the exit code is %d", r.ExitCode())
			}
			wantNoServer(t, r)
		})
		inVirtualTime(t, name+"/grpc-go's health checking", func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			budget := usual()
			budget.Settle = settle
			option, watches := tellWatches()
			l := begin(t, n, setup{budget: budget, grpc: []grpc.ServerOption{option}})
			if err := call(n.client(t, checkedByClient()))(); err != nil {
				t.Fatal(err)
			}
			comes(t, "the client's Watch", watches)
			synctest.Wait()
			r := l.shutdown(t)
			wantEnd(t, r, report.OutcomeDrained, settle)
			wantNoServer(t, r)
		})
	}
	inVirtualTime(t, "lastcall/a Watch that comes in the drain", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		l := begin(t, n, setup{})
		p := n.peer(t, peerConfig{noPingAcks: true, leaves: true})
		synctest.Wait()
		l.trigger()
		p.goAway(t, 0)
		if got := p.status(t, p.call(t, healthpb.Health_Watch_FullMethodName)); got.code != codes.Unavailable || got.text != ourText {
			t.Errorf("a late Watch: %v %q", got.code, got.text)
		}
		p.ackPings(t)
		r := l.report(t)
		wantEnd(t, r, report.OutcomeDrained, 0)
		wantWork(t, r, infra(healthpb.Health_Watch_FullMethodName, lastcall.Work{Arrived: 1, Late: 1, Completed: 1}))
		wantNoServer(t, r)
	})
}

// tellWatches returns an option with which the channel has an element for each health
// Watch that has begun.
func tellWatches() (grpc.ServerOption, <-chan struct{}) {
	begun := make(chan struct{}, 100)
	return grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		if info.FullMethod == healthpb.Health_Watch_FullMethodName {
			begun <- struct{}{}
		}
		return next(srv, ss)
	}), begun
}

const (
	reflectMethod = reflectpb.ServerReflection_ServerReflectionInfo_FullMethodName
	orcaService   = "xds.service.orca.v3.OpenRcaService"
	orcaMethod    = "/" + orcaService + "/StreamCoreMetrics"
)

// orca is a service with the name of that for load reports, which go on until the
// client has enough. The messages of the real one are in a module of their own.
func orca(srv grpc.ServiceRegistrar) {
	srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: orcaService,
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName:    "StreamCoreMetrics",
			ServerStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error {
				if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
					return err
				}
				for {
					if err := stream.SendMsg(new(emptypb.Empty)); err != nil {
						return err
					}
					select {
					case <-stream.Context().Done():
						return stream.Context().Err()
					case <-time.After(30 * time.Second):
					}
				}
			},
		}},
	}, struct{}{})
}

// services are those of row 16.
func services(duplex func(testgrpc.TestService_FullDuplexCallServer) error) registerFunc {
	return func(srv grpc.ServiceRegistrar) {
		reflection.Register(srv.(reflection.GRPCServer))
		orca(srv)
		fnService{duplex: duplex}.register(srv)
	}
}

// echo answers each request after a time, until the client sends no more.
func echo(takes time.Duration) func(testgrpc.TestService_FullDuplexCallServer) error {
	return func(stream testgrpc.TestService_FullDuplexCallServer) error {
		for {
			if _, err := stream.Recv(); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			time.Sleep(takes)
			if err := stream.Send(new(testgrpc.StreamingOutputCallResponse)); err != nil {
				return err
			}
		}
	}
}

// openReflection opens a stream of server reflection and asks for the services.
func openReflection(t *testing.T, conn *grpc.ClientConn) *watched[*reflectpb.ServerReflectionResponse] {
	t.Helper()
	stream, err := reflectpb.NewServerReflectionClient(conn).ServerReflectionInfo(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	return readToEnd(stream.Recv, stream.Trailer)
}

// openOrca opens a stream of load reports.
func openOrca(t *testing.T, conn *grpc.ClientConn) *watched[*emptypb.Empty] {
	t.Helper()
	stream, err := conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true}, orcaMethod)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendMsg(new(emptypb.Empty)), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	return readToEnd(func() (*emptypb.Empty, error) {
		m := new(emptypb.Empty)
		return m, stream.RecvMsg(m)
	}, stream.Trailer)
}

// openEcho opens a stream of the user's own service.
func openEcho(t *testing.T, conn *grpc.ClientConn) (ask func(), w *watched[*testgrpc.StreamingOutputCallResponse]) {
	t.Helper()
	stream, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := stream.Send(new(testgrpc.StreamingOutputCallRequest)); err != nil {
			t.Errorf("a request: %v", err)
		}
	}, readToEnd(stream.Recv, stream.Trailer)
}

// Row 16: streams of server reflection and ORCA hold GracefulStop as well, and so do
// those of a service of the same kind. lastcall ends the first two as it ends a health
// Watch, and others if it is told to.
func TestHazard16_ReflectionAndORCA(t *testing.T) {
	opens := map[string]func(*testing.T, *grpc.ClientConn) *pending{
		"reflection": func(t *testing.T, conn *grpc.ClientConn) *pending { t.Helper(); return openReflection(t, conn).pending },
		"ORCA":       func(t *testing.T, conn *grpc.ClientConn) *pending { t.Helper(); return openOrca(t, conn).pending },
		"own": func(t *testing.T, conn *grpc.ClientConn) *pending {
			t.Helper()
			ask, w := openEcho(t, conn)
			ask()
			return w.pending
		},
	}
	for name, open := range opens {
		inVirtualTime(t, "grpc/"+name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			srv := bare(t, n, services(echo(0)))
			w := open(t, n.client(t))
			synctest.Wait()
			start(noError(srv.GracefulStop)).stays(t, "GracefulStop", time.Hour)
			if w.isDone() {
				t.Errorf("the stream has ended: %v", w.err)
			}
		})
	}
	inVirtualTime(t, "lastcall", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		l := begin(t, n, setup{
			service: services(echo(0)),
			adapter: []grpcadapter.Option{grpcadapter.WithEndlessStreams(duplexMethod)},
		})
		reflected, reported := openReflection(t, n.client(t)), openOrca(t, n.client(t))
		ask, echoed := openEcho(t, n.client(t))
		ask()
		synctest.Wait()
		time.Sleep(45 * time.Second)
		r := l.shutdown(t)
		wantEnd(t, r, report.OutcomeDrained, 0)
		wantWork(t, r, infra(reflectMethod, lastcall.Work{Before: 1, Completed: 1}))
		wantWork(t, r, infra(orcaMethod, lastcall.Work{Before: 1, Completed: 1}))
		wantWork(t, r, work(duplexMethod, lastcall.Work{Before: 1, Completed: 1}))
		for name, w := range map[string]*pending{"reflection": reflected.pending, "ORCA": reported.pending, "the user's own": echoed.pending} {
			w.wantAt(t, name, r, 0)
			wantLeaving(t, name, w.result())
		}
		if len(reflected.got) != 2 || len(reported.got) != 3 || len(echoed.got) != 2 {
			t.Errorf("the clients got %d, %d and %d messages and ends", len(reflected.got), len(reported.got), len(echoed.got))
		}
		wantNoServer(t, r)
	})
	inVirtualTime(t, "lastcall/not on the list", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		l := begin(t, n, setup{service: services(echo(0))})
		_, echoed := openEcho(t, n.client(t))
		synctest.Wait()
		r := l.shutdown(t)
		wantEnd(t, r, report.OutcomeCancelled, usualTimer, late)
		wantWork(t, r, work(duplexMethod, lastcall.Work{Before: 1, Cancelled: 1}))
		wantLeaving(t, "the user's own", echoed.result())
		wantNoServer(t, r)
	})
	for _, tt := range []struct {
		name string
		took time.Duration // for the handler to answer
		end  time.Duration // of the stream, after the trigger
		got  int           // messages
	}{
		{"an answer on its way goes out", 300 * time.Millisecond, 300 * time.Millisecond, 1},
		{"for a second", 5 * time.Second, time.Second, 0},
	} {
		inVirtualTime(t, "lastcall/"+tt.name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			l := begin(t, n, setup{
				service: services(echo(tt.took)),
				adapter: []grpcadapter.Option{grpcadapter.WithEndlessStreams(duplexMethod)},
			})
			ask, w := openEcho(t, n.client(t))
			synctest.Wait()
			ask()
			synctest.Wait()
			r := l.shutdown(t)
			wantEnd(t, r, report.OutcomeDrained, max(tt.took, tt.end)) // the handler is waited for
			w.wantAt(t, "the stream", r, tt.end)
			wantLeaving(t, "the stream", w.result())
			if len(w.got) != tt.got+1 {
				t.Errorf("the client got %d messages, want %d", len(w.got)-1, tt.got)
			}
			wantNoServer(t, r)
		})
	}
}

// Row 16 with clients that do not wait for an answer before they ask again: whatever a
// handler was given it can answer, and the answer arrives.
func TestHazard16_Pipelined(t *testing.T) {
	for _, takes := range []time.Duration{0, time.Millisecond} {
		inVirtualTime(t, fmt.Sprintf("lastcall/%v", takes), func(t *testing.T, _ <-chan struct{}) {
			const streams = 100
			var given, answered, lost atomic.Int64
			service := services(func(stream testgrpc.TestService_FullDuplexCallServer) error {
				for {
					if _, err := stream.Recv(); err != nil {
						return err
					}
					given.Add(1)
					time.Sleep(takes)
					if err := stream.Send(new(testgrpc.StreamingOutputCallResponse)); err != nil {
						lost.Add(1)
						return err
					}
				}
			})
			n := memory()
			l := begin(t, n, setup{service: service, adapter: []grpcadapter.Option{grpcadapter.WithEndlessStreams(duplexMethod)}})
			var open []*pending
			for i := range streams {
				stream, err := testgrpc.NewTestServiceClient(n.client(t)).FullDuplexCall(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				window := make(chan struct{}, 1+i%4) // how many requests may be on their way
				open = append(open, start(func() error {
					for {
						select {
						case window <- struct{}{}:
						case <-stream.Context().Done():
							return nil
						}
						_ = stream.Send(new(testgrpc.StreamingOutputCallRequest)) // the other side of the client says why it fails
						time.Sleep(time.Duration(1+i%3) * 100 * time.Microsecond)
					}
				}), start(func() error {
					for {
						if _, err := stream.Recv(); err != nil {
							return err
						}
						answered.Add(1)
						<-window
					}
				}))
			}
			time.Sleep(10 * time.Millisecond)
			r := l.shutdown(t)
			for i, p := range open {
				if err := p.result(); i%2 == 1 {
					wantLeaving(t, "a stream", err)
				}
			}
			if given.Load() == 0 || lost.Load() > 0 || given.Load() != answered.Load() {
				t.Errorf("%d requests were given to handlers, which could not answer %d; %d answers came", given.Load(), lost.Load(), answered.Load())
			}
			if r.Outcome != report.OutcomeDrained {
				t.Error(r)
			}
			wantNoServer(t, r)
		})
	}
}

// An endless stream that comes when phase drain has begun, to a server whose GracefulStop has
// not, ends at once: the server that it stands After may wait for such a stream.
func TestHazard16_BeforeGracefulStop(t *testing.T) {
	inVirtualTime(t, "lastcall", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		g := grpcadapter.New(n, grpcadapter.WithEndlessStreams(duplexMethod))
		services(echo(0)).register(g.NewServer())
		client := n.client(t)
		r := shutdownOf(t, func() {
			time.Sleep(time.Second)
			began := time.Now()
			_, w := openEcho(t, client)
			wantLeaving(t, "the stream", w.result())
			if took := time.Since(began); took != 0 {
				t.Errorf("it has ended after %v", took)
			}
			if err := call(client)(); err != nil {
				t.Errorf("another RPC: %v", err)
			}
		}, controller.WithServer("front", lingering(rpcTime), controller.ServedElsewhere(serving())), controller.WithServer("grpc", g, controller.After("front")))
		wantEnd(t, r, report.OutcomeDrained, rpcTime)
		wantWork(t, r, work(duplexMethod, lastcall.Work{Arrived: 1, Completed: 1}))
	})
}

// Row 16 with WithSpread: the endings are spread evenly, over half of the time to the
// timer at most, in the order in which the streams began.
func TestHazard16_Spread(t *testing.T) {
	for _, tt := range []struct {
		spread time.Duration
		step   time.Duration
	}{
		{10 * time.Second, 2 * time.Second},
		{time.Hour, usualTimer / 2 / 5},
		{0, 0},
	} {
		inVirtualTime(t, fmt.Sprintf("lastcall/%v", tt.spread), func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			l := begin(t, n, setup{service: services(nil), adapter: []grpcadapter.Option{grpcadapter.WithSpread(tt.spread)}})
			var open []*pending
			for i := range 5 {
				conn := n.client(t)
				switch i % 3 {
				case 0:
					open = append(open, openHealth(t, conn).pending)
				case 1:
					open = append(open, openReflection(t, conn).pending)
				case 2:
					open = append(open, openOrca(t, conn).pending)
				}
				synctest.Wait()
				time.Sleep(time.Second)
			}
			r := l.shutdown(t)
			wantEnd(t, r, report.OutcomeDrained, 4*tt.step)
			for i, w := range open {
				w.wantAt(t, fmt.Sprintf("stream %d", i), r, time.Duration(i)*tt.step)
				wantLeaving(t, "an endless stream", w.result())
			}
			wantNoServer(t, r)
		})
	}
	inVirtualTime(t, "lastcall/forced", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		l := begin(t, n, setup{adapter: []grpcadapter.Option{grpcadapter.WithSpread(10 * time.Second)}})
		open := []*pending{openHealth(t, n.client(t)).pending, openHealth(t, n.client(t)).pending}
		synctest.Wait()
		l.trigger()
		time.Sleep(3 * time.Second)
		l.Force()
		r := l.report(t)
		wantEnd(t, r, report.OutcomeCancelled, 3*time.Second, late)
		wantWork(t, r, infra(healthpb.Health_Watch_FullMethodName, lastcall.Work{Before: 2, Completed: 1, Cancelled: 1}))
		for _, w := range open {
			wantLeaving(t, "a health Watch", w.result())
		}
		wantNoServer(t, r)
	})
}

// Endless streams of a server that stands After others end as the drain begins, and not when its
// turn has come: what it waits for may have such a stream open.
func TestHazard16_After(t *testing.T) {
	inVirtualTime(t, "lastcall", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		g := grpcadapter.New(n.Listener)
		services(nil).register(g.NewServer(n.options...))
		ended := make(chan struct{})
		ctl := controllerOf(t, usual(), controller.WithServer("grpc", g, controller.After("gateway")),
			controller.WithWorker("gateway", func(context.Context, context.Context) error { <-ended; return nil }))
		var r report.Report
		run := start(func() error { r = ctl.Run(context.Background()); return nil })
		<-ctl.Serving()
		open := openReflection(t, n.client(t)).pending
		synctest.Wait()
		go func() {
			<-open.done
			close(ended)
		}()
		ctl.Shutdown(nil)
		_ = run.result()
		wantEnd(t, r, report.OutcomeDrained, 0)
		wantLeaving(t, "a reflection stream", open.result())
	})
}

// Row 16 with WithRetryPushback: the trailer goes with every status that the shutdown
// causes, and with no other.
func TestHazard16_RetryPushback(t *testing.T) {
	const key = "grpc-retry-pushback-ms"
	for _, tt := range []struct {
		pushback time.Duration
		want     string
	}{
		{1500 * time.Millisecond, "1500"},
		{-time.Second, "-1"},
		{0, "0"},
	} {
		inVirtualTime(t, fmt.Sprintf("lastcall/%v", tt.pushback), func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			h, _ := obedient()
			service := h.service()
			service.output = func(testgrpc.TestService_StreamingOutputCallServer) error {
				return status.Error(codes.NotFound, "mine")
			}
			l := begin(t, n, setup{service: service, adapter: []grpcadapter.Option{grpcadapter.WithRetryPushback(tt.pushback)}})
			endless := openHealth(t, n.client(t))
			p := n.peer(t, peerConfig{noPingAcks: true, leaves: true})
			unary, duplex := p.call(t, unaryMethod), p.open(t, duplexMethod, true)
			own := p.status(t, p.call(t, outputMethod))
			synctest.Wait()
			l.trigger()
			p.goAway(t, 0)
			refused := p.status(t, p.call(t, healthpb.Health_Watch_FullMethodName))
			r := l.report(t)
			wantEnd(t, r, report.OutcomeCancelled, usualTimer, late)
			wantHealth(t, endless, r, 0)
			if got := endless.trailer.Get(key); len(got) != 1 || got[0] != tt.want {
				t.Errorf("the trailer of an endless stream has %q", got)
			}
			for name, got := range map[string]ended{"unary": p.status(t, unary), "duplex": p.status(t, duplex), "refused": refused} {
				if got.code != codes.Unavailable || got.text != ourText || got.fields[key] != tt.want {
					t.Errorf("%s: %v %q, the trailer has %q", name, got.code, got.text, got.fields[key])
				}
			}
			if _, ok := own.fields[key]; ok || own.code != codes.NotFound {
				t.Errorf("an RPC that ended by itself: %v, the trailer has %q", own.code, own.fields[key])
			}
			wantNoServer(t, r)
		})
	}
	inVirtualTime(t, "lastcall/none", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		l := begin(t, n, setup{})
		w := openHealth(t, n.client(t))
		synctest.Wait()
		r := l.shutdown(t)
		wantHealth(t, w, r, 0)
		if got := w.trailer.Get(key); len(got) > 0 {
			t.Errorf("the trailer has %q", got)
		}
	})
}
