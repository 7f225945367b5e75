package lastcall_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall/fsm"
)

// leaving is what clients read in a status that the adapter causes.
const leaving = "the server is shutting down"

// rpcOracle knows what must have become of calls.
type rpcOracle struct {
	calls
	results    []callResult
	peers      []peerResult
	report     report.Report
	begun, end time.Time

	trigger, timer, deadline time.Time // with the force, if there was one
	force                    time.Time
	graceful                 time.Time // when the drain had to begin
	last                     time.Time // when the last thing ended that it waits for
	expired                  bool
}

func (o *rpcOracle) String() string {
	lines := []string{fmt.Sprintf("%+v", o.budget)}
	for _, r := range o.results {
		lines = append(lines, r.String(o.begun))
	}
	for _, p := range o.peers {
		lines = append(lines, p.String(o.begun))
	}
	return strings.Join(append(lines, o.report.String()), "\n")
}

func (o *rpcOracle) check(t *rapid.T) {
	o.trigger = o.begun.Add(o.signals[0])
	o.deadline = o.trigger.Add(o.budget.Total)
	o.timer = o.deadline.Add(-o.budget.Reserve)
	if len(o.signals) > 1 {
		o.force = o.begun.Add(o.signals[1])
		if !o.force.After(o.end) {
			o.timer = earlier(o.timer, o.force)
		}
		if o.force.Before(o.end) { // in the instant of the end it may have come too late
			o.deadline = earlier(o.deadline, o.force.Add(o.budget.Reserve))
		}
	}
	if o.end.After(o.deadline) {
		t.Fatalf("G1: Run returned %v after the deadline", o.end.Sub(o.deadline))
	}
	o.expired = slices.Contains(o.report.Path, fsm.TimerExpired)
	o.checkSettle(t)
	o.last = o.graceful
	o.checkPeers(t)
	o.checkRPCs(t)
	o.checkEnd(t)
	o.checkWork(t)
}

// checkSettle finds when the drain had to begin, and that it did.
func (o *rpcOracle) checkSettle(t *rapid.T) {
	var began time.Time
	served := false
	for _, s := range o.report.Steps {
		served = served || s.Phase == lastcall.PhaseServe
		if s.Kind == report.KindTransition && s.State == fsm.GracefulShutdown {
			began = s.Start
		}
	}
	latest := o.trigger // without Quiet, or with RPCs all the time
	if served {         // if it was never ready, there is nothing to settle
		latest = earlier(o.trigger.Add(o.budget.Settle), o.timer)
	}
	earliest := latest
	if quiet := o.budget.Quiet; quiet > 0 {
		earliest = earlier(latest, o.quietFrom(quiet, true))
		latest = earlier(latest, o.quietFrom(quiet, false))
	}
	if began.Before(earliest) || began.After(latest) {
		t.Fatalf("G4: the drain began %v after the trigger, want %v to %v", began.Sub(o.trigger), earliest.Sub(o.trigger), latest.Sub(o.trigger))
	}
	o.graceful = began
}

// quietFrom returns when no RPC had come for a time. One that comes in the instant
// in which it might be quiet may be seen or not: lucky is not to see it.
func (o *rpcOracle) quietFrom(quiet time.Duration, lucky bool) time.Time {
	var came []time.Time
	for _, r := range o.results {
		if at := o.begun.Add(r.at); !r.begun.IsZero() && !at.Before(o.trigger) {
			came = append(came, at)
		}
	}
	slices.SortFunc(came, time.Time.Compare)
	at := o.trigger.Add(quiet)
	for _, c := range came {
		if c.Before(at) || c.Equal(at) && !lucky {
			at = later(at, c.Add(quiet))
		}
	}
	return at
}

// checkPeers checks those who never leave by themselves.
func (o *rpcOracle) checkPeers(t *rapid.T) {
	window := min(o.spread, o.half())
	var watching []peerResult
	for _, p := range o.peers {
		at := o.begun.Add(p.at)
		if at.Equal(o.graceful) || !p.connected && !at.Before(o.graceful) {
			if !p.over.IsZero() && p.connected {
				o.last = later(o.last, earlier(p.over, o.timer)) // in a tie it may have come in
			}
			continue
		}
		switch {
		case at.After(o.graceful):
			t.Fatalf("G2: a peer connected %v after the drain began: %s", at.Sub(o.graceful), p.String(o.begun))
		case !p.connected:
			t.Fatalf("G3: a peer was refused before the drain: %s", p.String(o.begun))
		case p.watches:
			watching = append(watching, p)
		default:
			want := earlier(o.graceful.Add(o.handshakes()), later(o.timer, o.graceful))
			if !p.over.Equal(want) {
				t.Fatalf("G4: a silent peer was sent away %v after the drain began, want %v: %s", p.over.Sub(o.graceful), want.Sub(o.graceful), p.String(o.begun))
			}
			o.last = later(o.last, want)
		}
	}
	slices.SortFunc(watching, func(a, b peerResult) int { return a.over.Compare(b.over) })
	ties := slices.ContainsFunc(o.peers, func(p peerResult) bool { return p.watches && o.begun.Add(p.at).Equal(o.graceful) })
	for i, p := range watching {
		want := o.graceful.Add(window * time.Duration(i) / time.Duration(len(watching)))
		want = earlier(want, later(o.timer, o.graceful))
		o.last = later(o.last, p.over)
		switch {
		case p.over.IsZero() || !ties && !p.over.Equal(want):
			t.Fatalf("G4: a stream that never ends was ended %v after the drain began, want %v: %s", p.over.Sub(o.graceful), want.Sub(o.graceful), p.String(o.begun))
		case p.last != healthpb.HealthCheckResponse_NOT_SERVING && o.timer.After(o.trigger):
			t.Fatalf("a health Watch was not told NOT_SERVING: %s", p.String(o.begun))
		case status.Code(p.err) != codes.Unavailable || status.Convert(p.err).Message() != leaving:
			t.Fatalf("a health Watch ended with %v after %v: %s", p.err, p.last, p.String(o.begun))
		}
	}
}

