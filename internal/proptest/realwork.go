package proptest

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/report"
)

// work returns the calls that the GracefulStop of a server has to wait for.
func (r *Run) work(server string) (all []*Span) {
	w, ok := r.World.(*realWorld)
	if !ok {
		return nil
	}
	for _, s := range r.all(opHandler) {
		if w.server(s.Name) == server {
			all = append(all, s)
		}
	}
	if r.on(server).Kind == taskKind {
		return r.all(opTask)
	}
	return all
}

// DrainedWhole is G3, and G4 for real servers: GracefulStop returns when all work has come
// to its end, and not long after that.
func DrainedWhole(r *Run) error {
	for _, gs := range r.all(opGracefulStop) {
		on := r.on(gs.Name)
		if on.Name == "" {
			continue
		}
		last := gs.In
		for _, s := range r.work(gs.Name) {
			last = later(last, r.out(s))
		}
		if out := r.out(gs); out.Before(last) && out.Before(r.expiry) {
			return fmt.Errorf("GracefulStop of %s returned at %s, before the end of its work at %s", gs.Name, r.since(out), r.since(last))
		}
		for _, a := range r.jobs() {
			if a.on.Name == on.Name && (a.Slow > 0 && !a.client.In.After(gs.In) || a.Kind == trickles && a.handler != nil) { // it was asking, or reads
				last = later(last, r.out(a.client))
			}
		}
		limit := last.Add(on.Handshake + on.Spread + moment)
		if on.Kind == httpKind {
			limit = limit.Add(linger)
		}
		if out := r.out(gs); out.After(limit) && limit.Before(r.expiry) {
			return fmt.Errorf("GracefulStop of %s returned at %s, long after the end of its work at %s", gs.Name, r.since(out), r.since(last))
		}
	}
	return nil
}

// TasksKept is G3: a task is refused only if its group was told to stop before its handler
// began.
func TasksKept(r *Run) error {
	for _, s := range r.all(opTask) {
		group, handler := r.servers(false), r.first(opHandler, s.Name)
		gs := r.graceful(group[len(group)-1].Name) // tasks come last
		switch {
		case errors.Is(s.Err, drain.ErrClosed) && handler.In.Before(gs.In):
			return fmt.Errorf("the task of %s was refused, and its group was told to stop at %s", s.Name, r.since(gs.In))
		case !s.In.Equal(handler.In):
			return fmt.Errorf("the task of %s began at %s", s.Name, r.since(s.In))
		}
	}
	return nil
}

// AdminServes is G2: the admin server answers until the flushers are over, and says the
// truth about readiness.
func AdminServes(r *Run) error {
	gs := r.graceful(adminName)
	for _, s := range r.all(opClient) {
		if !isVisit(s) {
			continue
		}
		a, _ := s.Value.(answer)
		switch {
		case s.In.After(gs.In) && a.err == nil && s.How != Running:
			return fmt.Errorf("%s asked at %s and heard %q, when the admin server was told to go at %s", s.Name, r.since(s.In), a.body, r.since(gs.In))
		case s.In.Before(gs.In) && r.out(s).Before(gs.In) && (a.err != nil || a.status != http.StatusOK):
			return fmt.Errorf("%s asked at %s and heard %v at %s", s.Name, r.since(s.In), a, r.since(s.Out))
		case s.In.Before(gs.In) && r.out(s).After(r.Ended):
			return fmt.Errorf("%s asked at %s, and has heard nothing", s.Name, r.since(s.In))
		case a.body == "ready" && s.In.After(r.trigger) || a.body == "not ready" && s.In.Before(r.trigger) && s.In.After(r.Begun):
			return fmt.Errorf("%s asked at %s, and heard %q", s.Name, r.since(s.In), a.body)
		}
	}
	return nil
}

// WatchersTold is G5 for streams that never end: they are told NOT_SERVING, and then that
// the server leaves; after the GOAWAYs, which handshakes may hold.
func WatchersTold(r *Run) error {
	return r.each(func(a *asked) error {
		c := a.client
		if a.Kind != watches || !a.at.Before(a.gs.In) || !r.heardOf(lastcall.PhaseServe) {
			return nil
		}
		if limit := earlier(a.gs.In.Add(max(a.on.Spread, a.on.Handshake)), r.expiry).Add(moment); r.out(c).After(limit) {
			return r.fail(a, "it was not ended by %s", r.since(limit))
		}
		if a.heard.body != healthpb.HealthCheckResponse_NOT_SERVING.String() && r.timer.After(r.trigger) {
			return r.fail(a, "its last message was %s", a.heard.body)
		}
		if status.Code(a.heard.err) != codes.Unavailable || status.Convert(a.heard.err).Message() != leaving {
			return r.fail(a, "it ended with %v", a.heard.err)
		}
		return nil
	})
}

