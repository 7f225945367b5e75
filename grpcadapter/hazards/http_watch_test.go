package hazards_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/report"
)

// Health Watches that come through an http.Server do not hold its drain, for which the gRPC
// server waits: when it shuts down, they hear NOT_SERVING, after its GOAWAY, and end.
func TestWatchOverHTTP(t *testing.T) {
	for name, secure := range map[string]bool{"h2c": false, "TLS": true} {
		inVirtualTime(t, name, func(t *testing.T, _ <-chan struct{}) {
			f := newFront(t, secure)
			end := watchedFront(t, f, f)
			all := watchAll(t, f.network, 5)
			r := end()
			for _, w := range all {
				if err, told := w.end(); !told || !isLeaving(err) {
					t.Errorf("told: %t, and ended with %v", told, err)
				}
			}
			if r.Outcome != report.OutcomeDrained || r.Took() > httpTail {
				t.Errorf("%v", r)
			}
		})
	}
	inVirtualTime(t, "the order on the wire", func(t *testing.T, _ <-chan struct{}) {
		f := newFront(t, false)
		end := watchedFront(t, f, lateFront{f})
		p := f.peer(t, peerConfig{leaves: true})
		p.call(t, healthpb.Health_Watch_FullMethodName)
		synctest.Wait()
		end()
		all := p.frames(func(f frame) bool { return f.Type == http2.FrameData && len(f.data) > 0 || isGoAway(f) })
		if at := slices.IndexFunc(all, isGoAway); at != 1 || all[len(all)-1].at.Sub(all[at].at) != 10*time.Millisecond || len(slices.DeleteFunc(all, isGoAway)) != 2 {
			t.Errorf("the first GOAWAY comes after %d messages, want SERVING before it and NOT_SERVING 10 ms behind it: %v", at, all)
		}
	})
	inVirtualTime(t, "a Watch that comes in the drain", func(t *testing.T, _ <-chan struct{}) {
		f := newFront(t, false)
		end := watchedFront(t, f, lateFront{f})
		w := watchAll(t, f.network, 1)[0]
		late := make(chan error, 1)
		time.AfterFunc(lateTime/2, func() {
			stream, err := healthpb.NewHealthClient(w.conn).Watch(context.Background(), &healthpb.HealthCheckRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			late <- err
		})
		if r := end(); r.Outcome != report.OutcomeDrained || r.Took() > lateTime+httpTail {
			t.Errorf("%v", r)
		}
		_ = w.conn.Close()
		if err := <-late; !isLeaving(err) {
			t.Errorf("it ended with %v", err)
		}
	})
}

// lateFront is an http.Server that shuts down late: httpadapter waits for those that have just
// connected.
type lateFront struct{ *front }

const lateTime = time.Second

func (f lateFront) GracefulStop() { time.Sleep(lateTime); f.front.GracefulStop() }

// watchedFront serves a gRPC server in an http.Server, and returns what shuts both down.
func watchedFront(t *testing.T, f *front, server lastcall.FullServer) (end func() report.Report) {
	t.Helper()
	g := grpcadapter.New(nil, grpcadapter.OverHTTP())
	newHandler(nil).service().register(g.NewServer())
	f.http.Handler = g
	ctl := controllerOf(t, usual(), controller.WithServer("http", server), controller.WithServer("grpc", g, controller.After("http")))
	var r report.Report
	run := start(func() error { r = ctl.Run(context.Background()); return nil })
	<-ctl.Serving()
	return func() report.Report {
		ctl.Shutdown(nil)
		_ = run.result()
		checkReport(t, r)
		return r
	}
}
