package admin_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// overdue is a controller past its deadline, whose probes go on passing until the drain.
type overdue struct{ asked }

func (*overdue) ProbesReady() bool           { return true }
func (*overdue) Deadline() (time.Time, bool) { return time.Now().Add(-time.Minute), true }

// What is left is never less than nothing, and the trigger's answer is not ready, whatever
// the policy of the probes.
func TestAnswersOfTheEnd(t *testing.T) {
	ctl := &overdue{}
	trigger, err := admin.Trigger(ctl, admin.Loopback())
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/shutdown", nil)
	r.Host, r.RemoteAddr = "127.0.0.1:9090", "127.0.0.1:4711"
	w := httptest.NewRecorder()
	trigger.ServeHTTP(w, r)
	if g := parse(t, w.Code, w.Body.Bytes()); g.code != http.StatusAccepted || g.Ready == nil || *g.Ready || g.Remaining != 0 {
		t.Errorf("the trigger answers %d %s", w.Code, w.Body)
	}
	if g := direct(t, admin.Readiness(ctl), http.MethodGet); g.Remaining != 0 || g.Deadline.IsZero() {
		t.Errorf("past the deadline: %+v", g)
	}
}

// The rules stay what they were, and so does what they were made of.
func TestRulesAreCopies(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("::ffff:10.1.0.0/112")}
	methods := []string{http.MethodPut}
	h, err := admin.Trigger(&asked{}, admin.From(networks...), admin.Methods(methods...))
	if err != nil {
		t.Fatal(err)
	}
	if networks[0] != netip.MustParsePrefix("::ffff:10.1.0.0/112") {
		t.Errorf("From has changed the network to %v", networks[0])
	}
	networks[0], methods[0] = netip.MustParsePrefix("192.0.2.0/24"), http.MethodGet
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/shutdown", nil)
	r.RemoteAddr = "10.1.2.3:4711"
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusAccepted {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A token has 16 bytes at least.
func TestShortestToken(t *testing.T) {
	for token, ok := range map[string]bool{"0123456789abcdef": true, "0123456789abcde": false} {
		if _, err := admin.Trigger(&asked{}, admin.Token(token)); (err == nil) != ok {
			t.Errorf("%d bytes: %v", len(token), err)
		}
	}
}

// A client that does not send its request's headers has 5 s, as docs/time.md says.
func TestSilentClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis := mempipe.Listen(1 << 10)
		ctl, err := controller.New(lastcall.DefaultBudget(), controller.WithSignals(), controller.WithServer("admin", admin.New(lis)))
		if err != nil {
			t.Fatal(err)
		}
		go ctl.Run(t.Context())
		c, err := lis.Dial()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("GET /readyz HTTP/1.1\r\nHo")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for err == nil {
			_, err = c.Read(make([]byte, 100))
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it was closed after %v", took)
		}
		ctl.Shutdown(nil)
		<-ctl.Done()
	})
}