// WorkAddsUp is G8: the numbers of a server add up, and are those of the handlers: how many
// ran when the shutdown began or came later, and how many the timer found at work.
func WorkAddsUp(r *Run) error {
	for _, srv := range r.servers(false) {
		on := r.on(srv.Name)
		ran, before, lost := 0, 0, 0
		for _, w := range r.Report.Work {
			switch {
			case w.Server != on.Name || w.Kind == lastcall.WorkInfra:
				continue
			case w.Kind == lastcall.WorkCall:
				if !w.Oldest.Equal(r.terminated) { // it was begun in this instant
					return fmt.Errorf("%s: a call has not returned that never hangs: %+v", on.Name, w)
				}
				continue
			case w.Before+w.Arrived != w.Completed+w.Cancelled+w.Cut+w.Running || w.Late > w.Arrived:
				return fmt.Errorf("%s: the numbers do not add up: %+v", on.Name, w)
			case !r.expired && max(0, w.Cancelled-w.Late)+w.Cut+w.Running > 0: // those that came too late were refused
				return fmt.Errorf("%s: drained, with %+v", on.Name, w)
			case on.Kind == httpKind && w.Name != "GET /job/{id}":
				return fmt.Errorf("%s: a request is counted as %q", on.Name, w.Name)
			}
			if err := slowestTruly(r.Report, w); err != nil {
				return fmt.Errorf("%s: %w", on.Name, err)
			}
			ran += w.Before + w.Arrived
			before += w.Before
			lost += w.Cancelled + w.Cut + w.Running
		}
		if err := r.counts(on, ran, before, lost); err != nil {
			return err
		}
	}
	return nil
}

// counts compares numbers with what was seen. What happens in the same instant may be
// counted one way or the other.
func (r *Run) counts(on realServer, ran, before, lost int) error {
	leastRan, mostRan, leastBefore, mostBefore, leastLost, mostLost := 0, 0, 0, 0, 0, 0
	gs := r.graceful(on.Name)
	for _, s := range r.counted(on) {
		out := r.out(s)
		if !out.Before(r.trigger) {
			mostRan++
			if !s.In.After(r.trigger) {
				mostBefore++
			}
		}
		if !out.Before(r.expiry) {
			mostLost++
		}
		if out.After(r.trigger) && s.In.Before(gs.In) { // otherwise it may have been refused
			leastRan++
			if s.In.Before(r.trigger) {
				leastBefore++
			}
			if out.After(r.cancelled(on.Name)) && r.expired {
				leastLost++
			}
		}
	}
	for _, a := range r.jobs() { // one that has no handler may have been refused by the adapter
		if a.on.Name == on.Name && a.handler == nil {
			mostRan++
			mostLost++
		}
	}
	if ran < leastRan || ran > mostRan || before < leastBefore || before > mostBefore || lost < leastLost || lost > mostLost {
		return fmt.Errorf("%s: the report counts %d, %d of them before the trigger and %d lost, want %d to %d, %d to %d and %d to %d",
			on.Name, ran, before, lost, leastRan, mostRan, leastBefore, mostBefore, leastLost, mostLost)
	}
	return nil
}

// counted returns what a server counts: its handlers, but for raw ones, which count their
// connections.
func (r *Run) counted(on realServer) (all []*Span) {
	if on.Kind != rawKind {
		for _, s := range r.work(on.Name) {
			if !errors.Is(s.Err, drain.ErrClosed) {
				all = append(all, s)
			}
		}
		return all
	}
	for _, c := range r.all(opConn) {
		if c.Name == on.Name {
			all = append(all, c)
		}
	}
	return all
}

// slowestTruly checks the work that a server names as the slowest: it ended in the shutdown, and is
// counted so.
func slowestTruly(r report.Report, w lastcall.Work) error {
	fates, last := map[string]int{}, time.Duration(math.MaxInt64)
	for _, e := range w.Slowest {
		if e.Ended.IsZero() {
			continue
		}
		fates[e.Fate]++
		took := e.Lasted(r.Triggered)
		if took < 0 || took > last || e.Ended.Before(r.Triggered) || e.Ended.After(r.Ended) {
			return fmt.Errorf("%+v is not one of the slowest, in their order, of %+v", e, w)
		}
		last = took
	}
	if fates["completed"] > w.Completed || fates["cancelled"] > w.Cancelled || fates["cut"] > w.Cut || w.Completed+w.Cut > 0 && len(fates) == 0 {
		return fmt.Errorf("the slowest are counted otherwise than all: %+v", w)
	}
	return nil
}
