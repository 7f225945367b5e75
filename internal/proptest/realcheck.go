package proptest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/drain"
)

// The invariants of real servers claim facts that clients and handlers see, and bounds.
// Exact instants are claimed for the engine alone.

// leaving is what clients read in a status that the library causes.
const leaving = "the server is shutting down"

// linger is for how long a server may keep an HTTP connection to tell whether something
// is still coming: net/http's wait after the GOAWAY of HTTP/2, and a moment.
const linger = time.Second + moment

// asked is one thing that a client has asked for, and what became of it.
type asked struct {
	job
	name            string
	on              realServer
	handler, client *Span // nil: there is none
	gs              *Span // the server's GracefulStop
	at              time.Time
	heard           answer // the zero answer: none
}

// jobs returns what has become of all jobs whose clients have begun.
func (r *Run) jobs() (all []asked) {
	w, ok := r.World.(*realWorld)
	if !ok {
		return nil
	}
	for i, j := range w.plan.jobs {
		a := asked{job: j, name: name("job", i), on: w.plan.servers[j.Server]}
		a.handler, a.client, a.gs = r.first(opHandler, a.name), r.first(opClient, a.name), r.graceful(a.on.Name)
		if a.client == nil {
			continue
		}
		a.at = a.client.In.Add(j.Speaks + j.Slow)
		a.heard, _ = a.client.Value.(answer)
		all = append(all, a)
	}
	return all
}

// fail returns an error about a job.
func (r *Run) fail(a *asked, format string, args ...any) error {
	return fmt.Errorf("%s, %s over %s to %s, asked at %s: %s", a.name, a.Kind, a.Over, a.on.Name, r.since(a.at), fmt.Sprintf(format, args...))
}

// each checks all jobs.
func (r *Run) each(check func(a *asked) error) error {
	for _, a := range r.jobs() {
		if err := check(&a); err != nil {
			return err
		}
	}
	return nil
}

// near reports whether an instant is another one, or a moment later.
func near(at, want time.Time) bool { return !at.Before(want) && !at.After(want.Add(moment)) }

// Admitted is G3: what is asked before the drain of its server is served at once.
func Admitted(r *Run) error {
	ready := r.heardOf(lastcall.PhaseServe)
	return r.each(func(a *asked) error {
		if a.Kind == watches || !ready || !a.at.Add(-a.Slow).Before(a.gs.In) || !a.at.Before(r.expiry) {
			return nil
		}
		if a.handler == nil || !near(a.handler.In, a.at) {
			return r.fail(a, "it was not served at once: GracefulStop was called at %s", r.since(a.gs.In))
		}
		return nil
	})
}

// heardOf reports whether a phase was entered.
func (r *Run) heardOf(p phase) bool {
	for _, h := range r.heard {
		if h.Step.Phase == p {
			return true
		}
	}
	return false
}

// NotAdmitted is G2: once a server drains it takes no new work, but from those whose
// handshake was not over.
func NotAdmitted(r *Run) error {
	return r.each(func(a *asked) error {
		switch {
		case a.handler == nil:
			return nil
		case a.handler.In.After(r.out(a.gs)):
			return r.fail(a, "it was served at %s, when GracefulStop had returned", r.since(a.handler.In))
		case r.expired && a.handler.In.After(r.expiry) && !r.hasSpoken(a):
			return r.fail(a, "it was served at %s, after the timer", r.since(a.handler.In))
		case a.at.Add(-a.Slow).After(a.gs.In.Add(a.on.Handshake + moment)):
			return r.fail(a, "it was served, but the drain of the server had begun at %s", r.since(a.gs.In))
		}
		return nil
	})
}

// hasSpoken reports whether a connection of a raw server was in flight at the timer, and until
// its server was cancelled: it is from its first byte on.
func (r *Run) hasSpoken(a *asked) bool {
	return a.on.Kind == rawKind && !a.at.Add(-a.Slow).After(r.expiry) && !a.handler.In.After(r.cancelled(a.on.Name))
}

// RefusedWell is G2: who is not served is told so in a way that makes clients go elsewhere.
func RefusedWell(r *Run) error {
	return r.each(func(a *asked) error {
		tie := a.at.Equal(a.gs.In)
		switch {
		case a.handler != nil || a.Over == inside || a.Kind == watches || a.Kind == silent || !a.at.Before(r.Ended):
			return nil
		case a.client.How == Running:
			if a.Over == overH2C && tie || a.Kind == trickles { // its client tries again after a pause, or reads slowly
				return nil
			}
			return r.fail(a, "it was not served, and heard nothing")
		case a.on.Kind == grpcKind:
			if status.Code(a.heard.err) != codes.Unavailable {
				return r.fail(a, "it was refused with %v", a.heard.err)
			}
		// In the instant in which its connection is closed net/http may call it a bad request.
		case a.heard.err == nil && a.heard.status != http.StatusServiceUnavailable && (a.heard.status != http.StatusBadRequest || !tie):
			return r.fail(a, "it was refused with %d %q", a.heard.status, a.heard.body)
		}
		return nil
	})
}