// half returns half of the time that the drain had to the timer when it began.
func (o *rpcOracle) half() time.Duration {
	if !o.force.IsZero() && !o.force.After(o.graceful) {
		return 0
	}
	return max(0, o.trigger.Add(o.budget.Total-o.budget.Reserve).Sub(o.graceful)) / 2
}

// handshakes returns how long handshakes may take in the drain.
func (o *rpcOracle) handshakes() time.Duration { return min(o.shaking, o.half()) }

// silent says whether a connection was in its handshake when the drain began.
func (o *rpcOracle) silent() bool {
	return slices.ContainsFunc(o.peers, func(p peerResult) bool { return !p.watches && p.connected && !p.over.Before(o.graceful) })
}

func (o *rpcOracle) checkRPCs(t *rapid.T) {
	refused := o.graceful
	if o.silent() { // clients are told to go when it has gone
		refused = earlier(o.graceful.Add(o.handshakes()), later(o.timer, o.graceful))
	}
	for _, r := range o.results {
		at := o.begun.Add(r.at)
		if at.Before(o.graceful) && r.begun.IsZero() {
			t.Fatalf("G3: an RPC was refused %v before the drain: %s", o.graceful.Sub(at), r.String(o.begun))
		}
		if at.After(refused) && !r.begun.IsZero() {
			t.Fatalf("G2: an RPC was accepted %v after clients were told to go: %s", at.Sub(refused), r.String(o.begun))
		}
		if r.begun.IsZero() {
			if r.done && r.code != codes.Unavailable {
				t.Fatalf("a refused RPC got %v: %s", r.code, r.String(o.begun))
			}
			continue
		}
		back := r.back
		if back.IsZero() {
			back = o.end.Add(1 << 40)
		}
		o.last = later(o.last, back)
		if back.Before(o.timer) && (!r.done || r.code != codes.OK) {
			t.Fatalf("G3: an RPC whose handler ended before the timer got %v, done: %v: %s", r.code, r.done, r.String(o.begun))
		}
		if back.After(o.timer) && (!r.done || r.code != codes.Unavailable || r.message != leaving) {
			t.Fatalf("G5: an RPC that was cancelled got %v %q, done: %v: %s", r.code, r.message, r.done, r.String(o.begun))
		}
		if back.After(o.timer) && o.timer.After(o.graceful) && !r.doneAt.Equal(o.timer) {
			t.Fatalf("G4: a client heard of its cancellation %v after the timer: %s", r.doneAt.Sub(o.timer), r.String(o.begun))
		}
	}
}

// checkEnd is G3, and G4 for runs that drained.
func (o *rpcOracle) checkEnd(t *rapid.T) {
	switch {
	case o.last.Before(o.timer) && o.expired:
		t.Fatalf("G3: the last RPC ended %v before the timer, and the timer fired", o.timer.Sub(o.last))
	case o.last.After(o.timer) && !o.expired:
		t.Fatalf("G3: an RPC ended %v after the timer, and the path is %v", o.last.Sub(o.timer), o.report.Path)
	case o.expired:
		return
	}
	planned := o.trigger.Add(o.budget.Total)
	half := func(deadline time.Time) time.Time { return o.last.Add(deadline.Sub(o.last) / 2) }
	want := earlier(o.last.Add(o.closer), half(planned))
	if !o.force.IsZero() && o.force.Before(want) {
		want = earlier(want, later(o.force, half(earlier(planned, o.force.Add(o.budget.Reserve)))))
	}
	if !o.end.Equal(want) {
		t.Fatalf("G4: Run returned %v after the trigger, want %v", o.end.Sub(o.trigger), want.Sub(o.trigger))
	}
}

// checkWork checks that the numbers in the report add up, and are those of the
// handlers.
func (o *rpcOracle) checkWork(t *rapid.T) {
	var over time.Time
	for _, s := range o.report.Steps {
		if s.Kind == report.KindTransition && s.State == fsm.Terminated {
			over = s.Start
		}
	}
	running, ties := 0, false
	for _, r := range o.results {
		if !r.begun.IsZero() && (r.back.IsZero() || r.back.After(over)) {
			running++
		}
		ties = ties || r.back.Equal(over) || o.begun.Add(r.at).Equal(over)
	}
	got := 0
	for _, w := range o.report.Work {
		if w.Kind == lastcall.WorkCall {
			t.Fatalf("a call has not returned that never hangs: %+v", w)
		}
		if w.Before+w.Arrived != w.Completed+w.Cancelled+w.Cut+w.Running || w.Late > w.Arrived {
			t.Fatalf("the numbers do not add up: %+v", w)
		}
		if !o.expired && w.Cancelled+w.Cut > 0 {
			t.Fatalf("drained, with %+v", w)
		}
		if w.Kind == lastcall.WorkUnary || w.Kind == lastcall.WorkStream {
			got += w.Running
		}
	}
	if got != running && !ties {
		t.Fatalf("%d handlers run, the report has %d: %+v", running, got, o.report.Work)
	}
	if o.report.Outcome == report.OutcomeCut {
		t.Fatal("cut, although Stop leaves no connection")
	}
}

// namedCalls returns how many calls of the adapter the report names.
func (o *rpcOracle) namedCalls() int {
	n := 0
	for _, w := range o.report.Work {
		if w.Kind == lastcall.WorkCall {
			n += w.Running
		}
	}
	return n
}
