package admin

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

// Status is what the probes ask. A *controller.Controller is one.
type Status interface {
	ProbesReady() bool
	Phase() lastcall.Phase
	Deadline() (time.Time, bool)
}

// Controller is what [Trigger] needs of a *controller.Controller.
type Controller interface {
	Status
	Shutdown(cause error)
}

// probe is the answer to a probe, as JSON.
type probe struct {
	Ready     *bool          `json:"ready,omitempty"`
	State     fsm.State      `json:"state"`
	Phase     lastcall.Phase `json:"phase"`
	Deadline  *time.Time     `json:"deadline,omitempty"`
	Remaining *float64       `json:"remaining_seconds,omitempty"`
}

// Readiness returns a handler for a readiness probe. It answers 200 from the moment
// in which every server accepts work until the first trigger, or if the controller was
// given controller.WithReadyUntilDrain until the drain begins, and 503 before and after.
// The body says why, in JSON: ready, state, phase, and once the shutdown was
// triggered deadline and remaining_seconds, which count to the end of the process.
// It takes GET and HEAD. Requests may come at any time, also before and after Run.
func Readiness(ctl Status) http.Handler {
	return reads(func(w http.ResponseWriter) {
		ready := ctl.ProbesReady()
		code := http.StatusOK
		if !ready {
			code = http.StatusServiceUnavailable
		}
		p := now(ctl)
		p.Ready = &ready
		answer(w, code, p)
	})
}

// Liveness returns a handler for a liveness probe. It always answers 200, until the
// process ends: a server that shuts down is alive, and whoever restarts it then cuts
// the drain short. The body is that of [Readiness] without ready.
func Liveness(ctl Status) http.Handler {
	return reads(func(w http.ResponseWriter) { answer(w, http.StatusOK, now(ctl)) })
}

// reads lets only requests through that read.
func reads(serve func(http.ResponseWriter)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			refuseMethod(w, "GET, HEAD")
			return
		}
		serve(w)
	})
}

// now returns where the shutdown is.
func now(ctl Status) probe {
	phase := ctl.Phase()
	p := probe{State: report.StateOf(phase), Phase: phase}
	if at, triggered := ctl.Deadline(); triggered {
		remaining := float64(max(0, time.Until(at)).Microseconds()) / 1e6
		p.Deadline, p.Remaining = &at, &remaining
	}
	return p
}

func answer(w http.ResponseWriter, code int, p any) {
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // it fails if the client has gone
}

func refuseMethod(w http.ResponseWriter, allowed string) {
	w.Header().Set("Allow", allowed)
	http.Error(w, "this method is not allowed; allowed: "+allowed, http.StatusMethodNotAllowed)
}