// whole returns the answer of a handler that has come to its end.
func (a *asked) whole() string {
	switch {
	case a.on.Kind == grpcKind:
		return ""
	case a.Kind == hijack || a.Kind == held:
		return "hello\n"
	case a.Kind == drained && a.on.Kind == httpKind:
		return "event\ndone\n"
	default:
		return "done\n"
	}
}

// isWhole reports whether the client has heard that.
func (a *asked) isWhole() bool {
	return a.heard.err == nil && a.heard.body == a.whole() && (a.heard.status == 0 || a.heard.status == http.StatusOK)
}

// AnsweredWhole is G3: the client of a handler that comes to its end before the timer has
// the whole answer at once.
func AnsweredWhole(r *Run) error {
	return r.each(func(a *asked) error {
		if a.handler == nil || a.handler.How != Returned || !a.handler.Out.Before(r.expiry) {
			return nil
		}
		at := a.handler.Out
		switch a.Kind {
		case hijack, held:
			at = a.handler.In
		case trickles:
			at = r.out(a.client) // it reads slowly
			if !at.Before(r.expiry) {
				return nil
			}
		}
		if !a.isWhole() || !near(r.out(a.client), at) {
			return r.fail(a, "the handler ended at %s, before the timer, and the client heard %v at %s", r.since(a.handler.Out), a.heard, r.since(r.out(a.client)))
		}
		if a.heard.status != 0 && a.Over != overH2C && a.handler.In.After(r.trigger) && !a.heard.closes {
			return r.fail(a, "an HTTP/1.1 client was not told to go")
		}
		return nil
	})
}

// interrupted reports whether the timer found a handler at work: until its server was
// cancelled, or until it failed because another one was.
func (r *Run) interrupted(a *asked) bool {
	return a.handler != nil && a.handler.In.Before(r.expiry) &&
		(r.out(a.handler).After(r.cancelled(a.on.Name)) || a.handler.How == Failed && !a.handler.Out.Before(r.expiry))
}

// cancelled returns when the timer has come for a server: when it was cancelled, after those
// that stand After it, or if it had ended by then, when it had.
func (r *Run) cancelled(server string) time.Time {
	for _, c := range r.all(opCancel) {
		if c.Name == server {
			return c.In
		}
	}
	return later(r.expiry, r.gone(server))
}

// nearTimer reports whether an instant is between the timer and a moment after the Cancel of
// a server.
func (r *Run) nearTimer(at time.Time, server string) bool {
	return !at.Before(r.expiry) && !at.After(r.cancelled(server).Add(moment))
}

// ToldAtTheTimer is G5: handlers and tasks that are still at work are told to end at the
// timer, and why.
func ToldAtTheTimer(r *Run) error {
	if !r.expired {
		return nil
	}
	check := func(s *Span, kind, server string) error {
		if r.out(s).Before(r.expiry) || s.How == Returned && !s.Out.After(r.cancelled(server)) || !s.In.Before(r.expiry) {
			return nil
		}
		if kind == plainUnary { // its context is grpc's, which ends without a cause
			if !r.nearTimer(s.Told, server) && (s.How != Failed || !r.nearTimer(s.Out, server)) {
				return fmt.Errorf("%s of %s, at work at the timer, was not told to end then", s.Op, s.Name)
			}
			return nil
		}
		if !r.nearTimer(s.Told, server) || kind != held && !errors.Is(s.Cause, lastcall.ErrTimer) && !errors.Is(s.Err, drain.ErrClosed) {
			return fmt.Errorf("%s of %s, at work at the timer, was told to end at %s: %w", s.Op, s.Name, r.since(s.Told), s.Cause)
		}
		return nil
	}
	for _, s := range r.all(opTask) {
		if err := check(s, "", ""); err != nil {
			return err
		}
	}
	return r.each(func(a *asked) error {
		if a.handler == nil || a.Over == inside || a.Kind == gateway || a.Kind == held {
			return nil // a gateway and its RPC end with each other; a held connection has no context of ours
		}
		if a.on.Kind == grpcKind && !a.on.Contexts && !slices.Contains([]string{drained, endless, trickles}, a.Kind) {
			return check(a.handler, plainUnary, a.on.Name)
		}
		return check(a.handler, a.Kind, a.on.Name)
	})
}

