package xdstest_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc"
	"google.golang.org/grpc/xds"
)

// brief is a budget for tests that reach the deadline, if only by a force.
var brief = lastcall.Budget{Total: 21 * time.Second, Reserve: time.Second}

// nowhere is where no management server is.
const nowhere = "127.0.0.1:1"

func listenUnix(t *testing.T) net.Listener {
	t.Helper()
	return listen(t, "unix", filepath.Join(t.TempDir(), "s"))
}

// Hazard 27: Serve of an xds server that was stopped, or that is given anything but
// TCP, returns and leaves the listener open, where that of a grpc.Server closes it.
// With lastcall it is closed.
func TestHazard27_ServeAfterStop(t *testing.T) {
	for how, stop := range map[string]func(lastcall.Server){"Stop": lastcall.Server.Stop, "GracefulStop": lastcall.Server.GracefulStop} {
		lis, srv := listen(t, "tcp", loopback), newServer(t, service{}, bootstrap(nowhere))
		stop(srv)
		if err := srv.Serve(lis); !errors.Is(err, grpc.ErrServerStopped) || isClosed(lis) {
			t.Errorf("xds, Serve after %s: %v, listener closed: %v. Has xds changed?", how, err, isClosed(lis))
		}
		lis, plain := listen(t, "tcp", loopback), grpc.NewServer()
		stop(plain)
		if err := plain.Serve(lis); !errors.Is(err, grpc.ErrServerStopped) || !isClosed(lis) {
			t.Errorf("grpc, Serve after %s: %v, listener closed: %v", how, err, isClosed(lis))
		}
		for name, build := range shapes() {
			lis := listen(t, "tcp", loopback)
			g := build(t, lis, service{}, bootstrap(nowhere))
			stop(g)
			if err := g.Serve(); err != nil || !isClosed(lis) {
				t.Errorf("%s, Serve after %s: %v, listener closed: %v", name, how, err, isClosed(lis))
			}
		}
	}
	lis := listenUnix(t)
	if err := newServer(t, service{}, bootstrap(nowhere)).Serve(lis); err == nil || isClosed(lis) {
		t.Errorf("xds, Serve on a Unix socket: %v, listener closed: %v. Has xds changed?", err, isClosed(lis))
	}
}

// Hazard 27, whole shutdowns: the listener is closed whatever comes first, and the
// stream to the management server has ended.
func TestHazard27(t *testing.T) {
	obeys := func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return ctx.Err() }
	ignores := func(_ context.Context, over <-chan struct{}) error { <-over; return nil }
	for name, test := range map[string]struct {
		lis        func(*testing.T) net.Listener // nil: TCP
		early      bool                          // there is a trigger before Run
		handler    func(ctx context.Context, over <-chan struct{}) error
		adopt, use report.Outcome
		code       int
	}{
		"Shutdown before Run": {early: true, adopt: report.OutcomeDrained, use: report.OutcomeDrained},
		"Serve fails":         {lis: listenUnix, adopt: report.OutcomeDrained, use: report.OutcomeDrained, code: report.ExitFailed},
		"drain":               {adopt: report.OutcomeDrained, use: report.OutcomeDrained},
		"force":               {handler: obeys, adopt: report.OutcomeCancelled, use: report.OutcomeStopped, code: report.ExitInterrupted},
		"force in vain":       {handler: ignores, adopt: report.OutcomeAbandoned, use: report.OutcomeAbandoned, code: report.ExitAbandoned},
	} {
		for shape, build := range shapes() {
			t.Run(name+"/"+shape, func(t *testing.T) {
				t.Parallel()
				running, over := make(chan struct{}, 1), make(chan struct{})
				s := service{unary: func(ctx context.Context) error { running <- struct{}{}; return test.handler(ctx, over) }}
				serves := test.lis == nil && !test.early
				var h *house
				if serves {
					h = serve(t, brief, build, listen(t, "tcp", loopback), s)
				} else {
					h = &house{lis: listen(t, "tcp", loopback)}
					if test.lis != nil {
						h.lis = test.lis(t)
					}
					h.control(t, brief, build(t, h.lis, s, bootstrap(nowhere)))
				}
				t.Cleanup(func() { close(over) })
				switch {
				case test.early:
					h.Shutdown(nil)
					h.run()
				case !serves:
					h.run()
				case test.handler == nil:
					h.Shutdown(nil)
				default:
					h.unary(t)
					await(t, "the RPC", running)
					h.Force()
				}
				r, want := await(t, "the report", h.report), test.adopt
				if shape == "Use" {
					want = test.use
				}
				if late := r.Ended.Sub(r.Deadline); r.Outcome != want || r.ExitCode() != test.code || late > 500*time.Millisecond || !isClosed(h.lis) {
					t.Errorf("%v, exit code %d, want %v, %d; deadline passed by %v; listener closed: %v\n%v",
						r.Outcome, r.ExitCode(), want, test.code, max(0, late), isClosed(h.lis), r)
				}
				if serves {
					await(t, "the end of the stream to the management server", h.left)
				}
			})
		}
	}
}

// A ServingModeCallback that blocks holds a lock that closing the listener needs,
// so that GracefulStop, Stop and Serve of xds hang. Run ends by the deadline all the
// same, with the listener closed, and its report says what hangs.
func TestBlockedModeCallback(t *testing.T) {
	for shape, build := range shapes() {
		t.Run(shape, func(t *testing.T) {
			t.Parallel()
			called, over := make(chan struct{}, 1), make(chan struct{})
			h := &house{management: manage(t), lis: listen(t, "tcp", loopback)}
			h.control(t, brief, build(t, h.lis, service{}, bootstrap(h.addr), xds.ServingModeCallback(func(net.Addr, xds.ServingModeChangeArgs) {
				called <- struct{}{}
				<-over
			})))
			t.Cleanup(func() { close(over) })
			h.run()
			h.publish(t, 1, resourceFor(t, h.lis))
			await(t, "the callback", called)
			h.Force()
			r := await(t, "the report", h.report)
			if late := r.Ended.Sub(r.Deadline); r.Outcome != report.OutcomeAbandoned || late > 500*time.Millisecond || !isClosed(h.lis) {
				t.Errorf("%v, deadline passed by %v, listener closed: %v\n%v", r.Outcome, max(0, late), isClosed(h.lis), r)
			}
			var left []string
			for _, s := range r.Abandoned() {
				left = append(left, string(s.Op))
			}
			slices.Sort(left)
			if want := []string{"GracefulStop", "Serve", "Stop"}; !slices.Equal(left, want) {
				t.Errorf("%q has not returned, want %q. Has xds changed?", left, want)
			}
		})
	}
}
