package shutdowntest

import (
	"context"
	"flag"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
)

const overTCP = "the test shows this mode"

// Over TCP correct services raise no alarm, and bugs are found as well.
func TestRealTime(t *testing.T) {
	t.Run("correct, with a backend", func(t *testing.T) {
		if flag.Lookup("rapid.checks").Value.String() == checks { // each takes three seconds
			t.Cleanup(set("rapid.checks", "3"))
		}
		backend := echoes(t)
		shared := make(chan net.Conn, 100)
		Check(t, func(e *Env) *controller.Controller {
			own, err := new(net.Dialer).DialContext(context.Background(), "tcp", backend)
			if err != nil {
				e.Fatal(err)
			}
			return newController(e, controller.WithCloser("own", own.Close), controller.WithServer("grpc", grpcServer(e, &rpcs{unary: func(ctx context.Context) (err error) {
				var conn net.Conn
				select {
				case conn = <-shared:
				default:
					if conn, err = new(net.Dialer).DialContext(ctx, "tcp", backend); err != nil {
						return err
					}
				}
				defer func() { shared <- conn }()
				return echo(ctx, conn)
			}, stream: ticks})))
		}, GRPC("grpc", unary), GRPC("grpc", stream), RealTime(overTCP))
	})
	t.Run("a leaked goroutine", func(t *testing.T) {
		over := make(chan struct{})
		defer close(over)
		found(t, "empty", newKit([]Load{GRPC("grpc", unary), RealTime(overTCP)}, func(k *kit) {
			k.build = onGRPC(&rpcs{unary: func(context.Context) error { go func() { <-over }(); return nil }})
		}))
	})
	t.Run("bare GracefulStop with an endless stream", func(t *testing.T) {
		found(t, "bounded", newKit([]Load{GRPC("grpc", stream), RealTime(overTCP), WithBudget(lastcall.Budget{Total: time.Second, Reserve: 100 * time.Millisecond})},
			ofServer(func(e *Env) func(context.Context) {
				srv := bare(e, &rpcs{stream: endless})
				e.Cleanup(srv.Stop)
				return func(context.Context) { srv.GracefulStop() }
			})))
	})
}

// echoes starts a backend over TCP, and returns its address.
func echoes(t *testing.T) string {
	lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() })
	go func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return lis.Addr().String()
}

// What is wrong with the call of Check fails the test, with a text that says so.
func TestWrongCalls(t *testing.T) {
	call := func(context.Context, *grpc.ClientConn) error { return nil }
	nothing := func(e *Env) *controller.Controller { return newController(e) }
	for name, tt := range map[string]struct {
		build build
		load  Load
		want  string
	}{
		"no such rule":       {nothing, Without("punctual", "why not"), "want the name of a rule"},
		"no reason":          {nothing, Without("honest", ""), "and a reason"},
		"no such listener":   {nothing, GRPC("grpc", call), `Env.Listen("grpc")`},
		"a nil controller":   {func(*Env) *controller.Controller { return nil }, Without("honest", "x"), "the controller is nil"},
		"it cannot be built": {func(e *Env) *controller.Controller { e.Fatal("no database"); return nil }, Without("honest", "x"), "no database"},
		"a call that fails":  {onGRPC(&rpcs{unary: func(context.Context) error { return errAsked }}), GRPC("grpc", unary), "in calm"},
		"answers that are errors": {onWeb(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no such order\nat all", http.StatusNotFound)
		}), HTTP("web", get), `404 Not Found ("no such order")`},
		"a load without a call": {onGRPC(&rpcs{}), GRPC("grpc", call), "makes no call"},
		"a load that hides errors": {onGRPC(&rpcs{unary: func(context.Context) error { return errAsked }}), GRPC("grpc", func(ctx context.Context, cc *grpc.ClientConn) error {
			_ = unary(ctx, cc)
			return nil
		}), errAsked.Error()},
		"a probe of nothing": {onWeb(http.NotFound), Probe("web", "/redyz"), "probe /redyz to web has not said ready"},
		"it never accepts": {func(e *Env) *controller.Controller {
			return newController(e, controller.WithServer("grpc", grpc.NewServer(), controller.ServedElsewhere(make(chan struct{}))))
		}, Without("honest", "x"), "not ready after"},
		"nothing to build":     {nil, GRPC("grpc", call), "the function that builds the service is nil"},
		"a nil load":           {nothing, nil, "load 1 is nil"},
		"a load of nil":        {nothing, HTTP("web", nil), `a load for the listener "web" has no function to call`},
		"a probe without path": {nothing, Probe("web", ""), `a load for the listener "web" has no function to call, and no path`},
		"TLS without config":   {nothing, WithTLS("web", nil), `WithTLS("web") was given a nil config`},
		"a budget that is no":  {nothing, WithBudget(lastcall.Budget{}), "zero Budget"},
	} {
		t.Run(name, func(t *testing.T) {
			if text := fails(t, newKit([]Load{tt.load}, func(k *kit) { k.build = tt.build })); !strings.Contains(text, tt.want) {
				t.Errorf("it says %q, want %q", text, tt.want)
			}
		})
	}
	ctl, err := controller.New(lastcall.DefaultBudget(), controller.WithSignals())
	if err != nil {
		t.Fatal(err)
	}
	for _, none := range []lastcall.Phase{0, 99} {
		if _, err := Reached(ctl, none); err == nil || !strings.Contains(err.Error(), "Reached") {
			t.Errorf("Reached(%v) says %v", none, err)
		}
	}
}

// onWeb returns a build of a controller with one HTTP server.
func onWeb(h http.HandlerFunc) build {
	return func(e *Env) *controller.Controller {
		return newController(e, controller.WithServer("web", httpServer(e, h)))
	}
}

// What a check does not ask for is in the log.
func TestUnasked(t *testing.T) {
	k := newKit([]Load{Raw("grpc", func(context.Context, net.Conn) error { return nil })}, func(k *kit) {
		k.build = func(e *Env) *controller.Controller {
			return newController(e, controller.WithServer("web", httpServer(e, page)), controller.WithServer("grpc", grpcServer(e, &rpcs{})))
		}
	})
	if err := k.calibrate(t, calmCalls); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(k.said, "\n"); !strings.Contains(got, `listener "web"`) || !strings.Contains(got, "reads nothing") {
		t.Errorf("it says %q", got)
	}
}

// In real time a machine that runs no timers does not make Run late, and a Run that is later
// than the machine is late.
func TestStarved(t *testing.T) {
	for starved, want := range map[time.Duration]bool{0: true, 500 * time.Millisecond: false} {
		asked := time.Now()
		s := &seen{
			plan: &plan{late: 200 * time.Millisecond}, budget: lastcall.Budget{Total: time.Second, Reserve: time.Second / 2},
			asked: asked, ended: asked.Add(1500 * time.Millisecond), starved: starved,
		}
		if got := bounded(s) != ""; got != want {
			t.Errorf("starved for %v: late %v, want %v", starved, got, want)
		}
	}
}
