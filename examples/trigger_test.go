//go:build unix

package examples_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/report"
)

// TestRemoteTrigger: whoever has the token shuts the process down with a request, as a
// preStop hook does, and the SIGTERM that follows does not force.
func TestRemoteTrigger(t *testing.T) {
	t.Parallel()
	g := open(t, t.TempDir(), roomy...)
	ask := func(method, authorization string) int {
		code, _, err := do(t.Context(), http.DefaultClient, method, g.admin+"/shutdown", authorization, "")
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	if code := ask(http.MethodPost, ""); code != http.StatusUnauthorized {
		t.Errorf("without the token: status %d, want 401", code)
	}
	if code := ask(http.MethodGet, "Bearer "+token); code != http.StatusMethodNotAllowed {
		t.Errorf("with GET: status %d, want 405", code)
	}
	if ready := g.page(t, "/readyz"); !strings.HasPrefix(ready, "200 ") {
		t.Fatalf("requests that were refused have triggered: readiness %s", ready)
	}
	upload := g.upload(t) // something in flight, which a force would end
	for range 2 {
		if code := ask(http.MethodPost, "Bearer "+token); code != http.StatusAccepted {
			t.Errorf("status %d, want 202", code)
		}
	}
	if e := g.await(t, "shutting down"); !strings.Contains(e.Cause, "HTTP") {
		t.Errorf("cause %q, want the request", e.Cause)
	}
	g.terminate(t)
	g.await(t, "phase drain")
	if _, err := upload.CloseAndRecv(); err != nil {
		t.Errorf("the upload ended with %v", err)
	}
	if code, _ := g.exit(t); code != report.ExitOK || g.last().Forced {
		t.Errorf("exit code %d, summary %+v, want 0 and not forced", code, g.last())
	}
}

// TestSecondSignalForces: SIGTERM would wait for an upload, and so would a second one;
// SIGINT does not, once it is not the same request any more.
func TestSecondSignalForces(t *testing.T) {
	t.Parallel()
	g := open(t, t.TempDir(), "-grace=60s") // settle 5 s, drain 48 s
	upload := g.upload(t)
	g.terminate(t)
	g.await(t, "phase settle")
	time.Sleep(time.Second)
	g.terminate(t)
	if err := g.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if took := g.ends(t, report.ExitInterrupted); took > 5*time.Second+2*time.Second {
		t.Errorf("the process ended %v after the second signal, want at most the reserve of 5 s", took)
	}
	if !g.last().Forced {
		t.Errorf("summary %+v, want forced", g.last())
	}
	if err := upload.RecvMsg(nil); err == nil {
		t.Error("the upload has not ended")
	}
}