// plainUnary is the kind of an RPC that is not a stream, and has no context of its own.
const plainUnary = "plain unary"

// InterruptedWell is G5: a client whose handler the timer has found at work is told so
// at the timer, in a way that makes it ask again, and in no case with half an answer that
// looks whole.
func InterruptedWell(r *Run) error {
	return r.each(func(a *asked) error {
		if !r.interrupted(a) {
			return nil
		}
		at, code := r.out(a.client), status.Code(a.heard.err)
		told := r.nearTimer(at, a.on.Name)
		var ok bool
		switch {
		case a.on.Kind == grpcKind:
			ok = told && code == codes.Unavailable && status.Convert(a.heard.err).Message() == leaving || a.Kind == trickles && !at.Before(r.expiry)
		case a.Kind == hijack || a.Kind == held:
			ok = a.isWhole()
		case a.Kind == stuck: // it may answer, for a while
			ok = a.isWhole() && at.Equal(r.out(a.handler)) || (a.heard.err != nil || a.heard.status == http.StatusServiceUnavailable) && !at.Before(r.expiry) && !at.After(r.Ended)
		case a.on.Kind == rawKind:
			ok = told && a.heard.err != nil
		case a.Kind == drained || a.Kind == endless:
			ok = told && a.heard.body == "event\n" && a.heard.err != nil
		default:
			ok = told && a.heard.status == http.StatusServiceUnavailable && a.heard.err == nil && (a.heard.closes || a.Over == overH2C)
		}
		if !ok {
			return r.fail(a, "it was interrupted, and its client heard %v at %s", a.heard, r.since(at))
		}
		return nil
	})
}

// ConnectionsKept is G3: no server closes a connection before its drain, but after an
// answer that has said so.
func ConnectionsKept(r *Run) error {
	for _, c := range r.all(opConn) {
		gs, out := r.graceful(c.Name), r.out(c)
		if c.Name == adminName || !out.Before(gs.In) || c.Text == overH2C && out.Equal(c.In) { // its client had two at a time, and needed one
			continue
		}
		if strings.HasPrefix(c.Name, httpKind) && c.Text != overH2C && c.Value != nil && !out.Before(r.trigger) {
			continue
		}
		if h := r.first(opHandler, c.Text); h != nil && near(out, r.out(h)) && strings.HasPrefix(c.Name, httpKind) {
			continue // it was hijacked
		}
		return fmt.Errorf("a connection to %s, over %s, was closed at %s, before the drain of the server at %s", c.Name, c.Text, r.since(out), r.since(gs.In))
	}
	return nil
}

// ConnectionsClosed is G4, G5 and G10: no connection outlives its server, or its Stop
// unless a handler has taken it over; one on which nothing has come is closed when the
// time for handshakes is over.
func ConnectionsClosed(r *Run) error {
	for _, c := range r.all(opCut) {
		taken := slices.ContainsFunc(r.jobs(), func(a asked) bool { return a.on.Name == c.Name && (a.Kind == hijack || a.Kind == held) })
		if c.How == Returned && c.Value != 0 && !taken && r.on(c.Name).Kind != rawKind {
			return fmt.Errorf("Stop of %s has left %v connections to Cut", c.Name, c.Value)
		}
	}
	for _, c := range r.all(opConn) {
		if c.Name == adminName {
			continue
		}
		gs, on := r.graceful(c.Name), r.on(c.Name)
		out := r.out(c)
		if out.After(r.Ended) && c.In.Before(gs.In) {
			return fmt.Errorf("a connection to %s, over %s, is open", c.Name, c.Text)
		}
		limit := earlier(gs.In.Add(on.Handshake), later(gs.In, r.cancelled(c.Name))).Add(moment)
		if c.Value == nil && c.In.Before(gs.In) && (out.After(limit) || !out.Before(r.natural) && r.natural.After(gs.In.Add(moment))) {
			return fmt.Errorf("a silent connection to %s was closed only at %s, the drain of the server had begun at %s", c.Name, r.since(out), r.since(gs.In))
		}
	}
	return nil
}

// on returns the plan of a server.
func (r *Run) on(server string) realServer {
	if w, ok := r.World.(*realWorld); ok {
		for _, s := range w.plan.servers {
			if s.Name == server {
				return s
			}
		}
	}
	return realServer{}
}
