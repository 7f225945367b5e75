package admin_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

const another = "a Server belongs to one controller"

// A Server that a controller has served is an error from New and Add of another one, and
// the probes go on telling of the first.
func TestTwoControllers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &process{lis: bufconn.Listen(1 << 10)}
		adm := admin.New(p.lis)
		first := mustNew(t, adm)
		over := make(chan report.Report, 1)
		go func() { over <- first.Run(context.Background()) }()
		<-first.Serving()
		if _, err := controller.New(lastcall.DefaultBudget(), controller.WithServer("admin", adm)); err == nil || !strings.Contains(err.Error(), another) {
			t.Errorf("New: %v", err)
		}
		if err := newController(t).Add(controller.WithServer("admin", adm)); err == nil || !strings.Contains(err.Error(), another) {
			t.Errorf("Add: %v", err)
		}
		if !first.Ready() {
			t.Error("the first controller is not ready any more")
		}
		adm.Attach(notBegun{})
		p.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.lis.DialContext(ctx) }}}
		if g := p.ask(t, http.MethodGet, "/readyz"); g.code != http.StatusOK || g.State != "SERVING" {
			t.Errorf("the probe tells of another one: %+v", g)
		}
		first.Shutdown(nil)
		if r := <-over; r.ExitCode() != report.ExitOK {
			t.Errorf("%v", r)
		}
	})
}

// notBegun is a controller that has not begun.
type notBegun struct{ lastcall.Host }

func (notBegun) Life() lastcall.Life         { return lastcall.Life{} }
func (notBegun) ProbesReady() bool           { return false }
func (notBegun) Phase() lastcall.Phase       { return lastcall.PhaseStart }
func (notBegun) Deadline() (time.Time, bool) { return time.Time{}, false }

// Given to two before either runs, it is an error of the second that runs.
func TestTwoControllersNeitherRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		adm := admin.New(bufconn.Listen(1))
		first, second := mustNew(t, adm), mustNew(t, adm)
		over := make(chan report.Report, 1)
		go func() { over <- first.Run(context.Background()) }()
		<-first.Serving()
		if r := second.Run(context.Background()); r.ExitCode() != report.ExitFailed || !strings.Contains(r.CauseText, another) {
			t.Errorf("the second: %v", r)
		}
		first.Shutdown(nil)
		<-over
	})
}

func mustNew(t *testing.T, adm *admin.Server) *controller.Controller {
	t.Helper()
	ctl, err := controller.New(lastcall.DefaultBudget(), controller.WithSignals(), controller.WithServer("admin", adm))
	if err != nil {
		t.Fatal(err)
	}
	return ctl
}
