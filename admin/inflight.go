package admin

import (
	"net/http"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/report"
)

// Drain is what [InFlight] needs of a *controller.Controller.
type Drain interface {
	Status
	InFlight() []lastcall.Work
	TellProgress()
}

// InFlight returns a handler that tells an operator who is in the way, at any time. GET and
// HEAD answer with what every server has in flight, as the log's line of progress lists it:
// name, kind, age, peer and path; the request itself is among them, of [WithInFlight] as
// infrastructure. POST has that line
// logged as well, with the lines of code where goroutines stand (controller.TellProgress).
// It blocks for at most 10 ms. Every client that reaches it learns the peers and paths,
// unless the controller was given controller.WithoutPeers.
func InFlight(ctl Drain) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			ctl.TellProgress()
		case http.MethodGet, http.MethodHead:
		default:
			refuseMethod(w, "GET, HEAD, POST")
			return
		}
		work := ctl.InFlight()
		sum := report.Sum(work)
		answer(w, http.StatusOK, struct {
			probe
			InFlight       int                `json:"in_flight"`
			Streams        int                `json:"streams"`
			Infrastructure int                `json:"infrastructure"`
			Running        report.RunningWork `json:"running"`
		}{now(ctl), sum.Running, sum.Streams, sum.Infrastructure, listed(work)})
	})
}

// listed returns the names with most work first.
func listed(work []lastcall.Work) (all report.RunningWork) {
	for _, w := range report.StillRunning(work) {
		one := report.Running{Server: w.Server, Name: w.Name, Kind: w.Kind, Running: w.Running, Peer: w.Peer, Path: w.Path}
		if !w.Oldest.IsZero() {
			one.Oldest = time.Since(w.Oldest)
		}
		all = append(all, one)
	}
	return all
}

// WithInFlight mounts a handler that tells who is in the way; see [InFlight].
func WithInFlight(pattern string) Option {
	return func(s *Server) {
		s.mount(pattern, InFlight(&s.host))
		if path := pathOf(pattern); len(path) > 1 && !strings.Contains(path, "{") {
			s.infra = append(s.infra, httpadapter.WithInfrastructurePaths(path))
		}
	}
}

// InFlight returns what the servers of the controller have in flight.
func (h *host) InFlight() []lastcall.Work {
	if c := h.Load(); c != nil {
		if c, ok := (*c).(Drain); ok {
			return c.InFlight()
		}
	}
	return nil
}

// TellProgress has the controller tell its progress.
func (h *host) TellProgress() {
	if c := h.Load(); c != nil {
		if c, ok := (*c).(Drain); ok {
			c.TellProgress()
		}
	}
}
